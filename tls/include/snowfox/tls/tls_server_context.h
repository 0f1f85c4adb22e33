#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/tls/tls_connection.h>
#include <snowfox/tls/tls_error.h>
#include <snowfox/tls/tls_options.h>

namespace snowfox {

class TlsHandshakes;

/// What a context counts. All but the first two only grow.
struct TlsCounters {
  std::size_t handshakes = 0;   ///< under way
  std::size_t connections = 0;  ///< open, whose handshakes are complete
  std::uint64_t completed = 0;
  std::uint64_t resumed = 0;  ///< of those, by a ticket
  std::uint64_t failed = 0;
};

/// A server's certificate and what it asks of clients; makes connections secure.
///
///     TlsServerOptions options;
///     options.certificate = {.chain = "server.pem", .key = "server.key"};
///     TlsServerContext tls(loop, options);
///     ListenerSource listener(loop, address, {}, tls.secured([&](TlsConnection client) {
///       serve_http(loop, client.channel, protocol);
///     }));
///
/// A handshake costs the loop about a millisecond, most of it one signature. All handshakes of a context together have
/// one source's share of a turn, each step being one event, so that however many clients come, those who are there
/// already have their turns in between.
class TlsServerContext {
 public:
  /// Called in an event of its own. What it throws is logged, and the connection closed.
  using OnSecured = std::function<void(TlsConnection)>;
  /// Must not throw.
  using OnFailure = std::function<void(const Address& peer, const TlsFailure&)>;

  /// `loop` must outlive it. Warns in the loop's log if others than owner and group may read the key file.
  /// Throws std::system_error with a TlsErrc and the file's name if a file is not there, is none of its kind, or key
  /// and certificate do not match.
  TlsServerContext(LoopManager& loop, TlsServerOptions options);
  /// Ends the handshakes under way. Connections live on.
  ~TlsServerContext();
  TlsServerContext(const TlsServerContext&) = delete;
  TlsServerContext& operator=(const TlsServerContext&) = delete;

  /// Reads all files again: handshakes that begin from now on go by what they say now. Connections live on, and so do
  /// handshakes under way; tickets of before are not taken any more. Throws as the constructor does; then all is as it
  /// was.
  void reload() { reload(options()); }
  void reload(TlsServerOptions options);
  const TlsServerOptions& options() const noexcept;

  /// Begins the handshake of a connection that was just accepted, and has neither source nor drain. `on_secured` is
  /// called when it is complete; if it fails, the connection is closed, the log says why at level info, and nobody is
  /// called but on_failure().
  /// Throws std::bad_alloc, or std::system_error if the descriptor cannot be watched; then the connection is closed.
  void accept(const ChannelRef& channel, const Address& peer, OnSecured on_secured);
  /// Does that with each connection of a listener. The context must outlive what this returns.
  ListenerSource::OnConnection secured(OnSecured on_secured);

  /// Is told of handshakes that fail; for tests and statistics.
  void on_failure(OnFailure on_failure);

  /// Of the connection that `drain` writes to, such as an event's; nothing if that is none of this context's. Made when
  /// asked for.
  std::optional<TlsSession> session(const EventDrain& drain) const;
  const TlsCounters& counters() const noexcept;

 private:
  LoopManager& loop_;
  TlsServerOptions options_;
  std::unique_ptr<TlsHandshakes> handshakes_;
};

}  // namespace snowfox
