#pragma once

#include <exception>

#include <snowfox/core/clock.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>
#include <snowfox/promises/promise.h>

namespace snowfox {

/// Fulfilled when `duration` has gone by, never earlier. Dropping the promise disarms its timer.
Promise<void> sleep(LoopManager& loop, Duration duration);
/// Fulfilled at `time`, or soon if that has passed; never at kNever.
Promise<void> sleep_until(LoopManager& loop, TimePoint time);

/// The error of a promise that was not settled within `waited`: Errc::DeadlineExceeded, naming `id` and how long.
std::exception_ptr deadline_exceeded(const CorrelationId& id, Duration waited) noexcept;

/// The state of a promise that waits for another, but not for ever.
template <typename T>
class DeadlineState final : public Continuation<T>, private Timer {
 public:
  DeadlineState(ValueState<T>& source, Duration duration) : Continuation<T>(source), duration_(duration) {
    this->wait_for(source);
    this->loop()->arm(*this, duration);
  }

 private:
  void run() noexcept override {
    disarm();
    this->begin();
    this->settle_as_followed();
    this->end();
  }
  void expire() noexcept override {
    if (this->upstream()->settled()) return;  // just in time: run() comes yet
    this->begin();
    this->drop_upstream();
    this->store_error(deadline_exceeded(this->id(), duration_));
    this->end();
  }

  Duration duration_;
};

/// As `promise`, if that is settled within `duration`; else it is dropped, and rejected with Errc::DeadlineExceeded.
template <typename T>
Promise<T> with_deadline(Promise<T>&& promise, Duration duration) {
  auto* state = new DeadlineState<T>(*promise.state(), duration);
  promise.take_state();
  return Promise<T>(state);
}

}  // namespace snowfox
