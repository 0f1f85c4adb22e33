#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include <snowfox/core/io.h>
#include <snowfox/sources/process_options.h>

namespace snowfox {

struct ProcessExit;

/// A child that executes its program.
struct LaunchedProcess {
  pid_t pid = 0;
  Descriptor pidfd;  ///< readable when the child has ended
  Descriptor input;  ///< the parent's ends of its pipes
  Descriptor output;
  Descriptor error;
};

/// The file that `options` asks to execute, as it is named there.
const std::string& program_of(const ProcessOptions& options);

/// The system calls of ProcessSource, so that a simulated world can answer them instead. See Io::children().
class ChildIo {
 public:
  virtual ~ChildIo() = default;

  /// The real one. Stateless: it may be used by all, for ever.
  static ChildIo& system() noexcept;

  /// Starts a child and returns when it executes its program. Throws as the constructor of ProcessSource does.
  virtual LaunchedProcess launch(const ProcessOptions& options) = 0;
  /// How it ended, whereupon nothing is left of it; nothing if it runs.
  virtual std::optional<ProcessExit> reap(int pidfd, pid_t pid) noexcept = 0;
  /// Whether it has ended, reaped or not; waits for that up to `milliseconds`.
  virtual bool ended(int pidfd, int milliseconds) noexcept = 0;
  /// 0, or an errno: ESRCH if there is nobody any more.
  virtual int signal(int pidfd, int signal) noexcept = 0;
  virtual int signal_group(pid_t group, int signal) noexcept = 0;
};

}  // namespace snowfox
