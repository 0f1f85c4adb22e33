#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/core/id.h>

namespace snowfox {

/// What can happen to a request, or to whatever else goes by a correlation id.
enum class StepKind : std::uint8_t {
  Received,   ///< an event of this id came in
  Failed,     ///< its handler threw, or its deadline had passed
  Handled,    ///< its handler is through
  Kept,       ///< a promise waits for the answer
  Enqueued,   ///< a message went into a drain
  Flushed,    ///< the last byte of that message was taken, by the kernel or whatever the drain writes to
  Dropped,    ///< the drain was closed before that
  Fulfilled,  ///< the answer came
  Rejected,   ///< it will not come
  TimedOut,   ///< it did not come in time
  Abandoned,  ///< who waited for it does so no more
  Orphaned,   ///< an answer came and nobody waited for it
};
/// "received", "timed out", …
std::string_view to_string(StepKind kind) noexcept;

/// One thing that happened.
struct Step {
  CorrelationId id;
  StepKind kind;
  std::string_view what = {};  ///< of an event its name, of a promise the type it waits for; for the life of the thread
  DrainId drain = kNoDrain;    ///< where it went
  std::uint64_t bytes = 0;     ///< so much of it
  TimePoint at{};              ///< whoever remembers steps writes the time down
};

/// Why something is waiting: what for, since when, how long still, and how it came to that. Made by
/// LoopManager::explain(); parts of a program add what they know by Lifecycle::explain.
class Explanation {
 public:
  struct Wait {
    CorrelationId id;
    std::string_view what;  ///< the type of the value waited for; for the life of the thread
    TimePoint since;        ///< to within the coarse clock's resolution of a few milliseconds
    TimePoint deadline;     ///< kNever if it has none
  };

  /// Of so many waits the oldest are told, the rest counted.
  static constexpr std::size_t kMostWaits = 256;

  /// Of what goes by `id`; if that is empty, of all that waits.
  Explanation(const CorrelationId& id, TimePoint now) : id_(id), now_(now) {}

  const CorrelationId& id() const noexcept { return id_; }
  TimePoint now() const noexcept { return now_; }
  bool is_about(const CorrelationId& id) const noexcept { return id_.empty() || id_ == id; }

  /// What there is no memory for is left out, of waits counted.
  void add(const Wait& wait) noexcept;
  void add(const Step& step) noexcept;
  void add_orphans(std::uint64_t count) noexcept { orphans_ += count; }

  /// The oldest first.
  std::vector<Wait> waits() const;
  /// So many waits are not among those.
  std::size_t omitted_waits() const;
  /// So many answers in all, whatever it is about, came when nobody waited for them any more.
  std::uint64_t orphans() const noexcept { return orphans_; }
  /// In the order in which they happened.
  const std::vector<Step>& steps() const noexcept { return steps_; }
  /// In one line; times count from the first step: `waits for Answer since 2.1 s, for 900 ms more; kept, enqueued
  /// 42 bytes 9 us, flushed 31 us`.
  std::string str() const;

 private:
  CorrelationId id_;
  TimePoint now_;
  std::vector<Wait> waits_;
  std::size_t dropped_waits_ = 0;
  std::uint64_t orphans_ = 0;
  std::vector<Step> steps_;
};

}  // namespace snowfox
