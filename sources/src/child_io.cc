#include <snowfox/sources/process_source.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <map>
#include <set>
#include <span>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <snowfox/sources/child_io.h>

#include "pidfd.h"
#include "process_child.h"

namespace snowfox {
namespace {

std::string describe(ChildFailure::Step step, const ProcessOptions& options) {
  using Step = ChildFailure::Step;
  switch (step) {
    case Step::ProcessGroup: return "make a process group";
    case Step::Descriptors: return "arrange descriptors";
    case Step::Groups: return "set supplementary groups";
    case Step::Group: return "become group " + std::to_string(options.group.value_or(0));
    case Step::User: return "become user " + std::to_string(options.user.value_or(0));
    case Step::NoNewPrivileges: return "give up new privileges";
    case Step::ParentDeathSignal: return "ask for a signal at the parent's death";
    case Step::WorkingDirectory: return "enter " + options.working_directory;
    case Step::DescriptorLimit: return "limit its descriptors";
    case Step::Execute: return "execute";
  }
  return "start";
}

[[noreturn]] void fail(const ProcessOptions& options, const std::string& step, int error) {
  throw std::system_error(error, std::system_category(), "start " + program_of(options) + ": " + step);
}

Descriptor copy_above(int fd, int lowest, const ProcessOptions& options) {
  Descriptor copy(Io::system(), fcntl(fd, F_DUPFD_CLOEXEC, lowest));
  if (!copy) fail(options, "pass descriptor " + std::to_string(fd), errno);
  return copy;
}

Descriptor open_or_fail(const char* path, int flags, const ProcessOptions& options) {
  Descriptor file(Io::system(), open(path, flags | O_CLOEXEC | O_NOCTTY, 0640));
  if (!file) fail(options, std::string("open ") + path, errno);
  return file;
}

struct Pipe {
  Descriptor reader;
  Descriptor writer;
};

Pipe make_pipe(const ProcessOptions& options) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) fail(options, "make a pipe", errno);
  return {Descriptor(Io::system(), ends[0]), Descriptor(Io::system(), ends[1])};
}

/// The child's side of a stream; for a pipe, `parents_end` becomes the other one.
Descriptor open_stream(const ProcessStream& stream, int number, Descriptor& parents_end,
                       const ProcessOptions& options) {
  const int mode = number == STDIN_FILENO ? O_RDONLY : O_WRONLY;
  switch (stream.kind()) {
    case ProcessStream::Kind::Inherit:
      if (fcntl(number, F_GETFD) >= 0) return copy_above(number, 3, options);
      return open_or_fail("/dev/null", mode, options);
    case ProcessStream::Kind::Null: return open_or_fail("/dev/null", mode, options);
    case ProcessStream::Kind::Descriptor: return copy_above(stream.fd(), 3, options);
    case ProcessStream::Kind::Append:
      if (number == STDIN_FILENO) throw std::invalid_argument("a process cannot read from a file it appends to");
      return open_or_fail(stream.path().c_str(), O_WRONLY | O_APPEND | O_CREAT, options);
    case ProcessStream::Kind::Pipe: {
      Pipe pipe = make_pipe(options);
      Descriptor& parents = number == STDIN_FILENO ? pipe.writer : pipe.reader;
      Descriptor& childs = number == STDIN_FILENO ? pipe.reader : pipe.writer;
      if (fcntl(parents.get(), F_SETFL, O_NONBLOCK) != 0) fail(options, "make a pipe", errno);
      parents_end = std::move(parents);
      return std::move(childs);
    }
    case ProcessStream::Kind::Output: break;
  }
  throw std::invalid_argument("only a process's error stream can go where its output goes");
}

bool has_nul(const std::string& text) { return text.find('\0') != std::string::npos; }

void check(const ProcessOptions& options) {
  if (options.arguments.empty() || program_of(options).empty()) {
    throw std::invalid_argument("a process without a program");
  }
  const auto& arguments = options.arguments;
  if (std::any_of(arguments.begin(), arguments.end(), has_nul) || has_nul(options.program) ||
      has_nul(options.working_directory)) {
    throw std::invalid_argument("a NUL in the arguments of " + arguments[0]);
  }
  if (options.end_group && options.process_group == ProcessGroup::Same) {
    throw std::invalid_argument(arguments[0] + " has no process group of its own that could end with it");
  }
  if (options.user && !options.group) {
    throw std::invalid_argument("a user without a group for " + arguments[0] + ": it would keep its parent's");
  }
  for (const std::string& variable : options.environment) {
    if (variable.find('=') == std::string::npos || variable[0] == '=' || has_nul(variable)) {
      throw std::invalid_argument("not NAME=value: " + variable);
    }
  }
  std::set<int> numbers;
  for (const PassedDescriptor& passed : options.descriptors) {
    if (passed.to < 3 || !numbers.insert(passed.to).second) {
      throw std::invalid_argument("a descriptor cannot be passed as " + std::to_string(passed.to));
    }
  }
  struct sigaction child {};
  sigaction(SIGCHLD, nullptr, &child);
  if ((child.sa_flags & SA_SIGINFO) == 0 && child.sa_handler == SIG_IGN) {
    fail(options, "SIGCHLD is ignored, its exit could not be seen", EINVAL);
  }
  if ((child.sa_flags & SA_NOCLDWAIT) != 0) fail(options, "SA_NOCLDWAIT is set, its exit could not be seen", EINVAL);
}

