#include <snowfox/core/poller.h>

#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <climits>
#include <ctime>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include <snowfox/core/io.h>

namespace snowfox {
namespace {

/// libuv still uses a handle after uv_close(), so its memory goes when the close callback has run.
struct CloseHandle {
  template <typename Handle>
  void operator()(Handle* handle) const noexcept {
    uv_close(reinterpret_cast<uv_handle_t*>(handle),
             [](uv_handle_t* closed) { delete reinterpret_cast<Handle*>(closed); });
  }
};
template <typename Handle>
using UvHandle = std::unique_ptr<Handle, CloseHandle>;

/// A status of libuv's is a negative errno on Linux.
[[noreturn]] void fail(int status, const char* what) { throw std::system_error(-status, std::system_category(), what); }

/// A new handle, once `initialise` has taken it; before that it must not be closed.
template <typename Handle, typename Initialise>
UvHandle<Handle> make_handle(const char* what, Initialise initialise) {
  auto handle = std::make_unique<Handle>();
  if (const int status = initialise(handle.get()); status != 0) fail(status, what);
  return UvHandle<Handle>(handle.release());
}

TimePoint clock_time(clockid_t clock) noexcept {
  timespec time{};
  clock_gettime(clock, &time);
  return TimePoint(std::chrono::seconds(time.tv_sec) + Duration(time.tv_nsec));
}

struct Job {
  uv_work_t request;
  Work* work;
};

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

/// The descriptors watched, each registered with an epoll set under its target.
///
/// What is no longer wanted stays asked for until the kernel tells it: so a source may pause and resume, a drain wait
/// and go on, without a system call. A hang-up is told whatever was asked for: what nobody wants anything of leaves the
/// set then, until it is wanted again.
class UvPoller::Watches {
 public:
  Watches() : set_(Io::system(), epoll_create1(EPOLL_CLOEXEC)) {
    if (!set_) fail(-errno, "make an event loop");
  }

  int fd() const noexcept { return set_.get(); }
  /// Another loop's descriptor: collect() says when it has something.
  void add_loop(int fd) {
    epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};
    if (epoll_ctl(set_.get(), EPOLL_CTL_ADD, fd, &event) != 0) fail(-errno, "make an event loop");
  }

  void watch(PollTarget& target) {
    assert(target.watch_ == 0);
    // Nearly all that is watched is read: to ask for it now saves asking for it next.
    if (const int error = change(EPOLL_CTL_ADD, target, kAskedRead)) {
      if (error != EPERM) fail(-error, "watch a descriptor");
      always_ready_.push_back(&target);
      target.watch_ = kAlwaysReady;
    }
    target.watch_ |= kWatched;
  }

  void set_interest(PollTarget& target, bool readable, bool writable) {
    assert((target.watch_ & kWatched) != 0);
    const unsigned wanted = (readable ? kWantsRead : 0) | (writable ? kWantsWrite : 0);
    const unsigned asked = target.watch_ & kAsked;
    const unsigned missing = (wanted << kAskedShift) & ~asked;
    if (missing != 0 && (target.watch_ & kAlwaysReady) == 0) {
      const int error = change(asked == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, target, asked | missing);
      if (error != 0) fail(-error, "watch a descriptor");
    }
    target.watch_ = static_cast<std::uint8_t>((target.watch_ & ~kWants) | wanted);
  }

