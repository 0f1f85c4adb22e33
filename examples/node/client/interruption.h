#pragma once

#include <functional>
#include <string>

#include <snowfox/core/channel.h>
#include <snowfox/core/event_source.h>

namespace snowfox::node {

/// SIGINT, SIGTERM and SIGHUP, as events and, for what keeps the loop from giving them, as a question. A SignalSource
/// would not do: its signals are blocked until the loop reads them, and while a script computes it does not.
///
/// A signal that comes when the one before was for a while neither asked for nor handed out has its default effect: so
/// a second Ctrl-C ends a program that is stuck. A system call that waits is interrupted, so that a script that reads
/// notices.
///
/// One may exist at a time.
class Interruption final : public EventSource {
 public:
  /// `on_signal` is called with each signal.
  Interruption(LoopManager& loop, std::function<void(int signal)> on_signal);
  ~Interruption() override;

  /// Whether there was a signal that is still to be handed out.
  static bool asked() noexcept;

  EventRef parse() override;
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override { return "interruption"; }

 private:
  void on_pause_changed() noexcept override;
  void on_removed() noexcept override { channel_.reset(); }

  std::function<void(int)> on_signal_;
  ChannelRef channel_;
};

}  // namespace snowfox::node
