#pragma once

#include <chrono>
#include <utility>

#include <snowfox/core/loop_manager.h>

namespace snowfox {

/// Handles events until `condition()` holds; returns whether it came to hold. Only a test that fails waits for
/// `timeout`.
template <typename Condition>
bool run_until(LoopManager& loop, Condition condition, Duration timeout = std::chrono::seconds(20)) {
  const TimePoint deadline = loop.now() + timeout;
  while (!condition()) {
    EventRef event = loop.wait(deadline - loop.now());
    if (event == nullptr) return condition();
    loop.dispatch(std::move(event));
  }
  return true;
}

}  // namespace snowfox
