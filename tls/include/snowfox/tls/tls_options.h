#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <snowfox/core/clock.h>

namespace snowfox {

enum class TlsVersion : std::uint8_t { Tls12, Tls13 };

/// Who shows a certificate, and the private key that proves it: PEM files. The chain begins with one's own certificate,
/// those of the intermediate authorities follow.
struct TlsCertificateFiles {
  std::string chain;
  std::string key;  ///< must not be encrypted: nobody is asked for a passphrase
};

/// What servers and clients have in common. What is not told here is as OpenSSL has it, and the system's openssl.cnf.
/// Compression and renegotiation are off.
struct TlsOptions {
  TlsVersion least_version = TlsVersion::Tls12;
  /// Protocols to speak over it (ALPN), best first: `h2`, `http/1.1`. Empty: whatever. A peer that offers only others
  /// is refused, one that offers none is not.
  std::vector<std::string> protocols = {};
  /// From the first moment to the last message of the handshake, however busily its bytes trickle.
  Duration handshake_timeout = std::chrono::seconds(10);
  /// So much may be received until then.
  std::size_t max_handshake_bytes = 128U << 10;
  /// Who closes without saying so by TLS (close_notify) may not have sent all: the protocol is told TlsErrc::Truncated.
  /// False: it is told Errc::EndOfStream, for protocols that know their own ends, as HTTP does.
  bool require_close_notify = true;
};

/// Whether a server asks its clients for certificates.
enum class TlsClientCertificates : std::uint8_t {
  Ignored,
  Welcome,  ///< those without are served, too; one that does not hold is refused
  Required,
};

struct TlsServerOptions : TlsOptions {
  TlsCertificateFiles certificate = {};
  TlsClientCertificates client_certificates = TlsClientCertificates::Ignored;
  /// PEM file of the authorities for them; must be given unless they are ignored.
  std::string client_authorities = {};
};

struct TlsClientOptions : TlsOptions {
  /// PEM file, and directory as c_rehash makes it, of the authorities that are trusted. Both empty: the system's.
  std::string authorities_file = {};
  std::string authorities_directory = {};
  /// Shown to servers that ask for one; empty for none.
  TlsCertificateFiles certificate = {};
  /// False: any server's certificate will do. Then anybody may be in between; for tests.
  bool verify = true;
};

}  // namespace snowfox
