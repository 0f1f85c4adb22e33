#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <snowfox/core/channel.h>
#include <snowfox/core/event.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/io.h>
#include <snowfox/sources/process_options.h>

namespace snowfox {

/// How a process ended, and what it used.
struct ProcessExit {
  pid_t pid = 0;
  std::optional<int> code;    ///< what it returned; none if a signal ended it
  std::optional<int> signal;  ///< the signal that ended it
  bool core_dumped = false;
  rusage usage{};  ///< of the process and those of its children that it waited for

  bool success() const noexcept { return code == 0; }
  /// `exit code 3`, `killed by SIGSEGV, core dumped`; `unknown` if the program has waited for the process elsewhere.
  std::string str() const;
};

/// A child has ended.
class ProcessExited final : public Event {
 public:
  using Handler = std::function<void(const ProcessExit& exit)>;
  /// The source and its event share the handler, which may destroy the source.
  ProcessExited(std::shared_ptr<const Handler> handler, const ProcessExit& exit)
      : handler_(std::move(handler)), exit_(exit) {}
  void handle() override { (*handler_)(exit_); }
  std::string_view name() const noexcept override { return "ProcessExited"; }
  const ProcessExit& exit() const noexcept { return exit_; }

 private:
  friend class ProcessSource;
  std::shared_ptr<const Handler> handler_;
  ProcessExit exit_;
};

/// A child process, from its start to the one event that tells its end.
///
///     ProcessSource date(loop, {.arguments = {"date"}}, [](const ProcessExit& exit) { ... });
///
/// The event comes when the process has ended, which may be before all it wrote has been read from its pipes: each of
/// those has an end of its own. After it the loop waits for this source no more.
///
/// Destroying the source while the child runs kills the child with SIGKILL, together with its process group if it was
/// given one, and waits for its death: microseconds, unless the kernel holds it in a system call that cannot be
/// interrupted; after a second it is left to whoever reaps the program's children. With ProcessOptions::leave_running
/// the child lives on instead, and is reaped when the program ends.
class ProcessSource final : public EventSource {
 public:
  using Handler = ProcessExited::Handler;

  /// Starts the child and returns when it executes its program. Needs Linux 5.4.
  /// Throws std::invalid_argument if the options contradict themselves; std::system_error, naming the program and the
  /// step that failed, if it cannot be started. SIGCHLD must not be ignored: exits would be lost (EINVAL).
  ProcessSource(LoopManager& loop, const ProcessOptions& options, Handler on_exit);
  ~ProcessSource() override;

  pid_t pid() const noexcept { return pid_; }
  /// It has not been seen to end.
  bool running() const noexcept { return static_cast<bool>(channel_) || static_cast<bool>(pidfd_); }

  /// Sends `signal` to the child, never to another process that came to have its pid. False if it has ended.
  /// Throws std::system_error if it may not be sent.
  bool signal(int signal);
  /// Sends `signal` to the child's process group, which must be its own. False if nobody is left in it, or if the
  /// child's end has been told: the group's number may then be another's.
  bool signal_group(int signal);

  /// The parent's ends of the streams that are pipes, each to be taken once: empty if it is no pipe, or taken. They are
  /// non-blocking. Closing `input` is the end of the child's input.
  Descriptor take_input() noexcept { return std::move(input_); }
  Descriptor take_output() noexcept { return std::move(output_); }
  Descriptor take_error() noexcept { return std::move(error_); }

  EventRef parse() override;
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override;

 private:
  void on_pause_changed() noexcept override;
  void on_removed() noexcept override;
  int pidfd() const noexcept { return channel_ ? channel_->fd() : pidfd_.get(); }
  void kill_and_reap() noexcept;

  ChildIo& children_;
  std::shared_ptr<const Handler> handler_;
  std::string program_;
  bool own_group_;
  bool leave_running_;
  bool end_group_;
  pid_t pid_ = 0;
  Descriptor input_;
  Descriptor output_;
  Descriptor error_;
  ChannelRef channel_;  // of the pidfd, until the child has been reaped
  Descriptor pidfd_;    // the pidfd, if the loop has removed the source before that
};

}  // namespace snowfox
