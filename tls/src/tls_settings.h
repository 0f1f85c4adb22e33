#pragma once

#include <memory>
#include <string>

#include <snowfox/core/log.h>
#include <snowfox/tls/tls_options.h>

#include "openssl_handles.h"

namespace snowfox {

/// What handshakes go by, from the options and files as they were at one time. Shared by the context and the
/// connections made with it, any of which may be the last: those of before a reload keep what they began with.
struct TlsSettings {
  bool server;
  SslContextRef context;
  std::string protocols;  // as ALPN has them on the wire
  Duration handshake_timeout;
  std::size_t max_handshake_bytes;
  bool require_close_notify;

  /// Both throw std::system_error naming the file.
  static std::shared_ptr<const TlsSettings> make(const TlsServerOptions& options, Log& log);
  static std::shared_ptr<const TlsSettings> make(const TlsClientOptions& options, Log& log);
};
using TlsSettingsRef = std::shared_ptr<const TlsSettings>;

}  // namespace snowfox
