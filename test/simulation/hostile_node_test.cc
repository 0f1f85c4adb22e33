// A node of which one part has been taken over: what it says harms itself alone. The fuzz target node_links looks for
// what to say; this says what comes to mind at random.
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include "simulation/hostile_node.h"

namespace snowfox::node {
namespace {

std::uint64_t live(std::uint64_t seed) {
  // What it says of texts that are no UTF-8 would fill the terminal.
  [[maybe_unused]] static const google::protobuf::LogSilencer quiet;
  simulation::Random random(seed);
  constexpr std::uint64_t kMostBytes = 2000;
  std::vector<std::uint8_t> bytes(random.below(kMostBytes));
  // Small numbers choose what has a meaning more often.
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.below(random.below(4) == 0 ? 256 : 16));
  return live_with_hostile_part(seed, FuzzInput(bytes.data(), bytes.size()));
}

TEST(HostileNodeTest, IsHarmedByNothingThatOneOfItsPartsSays) {
  const auto result = simulation::run_seeds(40, 10, live);
  EXPECT_TRUE(result) << result.message;
}

}  // namespace
}  // namespace snowfox::node
