#include "uv_watches.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <climits>
#include <ctime>
#include <system_error>

namespace snowfox {
namespace {

[[noreturn]] void fail(const char* what, int error = errno) {
  throw std::system_error(error, std::system_category(), what);
}

// What UvPoller knows of a watch, in PollTarget::watch_: what is wanted, what the kernel was asked for, and which kind.
constexpr unsigned kWantsRead = 1;
constexpr unsigned kWantsWrite = 2;
constexpr unsigned kWants = kWantsRead | kWantsWrite;
constexpr unsigned kAskedRead = 4;
constexpr unsigned kAskedWrite = 8;
constexpr unsigned kAsked = kAskedRead | kAskedWrite;
constexpr unsigned kAskedShift = 2;  // from what is wanted to what was asked for
constexpr unsigned kWatched = 16;
constexpr unsigned kAlwaysReady = 32;

int wait_for_events(int set, epoll_event* events, int most, Duration timeout) noexcept {
  if (timeout == Duration::zero()) return epoll_wait(set, events, most, 0);
  if (timeout == Duration::max()) return epoll_wait(set, events, most, -1);
#ifdef SYS_epoll_pwait2
  // Not before Linux 5.11, and some sandboxes refuse what they do not know.
  static constinit thread_local bool refused = false;
  if (!refused) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(timeout);
    const timespec time{.tv_sec = seconds.count(), .tv_nsec = (timeout - seconds).count()};
    const long count = syscall(SYS_epoll_pwait2, set, events, most, &time, nullptr, std::size_t{0});
    if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return static_cast<int>(count);
    refused = true;
  }
#endif
  const auto wait = std::chrono::ceil<std::chrono::milliseconds>(timeout).count();
  return epoll_wait(set, events, most, static_cast<int>(std::min<decltype(wait)>(wait, INT_MAX)));
}

}  // namespace

UvPoller::Watches::Watches() : set_(Io::system(), epoll_create1(EPOLL_CLOEXEC)) {
  if (!set_) fail("make an event loop");
}

void UvPoller::Watches::add_loop(int fd) {
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
  if (epoll_ctl(set_.get(), EPOLL_CTL_ADD, fd, &event) != 0) fail("make an event loop");
}

void UvPoller::Watches::watch(PollTarget& target) {
  assert(target.watch_ == 0);
  // Nearly all that is watched is read: to ask for it now saves asking for it next.
  if (const int error = change(EPOLL_CTL_ADD, target, kAskedRead)) {
    if (error != EPERM) fail("watch a descriptor", error);
    always_ready_.push_back(&target);
    target.watch_ = kAlwaysReady;
  }
  target.watch_ |= kWatched;
}

void UvPoller::Watches::set_interest(PollTarget& target, bool readable, bool writable) {
  assert((target.watch_ & kWatched) != 0);
  const unsigned wanted = (readable ? kWantsRead : 0) | (writable ? kWantsWrite : 0);
  const unsigned asked = target.watch_ & kAsked;
  const unsigned missing = (wanted << kAskedShift) & ~asked;
  if (missing != 0 && (target.watch_ & kAlwaysReady) == 0) {
    const int error = change(asked == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, target, asked | missing);
    if (error != 0) fail("watch a descriptor", error);
  }
  target.watch_ = static_cast<std::uint8_t>((target.watch_ & ~kWants) | wanted);
}

void UvPoller::Watches::unwatch(PollTarget& target) noexcept {
  if ((target.watch_ & kAlwaysReady) != 0) {
    std::replace(always_ready_.begin(), always_ready_.end(), &target, static_cast<PollTarget*>(nullptr));
  }
  // Closing the descriptor would not do it: another may refer to the same socket.
  if ((target.watch_ & kAsked) != 0) change(EPOLL_CTL_DEL, target, 0);
  target.watch_ = 0;
  for (std::size_t i = next_; i < count_; ++i) {
    if (batch_[i].data.ptr == &target) batch_[i].events = 0;
  }
}

bool UvPoller::Watches::collect(Duration timeout) {
  const int count = wait_for_events(set_.get(), batch_.data(), static_cast<int>(batch_.size()), timeout);
  if (count < 0 && errno != EINTR) fail("wait");
  count_ = static_cast<std::size_t>(std::max(count, 0));
  bool loop_ready = false;
  for (next_ = 0; next_ < count_;) {
    const epoll_event& event = batch_[next_++];
    if (event.data.ptr == nullptr) {
      loop_ready = true;
    } else {
      tell(*static_cast<PollTarget*>(event.data.ptr), event.events);
    }
  }
  return loop_ready;
}

bool UvPoller::Watches::tell_always_ready() noexcept {
  if (always_ready_.empty()) return false;
  bool told = false;
  // Targets may begin or end watches while they are told: new ones wait for the next time, ended ones are null.
  const std::size_t count = always_ready_.size();
  for (std::size_t i = 0; i < count; ++i) {
    PollTarget* const target = always_ready_[i];
    if (target == nullptr || (target->watch_ & kWants) == 0) continue;
    told = true;
    target->on_poll((target->watch_ & kWantsRead) != 0, (target->watch_ & kWantsWrite) != 0);
  }
  std::erase(always_ready_, nullptr);
  return told;
}

int UvPoller::Watches::change(int how, PollTarget& target, unsigned asked) noexcept {
  epoll_event event{.events = ((asked & kAskedRead) != 0 ? EPOLLIN : 0U) | ((asked & kAskedWrite) != 0 ? EPOLLOUT : 0U),
                    .data = {.ptr = &target}};
  if (epoll_ctl(set_.get(), how, target.fd(), &event) != 0) return errno;
  target.watch_ = static_cast<std::uint8_t>((target.watch_ & ~kAsked) | asked);
  return 0;
}

void UvPoller::Watches::tell(PollTarget& target, std::uint32_t events) noexcept {
  if (events == 0) return;  // its watch has ended since
  const unsigned watch = target.watch_;
  const bool wants_read = (watch & kWantsRead) != 0;
  const bool wants_write = (watch & kWantsWrite) != 0;
  const bool over = (events & (EPOLLERR | EPOLLHUP)) != 0;
  const bool unwanted = ((events & EPOLLIN) != 0 && !wants_read) || ((events & EPOLLOUT) != 0 && !wants_write) ||
                        (over && (watch & kWants) == 0);
  if (unwanted) lower(target);
  if ((watch & kWants) == 0) return;
  if ((events & EPOLLERR) != 0) return target.on_poll(true, true);
  const bool readable = wants_read && (over || (events & EPOLLIN) != 0);
  const bool writable = wants_write && (over || (events & EPOLLOUT) != 0);
  if (readable || writable) target.on_poll(readable, writable);
}

void UvPoller::Watches::lower(PollTarget& target) noexcept {
  const unsigned wanted = (target.watch_ & kWants) << kAskedShift;
  change(wanted == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD, target, wanted);
}

}  // namespace snowfox
