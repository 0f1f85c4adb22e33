#pragma once

#include <csignal>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/core/channel.h>
#include <snowfox/core/event.h>
#include <snowfox/core/event_source.h>

namespace snowfox {

/// A signal was sent to the process.
class SignalReceived final : public Event {
 public:
  using Handler = std::function<void(int signal)>;
  /// The source and its events share the handler, which may destroy the source.
  SignalReceived(std::shared_ptr<const Handler> handler, int signal) : handler_(std::move(handler)), signal_(signal) {}
  void handle() override { (*handler_)(signal_); }
  std::string_view name() const noexcept override { return "SignalReceived"; }
  int signal() const noexcept { return signal_; }

 private:
  friend class SignalSource;
  std::shared_ptr<const Handler> handler_;
  int signal_;
};

/// Signals sent to the process, as events.
///
///     SignalSource quit(loop, {SIGINT, SIGTERM}, [&](int) { loop.stop(); });
///
/// While it lives its signals are blocked in the thread that made it, so that they interrupt nothing; threads started
/// later inherit that. Make it before any thread is started: one that does not block a signal would be given it, with
/// its default effect. A signal sent again before the first was handed out is one event, as the kernel keeps only one;
/// real-time signals (SIGRTMIN and up) are all kept. Who sent a signal goes into the log.
///
/// Destroying it unblocks those of its signals that it has blocked; those sent and not yet handed out are forgotten, so
/// that a second SIGTERM does not kill a process that is ending in order.
class SignalSource final : public EventSource {
 public:
  using Handler = SignalReceived::Handler;

  /// `on_signal` is called with each signal. To be destroyed on the thread that made it.
  /// Throws std::invalid_argument if `signals` is empty, names one twice, or one that cannot be waited for (SIGKILL,
  /// SIGSTOP, and those a thread raises by its own error: SIGSEGV, SIGBUS, SIGFPE, SIGILL); std::system_error if
  /// another SignalSource has one of them, or if no descriptor is left.
  SignalSource(LoopManager& loop, const std::vector<int>& signals, Handler on_signal);
  SignalSource(LoopManager& loop, const std::vector<int>& signals, std::function<void()> on_signal);
  ~SignalSource() override;

  EventRef parse() override;
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override;

 private:
  void on_pause_changed() noexcept override;
  void on_removed() noexcept override { let_go(); }
  void let_go() noexcept;

  std::shared_ptr<const Handler> handler_;
  sigset_t signals_{};
  sigset_t newly_blocked_{};  // those of them that were not before
  ChannelRef channel_;        // null once removed
};

}  // namespace snowfox
