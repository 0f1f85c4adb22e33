// The k-th system call fails, for each k until none is left: whatever is hit, all requests come to their end, no answer
// is another's, and both sides end in order.
#include <gtest/gtest.h>

#include "simulation/echo_world.h"

namespace snowfox::simulation {
namespace {

/// Connect, ask, be answered, end: with one client, whose or whose server's call fails.
struct Sweep {
  EchoWorld world{SimulationOptions{.seed = 7}, 1, 10, false};

  void run() {
    require(world.simulation.run_until([&] { return world.clients_done(); }, 600s),
            "not all requests have come to an end\n" + world.simulation.description());
    world.check_answers();
    world.server->signal(SIGTERM);
    require(world.simulation.run_until([&] { return !world.server->running(); }, 60s),
            "the server does not end\n" + world.simulation.description());
  }
};

TEST(SweepTest, GetsOverTheFailureOfAnySystemCallOfTheServer) {
  for (std::uint64_t k = 0;; ++k) {
    Sweep sweep;
    sweep.world.serve();
    const std::uint64_t before = sweep.world.server->system_calls();
    sweep.world.server->fail_system_call(k);
    ASSERT_NO_THROW(sweep.run()) << "system call " << k;
    if (sweep.world.server->system_calls() - before <= k) {
      EXPECT_GT(k, 8U);
      break;
    }
  }
}

TEST(SweepTest, GetsOverTheFailureOfAnySystemCallOfTheClient) {
  for (std::uint64_t k = 0;; ++k) {
    Sweep sweep;
    sweep.world.serve();
    Process& client = *sweep.world.asking[0];
    const std::uint64_t before = client.system_calls();
    client.fail_system_call(k);
    ASSERT_NO_THROW(sweep.run()) << "system call " << k;
    if (client.system_calls() - before <= k) {
      EXPECT_GT(k, 8U);
      break;
    }
  }
}

}  // namespace
}  // namespace snowfox::simulation
