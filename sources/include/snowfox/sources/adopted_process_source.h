#pragma once

#include <functional>
#include <memory>
#include <string>

#include <snowfox/core/channel.h>
#include <snowfox/core/clock.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/timer.h>
#include <snowfox/sources/process_identity.h>
#include <snowfox/sources/process_source.h>

namespace snowfox {

/// A process that somebody else has started, up to the one event that tells its end: what a supervisor that was itself
/// started again watches of what it had started before.
///
/// Only its parent is told by the kernel how a process has ended; since Linux 6.15 whoever watches it can ask. On older
/// kernels told() must say so, within a second of the end; otherwise the event comes then with neither a code nor a
/// signal. The process is never killed or reaped by this; with `end_group`, what is left of its process group when it
/// has ended, which it must have led, is killed.
class AdoptedProcessSource final : public EventSource {
 public:
  using Handler = ProcessExited::Handler;

  /// Throws std::system_error (ESRCH) if there is no such process any more, or only one of the same pid. Needs Linux
  /// 5.4.
  AdoptedProcessSource(LoopManager& loop, const ProcessIdentity& process, Handler on_exit, bool end_group = false);
  ~AdoptedProcessSource() override;

  const ProcessIdentity& process() const noexcept { return process_; }
  /// Sends `signal` to the process, or to its process group, which it must lead: never to another that came to have its
  /// number. False if it has ended. Throws std::system_error if it may not be sent.
  bool signal(int signal);
  bool signal_group(int signal);
  /// It has ended like this, as its parent says. Its event comes soon.
  void told(const ProcessExit& exit) noexcept;

  EventRef parse() override;
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override;

 private:
  struct AskAgain final : Timer {
    explicit AskAgain(AdoptedProcessSource& whose) : source(whose) {}
    void expire() noexcept override { source.ready(); }
    AdoptedProcessSource& source;
  };

  void on_pause_changed() noexcept override;
  void on_removed() noexcept override;
  bool ended() const noexcept;
  bool deliver(int error) const;

  std::shared_ptr<const Handler> handler_;
  ProcessIdentity process_;
  bool end_group_;      // until that is done
  ChannelRef channel_;  // of the pidfd, until the end is told
  std::optional<ProcessExit> exit_;
  TimePoint ended_at_ = kNever;  // when that was seen
  AskAgain ask_again_{*this};
};

}  // namespace snowfox
