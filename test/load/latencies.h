#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include <snowfox/core/clock.h>

namespace snowfox {

/// How long each of many things took.
class Latencies {
 public:
  void add(Duration took) { all_.push_back(std::chrono::duration<float, std::micro>(took).count()); }
  void clear() noexcept { all_.clear(); }
  std::size_t count() const noexcept { return all_.size(); }

  /// Not exceeded by so many of a hundred, in microseconds; 0 if there are none.
  double percentile(double percent) {
    if (all_.empty()) return 0;
    const auto rank = static_cast<std::size_t>(percent / 100 * static_cast<double>(all_.size() - 1));
    const auto at = all_.begin() + static_cast<std::ptrdiff_t>(rank);
    std::nth_element(all_.begin(), at, all_.end());
    return *at;
  }

 private:
  std::vector<float> all_;
};

}  // namespace snowfox
