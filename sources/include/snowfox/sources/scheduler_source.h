#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

#include <snowfox/core/clock.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/timer.h>

namespace snowfox {

/// Names one of a scheduler's timers; never used again once that has ended.
enum class TimerId : std::uint64_t {};

/// Events that come at a time: once or again and again. Deadlines are in nanoseconds; an event never comes early, and
/// late by what the loop is busy with, a wheel's tick of 66 µs and the poller's resolution of a millisecond. A million
/// may be outstanding: setting and cancelling take constant time. Destroying the source cancels all. Timers do keep the
/// loop running, a scheduler without any does not.
class SchedulerSource final : public EventSource {
 public:
  using MakeEvent = std::function<EventRef()>;

  explicit SchedulerSource(LoopManager& loop);
  /// With one periodic timer from the start.
  SchedulerSource(LoopManager& loop, Duration period, MakeEvent make_event);
  ~SchedulerSource() override;

  /// `event` after `wait`, or at `deadline`; at once if that has passed.
  TimerId after(Duration wait, EventRef event);
  TimerId at(TimePoint deadline, EventRef event);
  /// The same with an event that calls `function`.
  template <typename F>
  requires std::is_invocable_v<F&> TimerId after(Duration wait, F&& function) {
    return after(wait, make_event(std::forward<F>(function)));
  }

  /// What `make_event` makes, every `period`, for the first time one period from now. A late tick is not made up for:
  /// the next one is counted from the late one. A tick for which `make_event` gives null, or throws, is skipped.
  /// `period` must be above zero.
  TimerId every(Duration period, MakeEvent make_event);
  template <typename F>
  requires std::is_void_v<std::invoke_result_t<F&>> TimerId every(Duration period, F function) {
    // Shared with the event under way, so that the function may cancel its own timer.
    auto shared = std::make_shared<F>(std::move(function));
    return every(period, MakeEvent([shared] { return make_event([shared] { (*shared)(); }); }));
  }

  /// False if it has ended already. After true its event does not come any more, even if it was due.
  bool cancel(TimerId id) noexcept;
  /// Timers set and not yet ended.
  std::size_t size() const noexcept { return size_; }

  EventRef parse() override;
  std::string name() const override { return "scheduler, " + std::to_string(size_) + " timers"; }

 private:
  /// An event could not be made: the timers go on.
  void fail(std::error_code) noexcept override { ready(); }

  struct Entry;
  struct Slab;
  Entry& make_entry();
  void free_entry(Entry& entry) noexcept;

  IntrusiveList<Entry, SchedulerSource> due_;
  std::unique_ptr<Slab> slab_;
  std::size_t size_ = 0;
};

}  // namespace snowfox
