#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <chrono>
#include <memory>
#include <string>

#include <snowfox/tls/tls_options.h>

#include "support/temporary_directory.h"

namespace snowfox {

/// What a certificate is to say.
struct CertificateWish {
  std::string name;                                          ///< its common name
  std::string alternative = "DNS:localhost";                 ///< subjectAltName, as openssl.cnf has it
  std::chrono::seconds valid_from = std::chrono::hours(-1);  ///< from now
  std::chrono::seconds valid_to = std::chrono::hours(24);
};

/// A certificate authority for the length of a test: makes keys and certificates, as files of a directory of its own.
class TestAuthority {
 public:
  /// Keys of kind Ed25519 make signatures of one length always; others do not.
  explicit TestAuthority(const std::string& name = "Test Authority", bool ed25519 = false);
  ~TestAuthority();

  /// Its own certificate.
  std::string file() const { return directory_ / "ca.pem"; }
  /// A new key and certificate, in `NAME.pem` and `NAME.key`; those of the same name are overwritten.
  TlsCertificateFiles issue(const CertificateWish& wish);
  const TemporaryDirectory& directory() const noexcept { return directory_; }

 private:
  template <auto free>
  struct Free {
    template <typename T>
    void operator()(T* object) const noexcept {
      free(object);
    }
  };
  using KeyRef = std::unique_ptr<EVP_PKEY, Free<&EVP_PKEY_free>>;
  using CertificateRef = std::unique_ptr<X509, Free<&X509_free>>;

  CertificateRef make(const CertificateWish& wish, EVP_PKEY* key, bool authority);

  TemporaryDirectory directory_;
  bool ed25519_;
  KeyRef key_;
  CertificateRef certificate_;
  long serial_ = 1;
};

/// Writes `text` to `path`, which only its owner may read.
void write_private(const std::string& path, const std::string& text);

}  // namespace snowfox
