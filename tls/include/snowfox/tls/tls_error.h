#pragma once

#include <string>
#include <system_error>

namespace snowfox {

/// Why a connection over TLS did not come about, or ended, or why a context could not be made.
enum class TlsErrc {
  HandshakeTimeout = 1,    ///< the handshake was not complete within TlsOptions::handshake_timeout
  HandshakeTooLarge,       ///< the peer sent more than TlsOptions::max_handshake_bytes before it was
  ClosedInHandshake,       ///< the peer closed the connection before it was
  NotTls,                  ///< the peer's first bytes are none of TLS
  PlainHttp,               ///< they are HTTP
  UnsupportedVersion,      ///< no version that both sides take
  NoSharedCipher,          ///< no cipher that both sides take
  NoSharedProtocol,        ///< ALPN: no protocol that both sides speak
  CertificateRequired,     ///< the client has shown none, and must
  CertificateExpired,      ///< the peer's, or one of its chain
  CertificateNotYetValid,  ///< the same
  UnknownAuthority,        ///< the peer's certificate leads to no authority that is trusted
  HostMismatch,            ///< the server's certificate is for other hosts than the one asked for
  CertificateRevoked,      ///< the peer's
  BadCertificate,          ///< the peer's, for another reason
  RefusedCertificate,      ///< the peer does not accept ours: it says which alert
  PeerAlert,               ///< the peer gave up for another reason
  BadRecord,               ///< bytes that are none of the protocol, or were changed on their way
  Truncated,               ///< the connection was closed without the peer's close_notify: something may be missing
  BadFile,                 ///< a file cannot be read, or has in it what it should not
  KeyMismatch,             ///< the private key is not that of the certificate
  Unusable,                ///< OpenSSL refuses an option, or has failed
};

const std::error_category& tls_category() noexcept;
std::error_code make_error_code(TlsErrc code) noexcept;

/// A handshake that came to nothing, or a connection's end.
struct TlsFailure {
  std::error_code code;
  std::string detail;  ///< what OpenSSL says of it, or which alert it was; may be empty. No secrets, no foreign text
};

}  // namespace snowfox

template <>
struct std::is_error_code_enum<snowfox::TlsErrc> : std::true_type {};
