// The k-th system call fails, or the k-th allocation, for each k until none is left: whatever is hit, all requests come
// to their end, no answer is another's, and both sides end in order.
#include <gtest/gtest.h>

#include <snowfox/simulation/failing_allocations.h>

#include "simulation/echo_world.h"

namespace snowfox::simulation {
namespace {

/// Connect, ask, be answered, reload twice on the way - the second configuration does not hold -, end: with one client,
/// whose or whose server's call fails.
struct Sweep {
  EchoWorld world{SimulationOptions{.seed = 7}, 1, 10};
  Process& server = *world.server;
  Process& client = *world.asking[0];

  void until(const std::string& what, const std::function<bool()>& condition) {
    require(world.simulation.run_until(condition, 600s), what + " does not come\n" + world.simulation.description());
  }
  void run() {
    until("half of the answers", [&] {
      const auto& asking = client.program<EchoClient>();
      return asking.answered() + asking.rejected() >= 5;
    });
    for (int reload = 0; reload < 2; ++reload) {
      server.signal(SIGHUP);
      world.simulation.run_for(50ms);
    }
    until("the end of all requests", [&] { return world.clients_done(); });
    world.check_answers();
    for (Process* process : {&server, &client}) {
      process->signal(SIGTERM);
      until("the end of the " + process->name(), [&] { return !process->running(); });
      require(process->exit_code() == 0,
              process->name() + " has not ended in order\n" + world.simulation.description());
    }
  }
};

struct Kind {
  const char* name;
  void (Process::*fail)(std::uint64_t) noexcept;
  std::uint64_t (Process::*count)() const noexcept;
};

class SweepTest : public testing::TestWithParam<Kind> {
 protected:
  /// With the k-th failing of whom `side` picks.
  void sweep(Process& (*side)(Sweep&)) {
    const auto [_, fail, count] = GetParam();
    for (std::uint64_t k = 0;; ++k) {
      Sweep sweep;
      Process& hit = side(sweep);
      const std::uint64_t before = (hit.*count)();
      (hit.*fail)(k);
      ASSERT_NO_THROW(sweep.run()) << GetParam().name << " " << k;
      if ((hit.*count)() - before > k) continue;
      EXPECT_GT(k, 8U);
      break;
    }
  }
};

TEST_P(SweepTest, TheServerGetsOverIt) {
  sweep([](Sweep& sweep) -> Process& { return sweep.server; });
}

TEST_P(SweepTest, TheClientGetsOverIt) {
  sweep([](Sweep& sweep) -> Process& { return sweep.client; });
}

INSTANTIATE_TEST_SUITE_P(All, SweepTest,
                         testing::Values(Kind{"SystemCall", &Process::fail_system_call, &Process::system_calls},
                                         Kind{"Allocation", &Process::fail_allocation, &Process::allocations}),
                         [](const auto& test) { return std::string(test.param.name); });

// Goal: a process that finds no memory when it starts ends with an error and leaves nothing behind, or starts.
TEST(StartSweepTest, StartsOrEndsWithAnError) {
  for (std::uint64_t k = 0;; ++k) {
    EchoWorld world(SimulationOptions{.seed = 7}, 0, 0, false);
    Process& server = world.start(world.here, "server", [k](Process& process) {
      process.fail_allocation(k);
      return std::make_shared<EchoServer>(process);
    });
    if (!server.running()) {
      ASSERT_EQ(server.exit_code(), 1);
      ASSERT_TRUE(server.said("the program cannot start"));
      continue;
    }
    EXPECT_GT(k, 8U);
    break;
  }
}

}  // namespace
}  // namespace snowfox::simulation
