// Everything at once: what may go wrong does, for a while; then it stops, and all that was begun must come to its end.
#include <gtest/gtest.h>

#include <array>
#include <iostream>

#include "simulation/echo_world.h"

namespace snowfox::simulation {
namespace {

/// How often each fault point has.
using Fired = std::array<std::uint64_t, kFaultPoints>;

/// Clients and a server in rough weather; in the end it is fine, and everything must settle within virtual minutes.
std::uint64_t storm(std::uint64_t seed, const Faults& faults, Mutant mutant = Mutant::None, Fired* fired = nullptr) {
  EchoWorld world({.seed = seed, .faults = faults, .mutant = mutant}, 5, 40, false);
  Random& random = world.simulation.random();
  world.serve();
  for (int blow = 0; blow < 5 && !world.clients_done(); ++blow) {
    world.simulation.run_for(random.between(1ms, 2s));
    if (random.below(2) == 0) world.server->signal(SIGHUP);
    switch (random.below(6)) {
      case 0: world.simulation.cut(world.here, world.there); break;
      case 1: world.simulation.heal(world.here, world.there); break;
      case 2:
        world.server->kill();
        world.serve();
        break;
      case 3:
        world.server->signal(SIGTERM);
        world.simulation.run_until([&] { return !world.server->running(); }, 60s);
        require(world.server->exit_code() == 0, "the server did not end in order");
        world.serve();
        break;
      default: break;
    }
  }
  for (std::size_t i = 0; fired != nullptr && i < kFaultPoints; ++i) {
    (*fired)[i] += world.simulation.fired(static_cast<FaultPoint>(i));
  }
  world.simulation.set_faults(Faults::none());
  world.simulation.heal(world.here, world.there);
  if (!world.server->running()) world.serve();
  require(world.simulation.run_until([&] { return world.clients_done(); }, 600s),
          "not all requests have come to an end\n" + world.simulation.description());
  world.check_answers();
  world.server->signal(SIGTERM);
  require(world.simulation.run_until([&] { return !world.server->running(); }, 60s),
          "the server does not end\n" + world.simulation.description());
  require(world.server->exit_code() == 0, "the server did not end in order");
  for (Process* client : world.asking) client->signal(SIGTERM);
  world.simulation.run_for(1s);
  for (Process* client : world.asking) require(client->exit_code() == 0, "a client did not end in order");
  return world.simulation.trace_hash();
}

TEST(StormTest, LosesNothingInRoughWeather) {
  const SeedsResult result = run_seeds(100, 20, [](std::uint64_t seed) { return storm(seed, Faults::rough()); });
  EXPECT_TRUE(result) << result.message;
}

TEST(StormTest, LosesNothingWhereNothingComesInOnePiece) {
  const SeedsResult result = run_seeds(50, 10, [](std::uint64_t seed) { return storm(seed, Faults::choppy()); });
  EXPECT_TRUE(result) << result.message;
}

// Goal: nobody waits by the time of day. It jumps by hours, and nothing whatever happens earlier, later or otherwise.
TEST(StormTest, IsTheSameWhateverTheTimeOfDay) {
  Faults steady = Faults::rough();
  steady.clock_jump = 0;
  Faults jumping = steady;
  jumping.clock_jump = 0.5;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) EXPECT_EQ(storm(seed, steady), storm(seed, jumping)) << seed;
}

TEST(StormTest, GetsOverFailuresInItsOwnCode) {
#ifndef SNOWFOX_FAULT_POINTS
  GTEST_SKIP() << "built without fault points";
#endif
  Faults faults = Faults::rough();
  faults.fault_point = 0.05;
  Fired fired{};
  const SeedsResult result =
      run_seeds(100, 20, [&](std::uint64_t seed) { return storm(seed, faults, Mutant::None, &fired); });
  EXPECT_TRUE(result) << result.message;
  if (result.runs < 100) return;  // one seed alone does not come everywhere
  for (std::size_t i = 0; i < kFaultPoints; ++i) {
    EXPECT_GT(fired[i], 0U) << to_string(static_cast<FaultPoint>(i)) << " was never tried";
  }
}

TEST(StormTest, GetsOverWantOfMemory) {
  Faults faults = Faults::rough();
  faults.allocation = 0.01;
  const SeedsResult result = run_seeds(100, 20, [&](std::uint64_t seed) { return storm(seed, faults); });
  EXPECT_TRUE(result) << result.message;
}

/// The bugs that this very storm must find.
class MutantTest : public testing::TestWithParam<Mutant> {};

TEST_P(MutantTest, IsFound) {
#ifndef SNOWFOX_FAULT_POINTS
  GTEST_SKIP() << "built without fault points";
#endif
  const SeedsResult result =
      run_seeds(1000, 0, [](std::uint64_t seed) { return storm(seed, Faults::rough(), GetParam()); });
  EXPECT_FALSE(result) << "a bug was put in, and " << result.runs << " seeds did not find it";
  std::cout << to_string(GetParam()) << " was found by seed " << result.failed_seed.value_or(0) << ": "
            << result.message.substr(0, result.message.find('\n')) << "\n";
}

INSTANTIATE_TEST_SUITE_P(All, MutantTest,
                         testing::Values(Mutant::LostWakeUp, Mutant::DoubleSettle, Mutant::LeakedDescriptor,
                                         Mutant::ForgottenResume, Mutant::WrongAnswer, Mutant::LostBytes,
                                         Mutant::StaleWatch),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace snowfox::simulation
