#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

#include <snowfox/core/clock.h>

namespace snowfox::simulation {

/// Numbers that look random and are the same for the same seed, on every machine: the standard library's distributions
/// are not. The generator is xoshiro256** (D. Blackman and S. Vigna, https://prng.di.unimi.it/), begun by SplitMix64.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept {
    for (std::uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15;
      std::uint64_t mixed = seed;
      mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
      mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
      word = mixed ^ (mixed >> 31);
    }
  }

  // So that it may be used with the standard library's algorithms.
  using result_type = std::uint64_t;
  static constexpr result_type min() noexcept { return 0; }
  static constexpr result_type max() noexcept { return std::numeric_limits<result_type>::max(); }
  result_type operator()() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  /// From 0 to `limit` - 1; 0 if `limit` is 0.
  std::uint64_t below(std::uint64_t limit) noexcept { return limit == 0 ? 0 : (*this)() % limit; }
  /// From `low` to `high`, both included.
  std::uint64_t between(std::uint64_t low, std::uint64_t high) noexcept { return low + below(high - low + 1); }
  Duration between(Duration low, Duration high) noexcept {
    return low + Duration(static_cast<Duration::rep>(below(static_cast<std::uint64_t>((high - low).count()) + 1)));
  }
  /// True with this probability. Draws nothing if it is zero: faults that are off leave the rest of a run as it was.
  bool chance(double probability) noexcept {
    return probability > 0 && static_cast<double>((*this)() >> 11) * 0x1p-53 < probability;
  }

 private:
  std::uint64_t state_[4];
};

}  // namespace snowfox::simulation