std::vector<std::string> environment_of(const ProcessOptions& options) {
  std::map<std::string, std::string, std::less<>> variables;
  const auto set = [&variables](std::string_view variable) {
    variables.insert_or_assign(std::string(variable.substr(0, variable.find('='))), std::string(variable));
  };
  if (options.inherit_environment) {
    for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) set(*variable);
  }
  for (const std::string& variable : options.environment) set(variable);
  std::vector<std::string> all;
  all.reserve(variables.size());
  for (auto& [name, variable] : variables) all.push_back(std::move(variable));
  return all;
}

std::vector<std::string> candidates_of(const ProcessOptions& options, const std::vector<std::string>& environment) {
  const std::string& program = program_of(options);
  if (program.find('/') != std::string::npos) return {program};
  constexpr std::string_view kPath = "PATH=";
  std::string_view path = "/usr/local/bin:/usr/bin:/bin";
  for (const std::string& variable : environment) {
    if (variable.starts_with(kPath)) path = std::string_view(variable).substr(kPath.size());
  }
  std::vector<std::string> all;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find(':', begin), path.size());
    const std::string_view directory = path.substr(begin, end - begin);
    all.push_back(std::string(directory.empty() ? "." : directory) + "/" + program);
    begin = end + 1;
  }
  return all;
}

std::vector<const char*> pointers_to(const std::vector<std::string>& texts) {
  std::vector<const char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (const std::string& text : texts) pointers.push_back(text.c_str());
  pointers.push_back(nullptr);
  return pointers;
}

/// Descriptors numbered `kept`, in ascending order, stay open; all others are in the gaps.
std::vector<std::pair<unsigned, unsigned>> gaps_between(const std::vector<int>& kept) {
  std::vector<std::pair<unsigned, unsigned>> gaps;
  unsigned next = 0;
  for (const int fd : kept) {
    const auto number = static_cast<unsigned>(fd);
    if (number > next) gaps.emplace_back(next, number - 1);
    next = number + 1;
  }
  gaps.emplace_back(next, ~0U);
  return gaps;
}

unsigned descriptor_limit() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_max > 1U << 20) return 1U << 20;
  return static_cast<unsigned>(limit.rlim_max);
}

/// No handler of the parent's may run in the child: signals wait until it has none.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() noexcept {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

/// Returns in the parent alone.
pid_t fork_child(const ChildPlan& plan, int failure_fd) {
  const AllSignalsBlocked blocked;
  const pid_t pid = fork();
  if (pid < 0) fail(plan.options, "fork", errno);
  if (pid != 0) return pid;
  const ChildFailure failure = run_child(plan);
  [[maybe_unused]] const ssize_t told = write(failure_fd, &failure, sizeof failure);
  _exit(127);
}

void wait_for(pid_t pid) noexcept {
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

/// Where a child waits until its parent has written down that it exists.
struct Gate {
  Descriptor childs;  ///< ends when the parent dies
  Descriptor parents;
};

Gate make_gate(const ProcessOptions& options, int lowest) {
  if (!options.before_execution) return {};
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) fail(options, "make a socket pair", errno);
  const Descriptor childs(Io::system(), ends[0]);
  Gate gate{{}, Descriptor(Io::system(), ends[1])};
  gate.childs = copy_above(childs.get(), lowest, options);
  return gate;
}

/// Lets the child go on; if it may not, it is gone.
void open_gate(Gate& gate, pid_t pid, const ProcessOptions& options) {
  if (!options.before_execution) return;
  gate.childs.reset();
  try {
    options.before_execution(pid);
  } catch (...) {
    gate.parents.reset();
    wait_for(pid);
    throw;
  }
  // A child that has died meanwhile is none to complain of here.
  [[maybe_unused]] const ssize_t sent = send(gate.parents.get(), "", 1, MSG_NOSIGNAL);
}

LaunchedProcess launch_child(const ProcessOptions& options);

class SystemChildIo final : public ChildIo {
 public:
  LaunchedProcess launch(const ProcessOptions& options) override { return launch_child(options); }

