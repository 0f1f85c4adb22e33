#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <snowfox/core/address.h>
#include <snowfox/core/channel.h>

namespace snowfox {

/// The certificate of a peer, which was verified.
struct TlsPeerCertificate {
  std::string subject;             ///< as in RFC 2253, control characters escaped: `CN=relay 7,O=Example`
  std::string issuer;              ///< the same
  std::vector<std::string> names;  ///< subjectAltName: `DNS:a.example`, `IP:10.0.0.1`, `URI:…`, `email:…`
  std::string fingerprint;         ///< SHA-256 of the certificate, 64 hexadecimal digits
  std::chrono::system_clock::time_point expires;
};

/// What was agreed on.
struct TlsSession {
  std::string version;      ///< `TLSv1.3`
  std::string cipher;       ///< `TLS_AES_256_GCM_SHA384`
  std::string protocol;     ///< by ALPN; empty if none was
  std::string server_name;  ///< the host that the client asks for (SNI); empty if it does not say
  bool resumed = false;     ///< by a ticket from an earlier connection
  /// Nothing if the peer has shown none, or none was asked for, or it was not verified.
  std::optional<TlsPeerCertificate> peer_certificate;
};

/// A connection whose handshake is complete. The sources and drains that are made on `channel` read and write
/// plaintext, and know nothing of TLS:
///
///     serve_http(loop, client.channel, protocol);
///
/// The source must be made before the function returns that was given this: what has come along with the handshake is
/// told to the source that is there then.
///
/// To send, what waits in the drain is encrypted in pieces of at most 48 KiB as the kernel takes it, and counts in the
/// drain until its ciphertext is gone: watermarks and the stall timeout hold as they do without TLS. A drain that
/// closes when empty says so by close_notify. What waits when a connection is broken off is dropped without: the peer
/// can tell.
struct TlsConnection {
  ChannelRef channel;
  Address peer;  ///< as it was given
  TlsSession session;
};

}  // namespace snowfox
