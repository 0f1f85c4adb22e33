#pragma once

#include <openssl/ssl.h>

#include <optional>

#include <snowfox/tls/tls_connection.h>

namespace snowfox {

/// Nothing if there is none, or it was not verified.
std::optional<TlsPeerCertificate> verified_certificate(const SSL* ssl);

}  // namespace snowfox
