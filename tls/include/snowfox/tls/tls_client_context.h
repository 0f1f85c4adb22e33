#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <snowfox/core/loop_manager.h>
#include <snowfox/tls/tls_connection.h>
#include <snowfox/tls/tls_error.h>
#include <snowfox/tls/tls_options.h>
#include <snowfox/tls/tls_server_context.h>

namespace snowfox {

/// Whom a client trusts, and what it shows of itself; makes connections secure.
///
///     TlsClientOptions options;
///     options.authorities_file = "ca.pem";
///     TlsClientContext tls(loop, options);
///     ConnectorSource connector(loop, address, 10s, [&](std::error_code error, const ChannelRef& channel) {
///       if (error) return …;
///       tls.connect(channel, "server.example", [&](const TlsFailure& failure, TlsConnection server) {
///         if (failure.code) return …;
///         connect_proto_buf(loop, server.channel, protocol);
///       });
///     });
///
/// The server must show a certificate for the host asked for, whose chain leads to a trusted authority.
class TlsClientContext {
 public:
  /// Called once, in an event of its own: with a connection and no code, or a code and no channel. What it throws is
  /// logged, and the connection closed. Not called if the context goes before.
  using OnDone = std::function<void(const TlsFailure&, TlsConnection)>;

  /// Throws and warns as TlsServerContext does.
  TlsClientContext(LoopManager& loop, TlsClientOptions options);
  /// Gives up the handshakes under way. Connections live on.
  ~TlsClientContext();
  TlsClientContext(const TlsClientContext&) = delete;
  TlsClientContext& operator=(const TlsClientContext&) = delete;

  /// As TlsServerContext::reload().
  void reload() { reload(options()); }
  void reload(TlsClientOptions options);
  const TlsClientOptions& options() const noexcept;

  /// Begins the handshake on a connection that has neither source nor drain. `host` is a name or an IP address; a name
  /// is also told to the server (SNI). If it fails, the connection is closed.
  /// Throws std::invalid_argument if `host` is empty or no name, std::bad_alloc, or std::system_error if the descriptor
  /// cannot be watched; then the connection is closed.
  void connect(const ChannelRef& channel, const std::string& host, OnDone on_done);

  /// As TlsServerContext has them.
  std::optional<TlsSession> session(const EventDrain& drain) const;
  const TlsCounters& counters() const noexcept;

 private:
  LoopManager& loop_;
  TlsClientOptions options_;
  std::unique_ptr<TlsHandshakes> handshakes_;
};

}  // namespace snowfox
