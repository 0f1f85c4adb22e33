#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>

#include <snowfox/core/clock.h>

struct uv_loop_s;  // libuv's uv_loop_t

namespace snowfox {

/// Is told what its descriptor is ready for. There is one for each that is watched.
class PollTarget {
 public:
  PollTarget(const PollTarget&) = delete;
  PollTarget& operator=(const PollTarget&) = delete;

  /// Called from Poller::wait. After an error on the descriptor both are true: reading or writing tells which error.
  virtual void on_poll(bool readable, bool writable) noexcept = 0;

  int fd() const noexcept { return fd_; }

 protected:
  explicit PollTarget(int fd = -1) noexcept : fd_(fd) {}
  ~PollTarget() = default;
  /// Not while it is watched.
  void set_fd(int fd) noexcept { fd_ = fd; }

 private:
  friend class UvPoller;
  int fd_;
  std::uint8_t watch_ = 0;  // all that UvPoller keeps of a watch: here, where there is room
};

/// Something to do on another thread; see Poller::submit.
class Work {
 public:
  virtual ~Work() = default;
  /// On a thread of the pool.
  virtual void run() noexcept = 0;
  /// On the loop's thread, after run(). It may delete the work.
  virtual void done() noexcept = 0;
};

/// The only thing that knows what is ready and what time it is. UvPoller asks the system; another may simulate one.
/// Used by one LoopManager, on its thread, but for wake().
class Poller {
 public:
  virtual ~Poller() = default;

  /// Watches `target`'s descriptor: at first for nothing. A descriptor has at most one watch. One that is always ready
  /// (a regular file) is told as such at each wait.
  /// Throws std::system_error if it cannot be watched.
  virtual void watch(PollTarget& target) = 0;
  /// What to watch for from now on. Level-triggered: told again as long as it holds. `target` must be watched.
  /// Throws std::system_error if the system refuses; then it watches for what it did before.
  virtual void set_interest(PollTarget& target, bool readable, bool writable) = 0;
  /// Ends the watch, if there is one: before the descriptor is closed, and before `target` goes.
  virtual void unwatch(PollTarget& target) noexcept = 0;

  /// Returns when at least one target was told something, wake() was called, work is done, or `until` has come; a time
  /// that has passed: looks once, without waiting.
  virtual void wait(TimePoint until) = 0;

  virtual TimePoint now() const noexcept = 0;
  /// now(), perhaps some milliseconds ago, for less: never later than now(), never going back.
  virtual TimePoint coarse_now() const noexcept { return now(); }
  /// How far coarse_now() may be behind now(), as long as the system keeps its own time; the same always.
  virtual Duration coarse_lag() const noexcept { return Duration::zero(); }

  /// The time of day, for people.
  virtual std::chrono::system_clock::time_point wall_now() const noexcept { return std::chrono::system_clock::now(); }

  /// Makes the wait under way, or else the next one, return. May be called from any thread.
  virtual void wake() noexcept = 0;

  /// Runs `work` on a thread of the pool, then its done() from a wait(). `work` must stay until then.
  /// Throws std::system_error if it cannot be taken.
  virtual void submit(Work& work) = 0;

  /// From now on the program's own loop does the waiting: it calls `turn` before it blocks and after, and no longer
  /// blocks than until the time that `turn` returns. Null ends this. Pollers that have no other loop throw
  /// std::logic_error.
  using Turn = std::function<TimePoint()>;
  virtual void drive(Turn turn) = 0;
  /// Whether there is anything to wait for: only then is the program's own loop kept from ending.
  virtual void set_active(bool active) noexcept = 0;
};

/// Waits with an epoll set of its own, beside libuv, whose thread pool it uses: the set waits for libuv's loop, or the
/// program's loop for the set. A watch costs a system call when it begins, one when it ends, and none in between unless
/// it is told what nobody wants any more.
class UvPoller final : public Poller {
 public:
  /// With a libuv loop of its own. Throws std::system_error if the system has no descriptor left for it.
  UvPoller();
  /// On the program's own `uv_loop_t`, which must outlive it and be run once more after it is destroyed, so that libuv
  /// can let go of its handles.
  explicit UvPoller(uv_loop_s* loop);
  ~UvPoller() override;

  void watch(PollTarget& target) override;
  void set_interest(PollTarget& target, bool readable, bool writable) override;
  void unwatch(PollTarget& target) noexcept override;
  void wait(TimePoint until) override;
  TimePoint now() const noexcept override;
  TimePoint coarse_now() const noexcept override;
  Duration coarse_lag() const noexcept override;
  void wake() noexcept override;
  void submit(Work& work) override;
  void drive(Turn turn) override;
  void set_active(bool active) noexcept override;

 private:
  class Watches;
  struct Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace snowfox