  std::optional<ProcessExit> reap(int pidfd, pid_t pid) noexcept override {
    siginfo_t info{};
    ProcessExit exit;
    exit.pid = pid;
    // The C library's waitid() has no place for the usage.
    while (syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED | WNOHANG, &exit.usage) != 0) {
      if (errno != EINTR) return exit;  // ECHILD: somebody else has waited for it
    }
    if (info.si_pid == 0) return std::nullopt;
    if (info.si_code == CLD_EXITED) {
      exit.code = info.si_status;
    } else {
      exit.signal = info.si_status;
      exit.core_dumped = info.si_code == CLD_DUMPED;
    }
    return exit;
  }
  bool ended(int pidfd, int milliseconds) noexcept override {
    pollfd death{pidfd, POLLIN, 0};
    int ready = 0;
    while ((ready = poll(&death, 1, milliseconds)) < 0 && errno == EINTR) {
    }
    return ready > 0;
  }
  int signal(int pidfd, int signal) noexcept override { return signal_pidfd(pidfd, signal) == 0 ? 0 : errno; }
  int signal_group(pid_t group, int signal) noexcept override { return ::kill(-group, signal) == 0 ? 0 : errno; }
};

}  // namespace

const std::string& program_of(const ProcessOptions& options) {
  return options.program.empty() && !options.arguments.empty() ? options.arguments[0] : options.program;
}

ChildIo& ChildIo::system() noexcept {
  static SystemChildIo children;
  return children;
}

namespace {

LaunchedProcess launch_child(const ProcessOptions& options) {
  check(options);
  LaunchedProcess launched;
  const std::vector<std::string> environment = environment_of(options);
  const std::vector<std::string> candidates = candidates_of(options, environment);

  std::vector<int> kept = {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO};
  for (const PassedDescriptor& passed : options.descriptors) kept.push_back(passed.to);
  std::sort(kept.begin(), kept.end());

  // What is passed is first copied above all numbers it is to have, so that nothing is overwritten before it is passed.
  const int above = kept.back() + 1;
  std::vector<Descriptor> copies;
  std::vector<std::pair<int, int>> moves;
  const auto pass = [&](int from, int to) {
    copies.push_back(copy_above(from, above, options));
    moves.emplace_back(copies.back().get(), to);
  };
  pass(open_stream(options.input, STDIN_FILENO, launched.input, options).get(), STDIN_FILENO);
  pass(open_stream(options.output, STDOUT_FILENO, launched.output, options).get(), STDOUT_FILENO);
  if (options.error.kind() == ProcessStream::Kind::Output) {
    pass(moves.back().first, STDERR_FILENO);
  } else {
    pass(open_stream(options.error, STDERR_FILENO, launched.error, options).get(), STDERR_FILENO);
  }
  for (const PassedDescriptor& passed : options.descriptors) pass(passed.from, passed.to);

  Pipe failures = make_pipe(options);
  Descriptor failure_writer = copy_above(failures.writer.get(), above, options);
  failures.writer.reset();
  kept.push_back(failure_writer.get());
  Gate gate = make_gate(options, above);
  if (gate.childs) kept.push_back(gate.childs.get());
  std::sort(kept.begin(), kept.end());

  const bool root_changes_identity = geteuid() == 0 && (options.user || options.group);
  const ChildPlan plan{
      .options = options,
      .parent = getpid(),
      .arguments = pointers_to(options.arguments),
      .environment = pointers_to(environment),
      .candidates = pointers_to(candidates),
      .descriptors = moves,
      .gaps = gaps_between(kept),
      .descriptor_limit = descriptor_limit(),
      .set_groups = options.groups || root_changes_identity,
      .groups = options.groups.value_or(std::vector<gid_t>()),
      .gate = gate.childs.get(),
  };
  launched.pid = fork_child(plan, failure_writer.get());
  copies.clear();
  failure_writer.reset();

  // Nobody has reaped it yet, so the pid is still its own.
  launched.pidfd = Descriptor(Io::system(), open_pidfd(launched.pid));
  if (!launched.pidfd) {
    const int error = errno;
    kill(launched.pid, SIGKILL);
    wait_for(launched.pid);
    fail(options, error == ENOSYS ? "pidfd_open (needs Linux 5.4)" : "pidfd_open", error);
  }

  open_gate(gate, launched.pid, options);

  // The pipe closes without a word when the program is executed.
  ChildFailure failure{};
  const ssize_t size = Io::system().read(failures.reader.get(), std::as_writable_bytes(std::span(&failure, 1)));
  if (size == static_cast<ssize_t>(sizeof failure)) {
    wait_for(launched.pid);
    fail(options, describe(failure.step, options), failure.error);
  }
  return launched;
}

}  // namespace
}  // namespace snowfox
