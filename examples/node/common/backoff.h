#pragma once

#include <algorithm>
#include <cstdint>

#include <snowfox/core/clock.h>

namespace snowfox::node {

/// How long to wait before something that has failed is tried again: twice as long each time, up to a limit, and from
/// the beginning once it has gone well for long enough.
class Backoff {
 public:
  Backoff(Duration first, Duration limit, Duration forgiven_after)
      : first_(first), limit_(std::max(first, limit)), forgiven_after_(forgiven_after) {}

  /// It has failed again, after it had gone well for `lived`.
  Duration next(Duration lived) noexcept {
    if (lived >= forgiven_after_) reset();
    ++failures_;
    Duration wait = first_;
    for (std::uint32_t i = 1; i < failures_ && wait < limit_; ++i) wait *= 2;
    return std::min(wait, limit_);
  }
  void reset() noexcept { failures_ = 0; }
  /// So many in a row.
  std::uint32_t failures() const noexcept { return failures_; }
  /// Goes on where another has left off.
  void resume(std::uint32_t failures) noexcept { failures_ = failures; }

 private:
  Duration first_;
  Duration limit_;
  Duration forgiven_after_;
  std::uint32_t failures_ = 0;
};

}  // namespace snowfox::node
