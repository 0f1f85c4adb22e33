#include <snowfox/tls/tls_error.h>

namespace snowfox {
namespace {

class TlsCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "tls"; }
  std::string message(int value) const override {
    switch (static_cast<TlsErrc>(value)) {
      case TlsErrc::HandshakeTimeout: return "the TLS handshake was not complete in time";
      case TlsErrc::HandshakeTooLarge: return "the peer sent too much before the TLS handshake was complete";
      case TlsErrc::ClosedInHandshake: return "the peer closed the connection in the TLS handshake";
      case TlsErrc::NotTls: return "the peer does not speak TLS";
      case TlsErrc::PlainHttp: return "the peer speaks plain HTTP where TLS is spoken";
      case TlsErrc::UnsupportedVersion: return "no TLS version that both sides take";
      case TlsErrc::NoSharedCipher: return "no TLS cipher that both sides take";
      case TlsErrc::NoSharedProtocol: return "no application protocol that both sides speak";
      case TlsErrc::CertificateRequired: return "the client has shown no certificate";
      case TlsErrc::CertificateExpired: return "the peer's certificate has expired";
      case TlsErrc::CertificateNotYetValid: return "the peer's certificate is not valid yet";
      case TlsErrc::UnknownAuthority: return "the peer's certificate is from no trusted authority";
      case TlsErrc::HostMismatch: return "the server's certificate is for another host";
      case TlsErrc::CertificateRevoked: return "the peer's certificate was revoked";
      case TlsErrc::BadCertificate: return "the peer's certificate does not hold";
      case TlsErrc::RefusedCertificate: return "the peer does not accept our certificate";
      case TlsErrc::PeerAlert: return "the peer gave up TLS";
      case TlsErrc::BadRecord: return "what the peer sent is no TLS, or was changed on its way";
      case TlsErrc::Truncated: return "the connection was cut off: TLS was not ended in order";
      case TlsErrc::BadFile: return "the file is not what it should be";
      case TlsErrc::KeyMismatch: return "the private key does not belong to the certificate";
      case TlsErrc::Unusable: return "OpenSSL refuses";
    }
    return "unknown";
  }
};

}  // namespace

const std::error_category& tls_category() noexcept {
  static const TlsCategory category;
  return category;
}

std::error_code make_error_code(TlsErrc code) noexcept { return {static_cast<int>(code), tls_category()}; }

}  // namespace snowfox
