#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace snowfox::peers {

/// Counts how long things took, in nanoseconds, each told apart to within 1/128 of itself: any number of them in the
/// same memory.
class LatencyHistogram {
 public:
  void add(std::uint64_t nanoseconds) noexcept {
    ++counts_[index_of(nanoseconds)];
    ++count_;
    max_ = std::max(max_, nanoseconds);
  }
  std::uint64_t count() const noexcept { return count_; }
  std::uint64_t max() const noexcept { return max_; }

  /// Not exceeded by that part of them (0.99: of 99 of a hundred); 0 if there are none.
  std::uint64_t quantile(double part) const noexcept {
    const auto rank = static_cast<std::uint64_t>(part * static_cast<double>(count_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > rank || (seen == count_ && seen != 0)) return std::min(middle_of(i), max_);
    }
    return 0;
  }

 private:
  static constexpr unsigned kBits = 6;  // 64 steps from one power of two to the next
  static constexpr std::uint64_t kSteps = std::uint64_t{1} << kBits;

  static std::size_t index_of(std::uint64_t value) noexcept {
    if (value < kSteps) return static_cast<std::size_t>(value);
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - kBits - 1;
    return static_cast<std::size_t>((std::uint64_t{shift} + 1) * kSteps + ((value >> shift) - kSteps));
  }
  static std::uint64_t middle_of(std::size_t index) noexcept {
    if (index < kSteps) return index;
    const auto shift = static_cast<unsigned>(index / kSteps - 1);
    return ((kSteps + index % kSteps) << shift) + ((std::uint64_t{1} << shift) >> 1);
  }

  std::array<std::uint64_t, (64 - kBits + 1) * kSteps> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t max_ = 0;
};

}  // namespace snowfox::peers
