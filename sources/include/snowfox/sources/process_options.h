#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace snowfox {

/// What one of a child's three standard streams is.
class ProcessStream {
 public:
  enum class Kind : std::uint8_t { Inherit, Null, Pipe, Descriptor, Append, Output };

  /// The parent's own; /dev/null where the parent has none.
  static ProcessStream inherit() { return ProcessStream(Kind::Inherit); }
  /// /dev/null.
  static ProcessStream null() { return ProcessStream(Kind::Null); }
  /// A pipe, whose other end ProcessSource gives.
  static ProcessStream pipe() { return ProcessStream(Kind::Pipe); }
  /// A copy of `fd`, which stays the caller's.
  static ProcessStream descriptor(int fd) { return ProcessStream(Kind::Descriptor, fd); }
  /// The end of the file `path`, opened with the parent's rights and made with mode 0640 if it is not there.
  static ProcessStream append_to(std::string path) { return ProcessStream(Kind::Append, -1, std::move(path)); }
  /// Only for the error stream: wherever output goes.
  static ProcessStream same_as_output() { return ProcessStream(Kind::Output); }

  Kind kind() const noexcept { return kind_; }
  int fd() const noexcept { return fd_; }
  const std::string& path() const noexcept { return path_; }

 private:
  explicit ProcessStream(Kind kind, int fd = -1, std::string path = {})
      : kind_(kind), fd_(fd), path_(std::move(path)) {}

  Kind kind_;
  int fd_;
  std::string path_;
};

/// The process group a child belongs to.
enum class ProcessGroup : std::uint8_t {
  Same,        ///< its parent's: signals from the terminal reach both
  New,         ///< one of its own, in the same session
  NewSession,  ///< a group and a session of its own, without a terminal
};

/// A descriptor the child is given: `from` in the parent is `to` in the child. `to` must be 3 or above.
struct PassedDescriptor {
  int from;
  int to;
};

/// How a child is started. Only `arguments` must be given. Whatever is said here, the child begins with no signal
/// blocked, each signal's default effect, and no descriptor open but those named here.
struct ProcessOptions {
  /// What the program finds in argv. The first is also the program, unless `program` names it.
  std::vector<std::string> arguments = {};
  /// The file to execute. Without a slash it is looked for in the directories of the child's PATH.
  std::string program = {};

  /// Whether the child starts with its parent's environment.
  bool inherit_environment = true;
  /// Each `NAME=value`, added to it or replacing what is there.
  std::vector<std::string> environment = {};

  /// Entered with the child's rights. Empty: the parent's.
  std::string working_directory = {};

  /// Whom the child runs as. A `user` must come with a `group`. If root gives either, the child's supplementary groups
  /// are those of `groups` and no others.
  std::optional<uid_t> user = {};
  std::optional<gid_t> group = {};
  std::optional<std::vector<gid_t>> groups = {};

  /// Whether no program that the child executes, nor its children, can give it rights that it does not have:
  /// set-user-id and the like have no effect.
  bool no_new_privileges = false;

  ProcessStream input = ProcessStream::null();
  ProcessStream output = ProcessStream::inherit();
  ProcessStream error = ProcessStream::inherit();
  std::vector<PassedDescriptor> descriptors = {};

  /// How many descriptors the child may have until it asks for more (RLIMIT_NOFILE, the soft limit), if not as many as
  /// its parent; at most the hard limit.
  std::optional<rlim_t> descriptor_limit = {};

  ProcessGroup process_group = ProcessGroup::Same;
  /// Sent to the child when the thread that started it ends; 0: none. Lost if the program is set-user-id.
  int parent_death_signal = 0;
  /// Whether destroying the ProcessSource leaves a running child alone instead of killing it.
  bool leave_running = false;
  /// Whether what is left of the child's process group, which must be its own, is killed when the child has ended.
  bool end_group = false;

  /// Called in the parent with the child's pid before the child executes its program: for who must not lose a child,
  /// to write down that there is one. If it throws, or the parent dies meanwhile, nothing is executed.
  std::function<void(pid_t pid)> before_execution = {};
};

}  // namespace snowfox
