#include <snowfox/core/poller.h>

#include <fcntl.h>
#include <uv.h>

#include <algorithm>
#include <ctime>
#include <stdexcept>
#include <system_error>
#include <vector>

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

/// Libuv's loop, ours or the program's, and the handles that serve all descriptors together.
struct UvPoller::Loop {
  uv_loop_t own;
  uv_loop_t* uv;
  UvHandle<uv_timer_t> timer;
  UvHandle<uv_async_t> waker;
  UvHandle<uv_prepare_t> before;  // these three only while driven by the program's own loop
  UvHandle<uv_check_t> after;
  UvHandle<uv_idle_t> again;
  Turn turn;
  std::vector<Handle*> always_ready;  // descriptors that epoll refuses: regular files, /dev/null
  bool owned;
  bool active = false;
  bool turning = false;
  bool waiting = false;

  explicit Loop(uv_loop_t* given) : uv(given == nullptr ? &own : given), owned(given == nullptr) {
    if (owned) {
      if (const int status = uv_loop_init(&own); status != 0) fail(status, "make an event loop");
    }
    try {
      timer = make_handle<uv_timer_t>("make a timer", [this](uv_timer_t* handle) { return uv_timer_init(uv, handle); });
      waker = make_handle<uv_async_t>(
          "make a waker", [this](uv_async_t* handle) { return uv_async_init(uv, handle, [](uv_async_t*) {}); });
    } catch (...) {
      close();
      throw;
    }
    timer->data = this;
    // What keeps the program's own loop going is said by set_active() alone, with the waker.
    unref_unless_owned(timer.get());
    unref_unless_owned(waker.get());
  }
  ~Loop() { close(); }

  template <typename UvType>
  void unref_unless_owned(UvType* handle) noexcept {
    if (!owned) uv_unref(reinterpret_cast<uv_handle_t*>(handle));
  }

  void close() noexcept {
    stop_driving();
    timer.reset();
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
  bool tell_always_ready() noexcept;
};

class UvPoller::Handle final : public PollHandle {
 public:
  Handle(Loop& loop, int fd, PollTarget& target) : loop_(loop), target_(target) {
    auto poll = std::make_unique<uv_poll_t>();
    // uv_poll_init() makes the descriptor non-blocking. Standard input shares that flag with the shell that started us,
    // so what was blocking stays so: it is read only when there is something to read.
    const int flags = fcntl(fd, F_GETFL);
    const int status = uv_poll_init(loop.uv, poll.get(), fd);
    if (flags >= 0 && (flags & O_NONBLOCK) == 0) fcntl(fd, F_SETFL, flags);
    if (status == UV_EPERM) {
      always_ready_ = true;
      loop_.always_ready.push_back(this);
      return;
    }
    if (status != 0) fail(status, "watch a descriptor");
    poll_.reset(poll.release());
    poll_->data = this;
    loop_.unref_unless_owned(poll_.get());
  }
  ~Handle() override {
    if (always_ready_) {
      std::replace(loop_.always_ready.begin(), loop_.always_ready.end(), this, static_cast<Handle*>(nullptr));
    }
  }

  void set_interest(bool readable, bool writable) override {
    readable_ = readable;
    writable_ = writable;
    if (always_ready_) return;
    const int events = (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0);
    const int status = events == 0 ? uv_poll_stop(poll_.get()) : uv_poll_start(poll_.get(), events, on_poll);
    if (status != 0) fail(status, "watch a descriptor");
  }

  bool wanted() const noexcept { return readable_ || writable_; }
  void tell() noexcept { target_.on_poll(readable_, writable_); }

 private:
  static void on_poll(uv_poll_t* poll, int status, int events) noexcept {
    auto& handle = *static_cast<Handle*>(poll->data);
    if (status < 0) {
      // libuv has stopped watching. The next read or write tells the error; if there is none after all, go on.
      const bool readable = handle.readable_;
      const bool writable = handle.writable_;
      uv_poll_start(poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_poll);
      handle.target_.on_poll(true, true);
      return;
    }
    handle.target_.on_poll((events & (UV_READABLE | UV_DISCONNECT)) != 0, (events & UV_WRITABLE) != 0);
  }

  Loop& loop_;
  PollTarget& target_;
  UvHandle<uv_poll_t> poll_;
  bool readable_ = false;
  bool writable_ = false;
  bool always_ready_ = false;
};

bool UvPoller::Loop::tell_always_ready() noexcept {
  if (always_ready.empty()) return false;
  bool told = false;
  // Targets may add or remove handles while they are told: new ones wait for the next time, removed ones are null.
  const std::size_t count = always_ready.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (always_ready[i] == nullptr || !always_ready[i]->wanted()) continue;
    told = true;
    always_ready[i]->tell();
  }
  std::erase(always_ready, nullptr);
  return told;
}

void UvPoller::Loop::start_driving(Turn new_turn) {
  turn = std::move(new_turn);
  before =
      make_handle<uv_prepare_t>("watch the loop", [this](uv_prepare_t* handle) { return uv_prepare_init(uv, handle); });
  after = make_handle<uv_check_t>("watch the loop", [this](uv_check_t* handle) { return uv_check_init(uv, handle); });
  again = make_handle<uv_idle_t>("watch the loop", [this](uv_idle_t* handle) { return uv_idle_init(uv, handle); });
  before->data = after->data = this;
  unref_unless_owned(before.get());
  unref_unless_owned(after.get());
  uv_prepare_start(before.get(), [](uv_prepare_t* handle) { static_cast<Loop*>(handle->data)->take_turn(); });
  uv_check_start(after.get(), [](uv_check_t* handle) { static_cast<Loop*>(handle->data)->take_turn(); });
}

void UvPoller::Loop::take_turn() noexcept {
  if (turning || !turn) return;
  turning = true;
  const Turn running = turn;  // the turn may end the driving, and with it itself
  bool more = tell_always_ready();
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

std::unique_ptr<PollHandle> UvPoller::watch(int fd, PollTarget& target) {
  return std::make_unique<Handle>(*loop_, fd, target);
}

void UvPoller::wait(TimePoint until) {
  bool look_only = loop_->tell_always_ready();
  if (!look_only && until != kNever) look_only = until <= now();
  if (look_only) {
    uv_run(loop_->uv, UV_RUN_NOWAIT);
    return;
  }
  loop_->set_timer(until, until == kNever ? TimePoint() : now());
  // The program's own loop would not wait at all for what is not to keep it going.
  const bool was_active = loop_->active;
  set_active(true);
  loop_->waiting = true;
  uv_run(loop_->uv, UV_RUN_ONCE);
  loop_->waiting = false;
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

void UvPoller::set_active(bool active) noexcept {
  if (loop_->owned || loop_->active == active) return;
  loop_->active = active;
  auto* waker = reinterpret_cast<uv_handle_t*>(loop_->waker.get());
  if (active) {
    uv_ref(waker);
  } else {
    uv_unref(waker);
  }
}

}  // namespace snowfox
