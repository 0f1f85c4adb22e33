#include <snowfox/sources/process_source.h>

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>

#include <snowfox/core/loop_manager.h>

#include "pidfd.h"
#include "process_launch.h"

namespace snowfox {
namespace {

constexpr int kDeathTimeoutMilliseconds = 1000;

/// How the process ended and its descriptor with it; nothing if it runs.
std::optional<ProcessExit> reap(int pidfd, pid_t pid) noexcept {
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

}  // namespace

std::string ProcessExit::str() const {
  if (code) return "exit code " + std::to_string(*code);
  if (!signal) return "unknown";
  const char* abbreviation = sigabbrev_np(*signal);
  return "killed by " +
         (abbreviation != nullptr ? std::string("SIG") + abbreviation : "signal " + std::to_string(*signal)) +
         (core_dumped ? ", core dumped" : "");
}

ProcessSource::ProcessSource(LoopManager& loop, const ProcessOptions& options, Handler on_exit)
    : EventSource(loop),
      handler_(std::make_shared<const Handler>(std::move(on_exit))),
      program_(program_of(options)),
      own_group_(options.process_group != ProcessGroup::Same),
      leave_running_(options.leave_running) {
  LaunchedProcess launched = launch_process(options);
  pid_ = launched.pid;
  input_ = std::move(launched.input);
  output_ = std::move(launched.output);
  error_ = std::move(launched.error);
  try {
    channel_ = Channel::make(loop, std::move(launched.pidfd));
    channel_->set_source(this);
    if (!channel_->watch_read(true)) throw std::system_error(EIO, std::system_category(), "watch a process");
  } catch (...) {
    // Nobody else knows of the child, and its pid is its own until it is waited for.
    kill(pid_, SIGKILL);
    while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    throw;
  }
}

ProcessSource::~ProcessSource() {
  if (!running() || reap(pidfd(), pid_) || leave_running_) return;
  kill_and_reap();
}

void ProcessSource::kill_and_reap() noexcept {
  if (own_group_) kill(-pid_, SIGKILL);
  signal_pidfd(pidfd(), SIGKILL);
  pollfd death{pidfd(), POLLIN, 0};
  while (poll(&death, 1, kDeathTimeoutMilliseconds) < 0 && errno == EINTR) {
  }
  if (!reap(pidfd(), pid_)) {
    loop().log().warning("process", "a killed child does not end", {{"program", program_}, {"pid", pid_}});
  }
}

bool ProcessSource::signal(int signal) {
  if (!running()) return false;
  pollfd death{pidfd(), POLLIN, 0};
  if (poll(&death, 1, 0) > 0) return false;
  if (signal_pidfd(pidfd(), signal) == 0) return true;
  if (errno == ESRCH) return false;
  throw std::system_error(errno, std::system_category(), "signal " + name());
}

bool ProcessSource::signal_group(int signal) {
  assert(own_group_);
  if (!running()) return false;
  if (kill(-pid_, signal) == 0) return true;
  if (errno == ESRCH) return false;
  throw std::system_error(errno, std::system_category(), "signal the group of " + name());
}

EventRef ProcessSource::parse() {
  const auto exit = reap(pidfd(), pid_);
  if (!exit) return nullptr;
  if (!exit->code && !exit->signal) {
    loop().log().error("process", "somebody else has waited for a child", {{"program", program_}, {"pid", pid_}});
  }
  channel_.reset();
  loop().remove(id());
  return std::make_unique<ProcessExited>(handler_, *exit);
}

void ProcessSource::on_pause_changed() noexcept {
  if (channel_) channel_->watch_read(!paused());
}

void ProcessSource::on_removed() noexcept {
  if (!channel_) return;
  pidfd_ = channel_->release();
  channel_.reset();
}

std::string ProcessSource::name() const { return "process " + std::to_string(pid_) + " " + program_; }

}  // namespace snowfox
