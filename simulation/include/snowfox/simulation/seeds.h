#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>

namespace snowfox::simulation {

/// One run: does everything with `seed`, throws if something is wrong, returns Simulation::trace_hash().
using SeededRun = std::function<std::uint64_t(std::uint64_t seed)>;

struct SeedsResult {
  std::size_t runs = 0;
  std::optional<std::uint64_t> failed_seed;
  /// What went wrong, and the command that runs that seed alone; empty if nothing did.
  std::string message;

  explicit operator bool() const noexcept { return !failed_seed; }
};

/// Runs seeds 1 to `fixed`, then `random` others that the system draws, until one fails. One seed in sixteen is run
/// twice: if its two traces are not the same, that is a failure, too.
///
/// The environment has the last word: SNOWFOX_SEED=17 runs that seed alone; SNOWFOX_SEEDS=10000 as many, from
/// SNOWFOX_FIRST_SEED (1) on, and says on standard error how far it is.
///
///     EXPECT_TRUE(result) << result.message, after: const SeedsResult result = run_seeds(20, 5, run);
SeedsResult run_seeds(std::size_t fixed, std::size_t random, const SeededRun& run);

/// A run has come to another end than it should.
class RunFailed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
/// Throws RunFailed unless `holds`.
inline void require(bool holds, const std::string& otherwise) {
  if (!holds) throw RunFailed(otherwise);
}

}  // namespace snowfox::simulation
