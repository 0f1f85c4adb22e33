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

  void watch(PollTarget& target) override {
    if (watch_error_ != 0) throw std::system_error(std::exchange(watch_error_, 0), std::system_category(), "watch");
    watches_.push_back({&target, 0});
  }
  void set_interest(PollTarget& target, bool readable, bool writable) override {
    find(target)->events = static_cast<short>((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
  }
  void unwatch(PollTarget& target) noexcept override {
    if (const auto watch = find(target); watch != watches_.end()) *watch = {nullptr, 0};
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
    return static_cast<std::size_t>(
        std::count_if(watches_.begin(), watches_.end(), [](const Watch& watch) { return watch.events != 0; }));
  }

 private:
  struct Watch {
    PollTarget* target;  // null: ended while others were told
    short events;
  };
  std::vector<Watch>::iterator find(const PollTarget& target) noexcept {
    return std::find_if(watches_.begin(), watches_.end(), [&](const Watch& watch) { return watch.target == &target; });
  }

  bool tell() {
    std::erase_if(watches_, [](const Watch& watch) { return watch.target == nullptr; });
    std::vector<pollfd> asked;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < watches_.size(); ++i) {
      if (watches_[i].events == 0) continue;
      asked.push_back({watches_[i].target->fd(), watches_[i].events, 0});
      places.push_back(i);
    }
    look_(asked);
    bool told = false;
    for (std::size_t i = 0; i < asked.size(); ++i) {
      PollTarget* target = watches_[places[i]].target;  // those told before may have ended this one
      if (target == nullptr || asked[i].revents == 0) continue;
      told = true;
      ++tells_;
      const bool error = (asked[i].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
      target->on_poll(error || (asked[i].revents & POLLIN) != 0, error || (asked[i].revents & POLLOUT) != 0);
    }
    return told;
  }

  Look look_;
  TimePoint now_{std::chrono::hours(1)};
  std::vector<Watch> watches_;
  std::vector<Work*> work_;
  std::size_t waits_ = 0;
  std::size_t tells_ = 0;
  int watch_error_ = 0;
  bool woken_ = false;
};

}  // namespace snowfox
