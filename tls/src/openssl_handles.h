#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>

namespace snowfox {

template <auto free>
struct OpensslFree {
  template <typename T>
  void operator()(T* object) const noexcept {
    free(object);
  }
};
using SslContextRef = std::unique_ptr<SSL_CTX, OpensslFree<&SSL_CTX_free>>;
using SslRef = std::unique_ptr<SSL, OpensslFree<&SSL_free>>;
using CertificateRef = std::unique_ptr<X509, OpensslFree<&X509_free>>;
using BioRef = std::unique_ptr<BIO, OpensslFree<&BIO_free_all>>;

}  // namespace snowfox