  void unwatch(PollTarget& target) noexcept {
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

  /// Tells what there is, once there is something, for so long at most. True if the other loop has something, too.
  bool collect(Duration timeout) {
    const int count = wait_for_events(set_.get(), batch_.data(), static_cast<int>(batch_.size()), timeout);
    if (count < 0 && errno != EINTR) fail(-errno, "wait");
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

  /// Tells what is always ready and wanted; false if there is nothing such.
  bool tell_always_ready() noexcept {
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

 private:
  static constexpr std::size_t kBatch = 512;

  /// 0, or why the kernel refuses.
  int change(int how, PollTarget& target, unsigned asked) noexcept {
    epoll_event event{
        .events = ((asked & kAskedRead) != 0 ? EPOLLIN : 0U) | ((asked & kAskedWrite) != 0 ? EPOLLOUT : 0U),
        .data = {.ptr = &target}};
    if (epoll_ctl(set_.get(), how, target.fd(), &event) != 0) return errno;
    target.watch_ = static_cast<std::uint8_t>((target.watch_ & ~kAsked) | asked);
    return 0;
  }

  void tell(PollTarget& target, std::uint32_t events) noexcept {
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
  void lower(PollTarget& target) noexcept {
    const unsigned wanted = (target.watch_ & kWants) << kAskedShift;
    change(wanted == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD, target, wanted);
  }

  Descriptor set_;
  std::vector<PollTarget*>
      always_ready_;  // what epoll refuses: regular files, /dev/null. Null: ended while others were told
  std::array<epoll_event, kBatch> batch_;
  std::size_t count_ = 0;
  std::size_t next_ = 0;  // the first of the batch that is still to be told
};

/// The descriptors watched and libuv's loop, ours or the program's, one of which waits for the other.
struct UvPoller::Loop {
  Watches watches;
  uv_loop_t own;
  uv_loop_t* uv;
  UvHandle<uv_async_t> waker;
  UvHandle<uv_poll_t> watcher;  // the rest is for a program's own loop
  UvHandle<uv_timer_t> timer;
  UvHandle<uv_prepare_t> before;  // these three only while it drives us
  UvHandle<uv_check_t> after;
  UvHandle<uv_idle_t> again;
  Turn turn;
  bool owned;
  bool active = false;
  bool turning = false;
  bool waiting = false;

  explicit Loop(uv_loop_t* given) : uv(given == nullptr ? &own : given), owned(given == nullptr) {
    if (owned) {
      if (const int status = uv_loop_init(&own); status != 0) fail(status, "make an event loop");
    }
    try {
      waker = make_handle<uv_async_t>(
          "make a waker", [this](uv_async_t* handle) { return uv_async_init(uv, handle, [](uv_async_t*) {}); });
      if (owned) {
        wait_for_uv();
      } else {
        let_uv_wait();
      }
    } catch (...) {
      close();
      throw;
    }
  }
  ~Loop() { close(); }

  void wait_for_uv() {
    // What libuv waits for itself it registers only when it runs.
    uv_run(uv, UV_RUN_NOWAIT);
    watches.add_loop(uv_backend_fd(uv));
  }
  void let_uv_wait() {
    timer = make_handle<uv_timer_t>("make a timer", [this](uv_timer_t* handle) { return uv_timer_init(uv, handle); });
    watcher = make_handle<uv_poll_t>("watch descriptors",
                                     [this](uv_poll_t* handle) { return uv_poll_init(uv, handle, watches.fd()); });
    timer->data = watcher->data = this;
    const int status = uv_poll_start(watcher.get(), UV_READABLE, [](uv_poll_t* handle, int, int) {
      static_cast<Loop*>(handle->data)->watches.collect(Duration::zero());
    });
    if (status != 0) fail(status, "watch descriptors");
    // What keeps the program's own loop going is said by set_active() alone, with the waker.
    unref(waker.get());
    unref(timer.get());
    unref(watcher.get());
  }

  template <typename UvType>
  static void unref(UvType* handle) noexcept {
    uv_unref(reinterpret_cast<uv_handle_t*>(handle));
  }

  void close() noexcept {
    stop_driving();
    timer.reset();
    watcher.reset();
    waker.reset();
    // A loop of the program's runs the close callbacks itself; ours must do so before it may go.
    if (owned) {
      while (uv_loop_close(&own) == UV_EBUSY) uv_run(&own, UV_RUN_DEFAULT);
    }
  }

  // uv_run() runs timers before it blocks. One that has come due since it was set, because the thread was not given the
  // processor, would be over by then, and nothing would end the wait: so it forbids the blocking. While the program's
  // own loop drives us it needs no such thing, for a turn is taken in between.
  static void on_timer(uv_timer_t* timer) noexcept {
    const Loop& loop = *static_cast<Loop*>(timer->data);
    if (loop.waiting) uv_stop(loop.uv);
  }

  // libuv counts whole milliseconds from a time it keeps; both are rounded so that it is never early.
  void set_timer(TimePoint until, TimePoint now) {
    if (until == kNever) {
      uv_timer_stop(timer.get());
      return;
    }
    uv_update_time(uv);
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(std::max(until - now, Duration::zero()));
    uv_timer_start(timer.get(), on_timer, static_cast<std::uint64_t>(wait.count()), 0);
  }

  void start_driving(Turn new_turn);
  void stop_driving() noexcept {
    before.reset();
    after.reset();
    again.reset();
    turn = nullptr;
  }
  void take_turn() noexcept;
  void set_active(bool active) noexcept;
  void wait(bool look_only, TimePoint until);
  void wait_on_programs_loop(bool look_only, TimePoint until);
};

void UvPoller::Loop::start_driving(Turn new_turn) {
  turn = std::move(new_turn);
  before =
      make_handle<uv_prepare_t>("watch the loop", [this](uv_prepare_t* handle) { return uv_prepare_init(uv, handle); });
  after = make_handle<uv_check_t>("watch the loop", [this](uv_check_t* handle) { return uv_check_init(uv, handle); });
  again = make_handle<uv_idle_t>("watch the loop", [this](uv_idle_t* handle) { return uv_idle_init(uv, handle); });
  before->data = after->data = this;
  unref(before.get());
  unref(after.get());
  uv_prepare_start(before.get(), [](uv_prepare_t* handle) { static_cast<Loop*>(handle->data)->take_turn(); });
  uv_check_start(after.get(), [](uv_check_t* handle) { static_cast<Loop*>(handle->data)->take_turn(); });
}

void UvPoller::Loop::take_turn() noexcept {
  if (turning || !turn) return;
  turning = true;
  const Turn running = turn;  // the turn may end the driving, and with it itself
  bool more = watches.tell_always_ready();
  const TimePoint until = running();
  turning = false;
  if (!turn) return;
  const TimePoint now = clock_time(CLOCK_MONOTONIC);
  more = more || until <= now;
  if (more) {
    // An idle handle keeps libuv from blocking.
    uv_idle_start(again.get(), [](uv_idle_t*) {});
    uv_timer_stop(timer.get());
  } else {
    uv_idle_stop(again.get());
    set_timer(until, now);
  }
}

UvPoller::UvPoller() : loop_(std::make_unique<Loop>(nullptr)) {}
UvPoller::UvPoller(uv_loop_s* loop) : loop_(std::make_unique<Loop>(loop)) {}
UvPoller::~UvPoller() = default;

void UvPoller::watch(PollTarget& target) { loop_->watches.watch(target); }
void UvPoller::set_interest(PollTarget& target, bool readable, bool writable) {
  loop_->watches.set_interest(target, readable, writable);
}
void UvPoller::unwatch(PollTarget& target) noexcept { loop_->watches.unwatch(target); }

void UvPoller::wait(TimePoint until) {
  const bool look_only = loop_->watches.tell_always_ready();
  if (loop_->owned) {
    loop_->wait(look_only, until);
  } else {
    loop_->wait_on_programs_loop(look_only || (until != kNever && until <= now()), until);
  }
}

void UvPoller::Loop::wait(bool look_only, TimePoint until) {
  Duration timeout = Duration::zero();
  if (!look_only && until == kNever) {
    timeout = Duration::max();
  } else if (!look_only && until != TimePoint::min()) {
    timeout = std::max(until - clock_time(CLOCK_MONOTONIC), Duration::zero());
  }
  if (watches.collect(timeout)) uv_run(uv, UV_RUN_NOWAIT);
}

void UvPoller::Loop::wait_on_programs_loop(bool look_only, TimePoint until) {
  if (look_only) {
    uv_run(uv, UV_RUN_NOWAIT);
    return;
  }
  set_timer(until, until == kNever ? TimePoint() : clock_time(CLOCK_MONOTONIC));
  // It would not wait at all for what is not to keep it going.
  const bool was_active = active;
  set_active(true);
  waiting = true;
  uv_run(uv, UV_RUN_ONCE);
  waiting = false;
  set_active(was_active);
}

TimePoint UvPoller::now() const noexcept { return clock_time(CLOCK_MONOTONIC); }
TimePoint UvPoller::coarse_now() const noexcept { return clock_time(CLOCK_MONOTONIC_COARSE); }
Duration UvPoller::coarse_lag() const noexcept {
  timespec tick{};
  clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
  return std::chrono::seconds(tick.tv_sec) + Duration(tick.tv_nsec);
}

void UvPoller::wake() noexcept { uv_async_send(loop_->waker.get()); }

void UvPoller::submit(Work& work) {
  auto job = std::make_unique<Job>();
  job->work = &work;
  job->request.data = job.get();
  const int status = uv_queue_work(
      loop_->uv, &job->request, [](uv_work_t* request) { static_cast<Job*>(request->data)->work->run(); },
      [](uv_work_t* request, int) {
        const std::unique_ptr<Job> finished(static_cast<Job*>(request->data));
        finished->work->done();
      });
  if (status != 0) fail(status, "start work on another thread");
  static_cast<void>(job.release());
}

void UvPoller::drive(Turn turn) {
  if (loop_->owned) throw std::logic_error("a UvPoller with a loop of its own has no other loop to be driven by");
  loop_->stop_driving();
  if (turn) loop_->start_driving(std::move(turn));
  if (!loop_->turn) uv_timer_stop(loop_->timer.get());
}

void UvPoller::set_active(bool active) noexcept { loop_->set_active(active); }

void UvPoller::Loop::set_active(bool now_active) noexcept {
  if (owned || active == now_active) return;
  active = now_active;
  auto* handle = reinterpret_cast<uv_handle_t*>(waker.get());
  if (active) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

}  // namespace snowfox
