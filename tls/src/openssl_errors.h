#pragma once

#include <openssl/ssl.h>

#include <string>

#include <snowfox/tls/tls_error.h>

namespace snowfox {

/// OpenSSL's errors are in a queue of the thread, shared by all that use it there, and what is left in it confuses the
/// next who asks: while one of these lives there is a queue of one's own, which begins and ends empty.
class OpensslErrors {
 public:
  OpensslErrors() noexcept;
  ~OpensslErrors();
  OpensslErrors(const OpensslErrors&) = delete;
  OpensslErrors& operator=(const OpensslErrors&) = delete;

  /// The first error's text, without file and line; empty if there is none. It may name a file, but never has its
  /// contents.
  std::string text() const;
};

/// Why `ssl` has failed, by OpenSSL's queue and what was found out about the peer's certificate.
TlsFailure failure_of(SSL* ssl) noexcept;

}  // namespace snowfox
