#include <snowfox/sources/adopted_process_source.h>

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <system_error>
#include <utility>

#include <snowfox/core/loop_manager.h>

#include "pidfd.h"

namespace snowfox {
namespace {

constexpr Duration kWaitForParent = std::chrono::seconds(1);
constexpr Duration kAskAgain = std::chrono::milliseconds(10);

/// What PIDFD_GET_INFO of Linux 6.15 fills in, which older headers do not have.
struct PidfdInfo {
  std::uint64_t mask;
  std::uint64_t cgroup;
  std::uint32_t pid, tgid, ppid;
  std::uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64, "the size of the first version");
constexpr std::uint64_t kPidfdInfoExit = 1 << 3;
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);

/// How the process has ended, if the kernel tells: not before its parent has waited for it.
std::optional<ProcessExit> ask_kernel(int pidfd, pid_t pid) noexcept {
  PidfdInfo info{};
  info.mask = kPidfdInfoExit;
  if (ioctl(pidfd, kPidfdGetInfo, &info) != 0 || (info.mask & kPidfdInfoExit) == 0) return std::nullopt;
  ProcessExit exit;
  exit.pid = pid;
  if (WIFEXITED(info.exit_code)) {
    exit.code = WEXITSTATUS(info.exit_code);
  } else {
    exit.signal = WTERMSIG(info.exit_code);
    exit.core_dumped = WCOREDUMP(info.exit_code) != 0;
  }
  return exit;
}

}  // namespace

AdoptedProcessSource::AdoptedProcessSource(LoopManager& loop, const ProcessIdentity& process, Handler on_exit,
                                           bool end_group)
    : EventSource(loop),
      handler_(std::make_shared<const Handler>(std::move(on_exit))),
      process_(process),
      end_group_(end_group) {
  Descriptor pidfd(loop.io(), open_pidfd(process.pid));
  if (!pidfd) throw std::system_error(errno, std::system_category(), "adopt process " + std::to_string(process.pid));
  // Only now: from here on the descriptor names whoever has the number, and that is looked at.
  if (identify_process(loop.io(), process.pid) != process) {
    throw std::system_error(ESRCH, std::system_category(), "adopt process " + std::to_string(process.pid));
  }
  channel_ = Channel::make(loop, std::move(pidfd));
  channel_->set_source(this);
  if (!channel_->watch_read(true)) throw std::system_error(EIO, std::system_category(), "watch a process");
}

AdoptedProcessSource::~AdoptedProcessSource() = default;

bool AdoptedProcessSource::ended() const noexcept {
  if (!channel_ || exit_) return true;
  pollfd death{channel_->fd(), POLLIN, 0};
  return ::poll(&death, 1, 0) > 0;
}

bool AdoptedProcessSource::deliver(int error) const {
  if (error == 0 || error == ESRCH) return error == 0;
  throw std::system_error(error, std::system_category(), "signal " + name());
}

bool AdoptedProcessSource::signal(int signal) {
  if (ended()) return false;
  return deliver(signal_pidfd(channel_->fd(), signal) == 0 ? 0 : errno);
}

bool AdoptedProcessSource::signal_group(int signal) {
  // As long as the leader lives, the number is its group's.
  if (ended()) return false;
  return deliver(::kill(-process_.pid, signal) == 0 ? 0 : errno);
}

void AdoptedProcessSource::told(const ProcessExit& exit) noexcept {
  if (!channel_ || exit_) return;
  exit_ = exit;
  ready();
}

EventRef AdoptedProcessSource::parse() {
  if (!channel_ || !ended()) return nullptr;
  if (std::exchange(end_group_, false)) kill_left_group(loop().io(), process_);
  if (!exit_) exit_ = ask_kernel(channel_->fd(), process_.pid);
  if (!exit_) {
    const TimePoint now = loop().now();
    if (ended_at_ == kNever) ended_at_ = now;
    if (now - ended_at_ < kWaitForParent) {
      channel_->watch_read(false);  // it would be readable all the time
      loop().arm(ask_again_, kAskAgain);
      return nullptr;
    }
    exit_.emplace().pid = process_.pid;
  }
  auto event = std::make_unique<ProcessExited>(handler_, *exit_);
  ask_again_.disarm();
  channel_.reset();
  loop().remove(id());
  return event;
}

void AdoptedProcessSource::on_pause_changed() noexcept {
  if (channel_ && ended_at_ == kNever) channel_->watch_read(!paused());
}

void AdoptedProcessSource::on_removed() noexcept {
  ask_again_.disarm();
  channel_.reset();
}

std::string AdoptedProcessSource::name() const { return "adopted process " + std::to_string(process_.pid); }

}  // namespace snowfox
