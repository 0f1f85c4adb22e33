#pragma once

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <functional>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include <snowfox/core/poller.h>

namespace snowfox {

/// A poller whose clock is turned by hand, and by waiting: a wait takes no time, it moves the clock to its end.
/// While a descriptor is ready no time passes. A wait that would never end throws, which ends the loop with an error.
class ManualPoller final : public Poller {
 public:
  /// Finds out what descriptors are ready for, without waiting, as poll(2) does.
  using Look = std::function<void(std::vector<pollfd>& asked)>;

  /// Descriptors are real ones, unless `look` knows others.
  explicit ManualPoller(Look look = [](std::vector<pollfd>& asked) { ::poll(asked.data(), asked.size(), 0); })
      : look_(std::move(look)) {}

  std::unique_ptr<PollHandle> watch(int fd, PollTarget& target) override {
    if (watch_error_ != 0) throw std::system_error(std::exchange(watch_error_, 0), std::system_category(), "watch");
    return std::make_unique<Handle>(*this, fd, target);
  }

  void wait(TimePoint until) override {
    ++waits_;
    if (tell() || std::exchange(woken_, false)) return;
    if (!work_.empty()) {
      for (Work* work : std::exchange(work_, {})) {
        work->run();
        work->done();
      }
      return;
    }
    if (until == kNever) throw std::logic_error("this wait would never end");
    now_ = std::max(now_, until);
  }

  TimePoint now() const noexcept override { return now_; }
  void wake() noexcept override { woken_ = true; }
  void submit(Work& work) override { work_.push_back(&work); }
  void drive(Turn) override { throw std::logic_error("no other loop"); }
  void set_active(bool) noexcept override {}

  void advance(Duration time) noexcept { now_ += time; }
  /// The next descriptor to be watched is refused with this errno.
  void refuse_watch(int error) noexcept { watch_error_ = error; }
  /// How often the loop has waited.
  std::size_t waits() const noexcept { return waits_; }
  /// How often a target was told something.
  std::size_t tells() const noexcept { return tells_; }
  /// How many descriptors are being watched for something.
  std::size_t watched() const noexcept {
    return static_cast<std::size_t>(std::count_if(handles_.begin(), handles_.end(), [](const Handle* handle) {
      return handle != nullptr && handle->events != 0;
    }));
  }

 private:
  struct Handle final : PollHandle {
    Handle(ManualPoller& owner, int descriptor, PollTarget& told) : poller(owner), fd(descriptor), target(told) {
      poller.handles_.push_back(this);
    }
    ~Handle() override {
      std::replace(poller.handles_.begin(), poller.handles_.end(), this, static_cast<Handle*>(nullptr));
    }
    void set_interest(bool readable, bool writable) override {
      events = static_cast<short>((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
    }

    ManualPoller& poller;
    int fd;
    PollTarget& target;
    short events = 0;
  };

  bool tell() {
    std::erase(handles_, nullptr);
    std::vector<pollfd> asked;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < handles_.size(); ++i) {
      if (handles_[i]->events == 0) continue;
      asked.push_back({handles_[i]->fd, handles_[i]->events, 0});
      places.push_back(i);
    }
    look_(asked);
    bool told = false;
    for (std::size_t i = 0; i < asked.size(); ++i) {
      Handle* handle = handles_[places[i]];  // those told before may have ended this one
      if (handle == nullptr || asked[i].revents == 0) continue;
      told = true;
      ++tells_;
      const bool error = (asked[i].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
      handle->target.on_poll(error || (asked[i].revents & POLLIN) != 0, error || (asked[i].revents & POLLOUT) != 0);
    }
    return told;
  }

  Look look_;
  TimePoint now_{std::chrono::hours(1)};
  std::vector<Handle*> handles_;  // null: ended while others were told
  std::vector<Work*> work_;
  std::size_t waits_ = 0;
  std::size_t tells_ = 0;
  int watch_error_ = 0;
  bool woken_ = false;
};

}  // namespace snowfox
