#pragma once

#include <cstddef>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/explanation.h>
#include <snowfox/core/lifecycle.h>

namespace snowfox {

/// Remembers the last steps of all that goes by a correlation id, so that LoopManager::explain() can tell how something
/// came to wait; and logs the steps of a request that times out. For this one makes it and keeps it:
///
///     LoopManager loop;
///     Trail trail(loop);
///
/// What it remembers is bounded: when the ring is full, each step takes the place of the oldest. Noting a step costs
/// some ten nanoseconds and never allocates; without a Trail it costs a comparison.
class Trail {
 public:
  /// A step takes about 120 bytes.
  static constexpr std::size_t kDefaultSteps = 8192;

  /// `loop` must outlive it. `steps` must be above zero.
  explicit Trail(LoopManager& loop, std::size_t steps = kDefaultSteps);
  Trail(const Trail&) = delete;
  Trail& operator=(const Trail&) = delete;

  /// Steps noted in all, also those that are forgotten by now.
  std::size_t noted() const noexcept { return noted_; }

 private:
  struct Unflushed {
    const EventDrain* drain;  // which is there as long as something in it waits
    std::uint64_t position;   // of its last byte in all that the drain was given
    Step step;
  };

  void note(Step step) noexcept;
  void gone_from(const EventDrain& drain, StepKind kind) noexcept;
  void report_time_out(const Step& step) noexcept;
  void explain(Explanation& explanation) const;

  LoopManager& loop_;
  std::vector<Step> ring_;
  std::size_t noted_ = 0;
  std::vector<Unflushed> unflushed_;  // in the order of the steps
  TimePoint reporting_since_{};
  unsigned reports_ = 0;

  Hook<const Step&>::Token on_step_;
  Hook<Event&>::Token on_event_;
  Hook<Event&, std::exception_ptr>::Token on_error_;
  Hook<Event&>::Token on_done_;
  Hook<EventDrain&, std::size_t>::Token on_flush_;
  Hook<EventDrain&, std::size_t>::Token on_drop_;
  Hook<Explanation&>::Token on_explain_;
};

}  // namespace snowfox
