#pragma once

#include <chrono>
#include <string>

namespace snowfox {

/// The clock of everything that waits. A Poller tells its time, so a simulated one may run faster than the wall's.
using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = std::chrono::nanoseconds;

/// A deadline that never comes.
inline constexpr TimePoint kNever = TimePoint::max();

/// `start + wait`, or kNever where the sum would not fit. A negative `wait` counts as none.
constexpr TimePoint deadline_after(TimePoint start, Duration wait) {
  if (wait <= Duration::zero()) return start;
  return wait >= kNever - start ? kNever : start + wait;
}

/// A length of time in the unit that suits it, for people: `30 s`, `1.5 ms`.
std::string readable(Duration duration);

}  // namespace snowfox
