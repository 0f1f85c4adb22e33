#include "openssl_errors.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <new>

namespace snowfox {
namespace {

TlsErrc of_verification(long result) noexcept {
  switch (result) {
    case X509_V_ERR_CERT_HAS_EXPIRED: return TlsErrc::CertificateExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID: return TlsErrc::CertificateNotYetValid;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED: return TlsErrc::UnknownAuthority;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH: return TlsErrc::HostMismatch;
    case X509_V_ERR_CERT_REVOKED: return TlsErrc::CertificateRevoked;
    default: return TlsErrc::BadCertificate;
  }
}

TlsErrc of_reason(int reason) noexcept {
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST: return TlsErrc::PlainHttp;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_WRONG_SSL_VERSION:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_INAPPROPRIATE_FALLBACK:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION: return TlsErrc::UnsupportedVersion;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_CIPHERS_SPECIFIED:
    case SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE: return TlsErrc::NoSharedCipher;
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: return TlsErrc::NoSharedProtocol;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE: return TlsErrc::CertificateRequired;
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED: return TlsErrc::RefusedCertificate;
    default: return reason >= SSL_AD_REASON_OFFSET ? TlsErrc::PeerAlert : TlsErrc::BadRecord;
  }
}

}  // namespace

OpensslErrors::OpensslErrors() noexcept { ERR_clear_error(); }
OpensslErrors::~OpensslErrors() { ERR_clear_error(); }

std::string OpensslErrors::text() const {
  const unsigned long error = ERR_peek_error();
  if (error == 0) return {};
  const char* reason = ERR_reason_error_string(error);
  return reason != nullptr ? reason : "error " + std::to_string(ERR_GET_REASON(error));
}

TlsFailure failure_of(SSL* ssl) noexcept {
  const unsigned long error = ERR_peek_error();
  const int reason = ERR_GET_REASON(error);
  TlsFailure failure;
  try {
    if (ERR_GET_LIB(error) == ERR_LIB_SSL && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
      const long result = SSL_get_verify_result(ssl);
      failure.code = of_verification(result);
      failure.detail = X509_verify_cert_error_string(result);
    } else if (error != 0) {
      failure.code = ERR_GET_LIB(error) == ERR_LIB_SSL ? of_reason(reason) : TlsErrc::BadRecord;
      if (const char* text = ERR_reason_error_string(error)) failure.detail = text;
    } else {
      failure.code = TlsErrc::BadRecord;
    }
  } catch (const std::bad_alloc&) {
    failure.detail.clear();
  }
  return failure;
}

}  // namespace snowfox
