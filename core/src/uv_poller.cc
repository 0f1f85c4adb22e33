#include <snowfox/core/poller.h>

#include <uv.h>

#include <algorithm>
#include <ctime>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <snowfox/core/io.h>

#include "uv_watches.h"

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

}  // namespace

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
