// The node's own processes in rough weather: the real daemon, spawner, manager and clients on a simulated machine.
#include <gtest/gtest.h>

#include <algorithm>

#include "simulation/node_world.h"

namespace snowfox::node {
namespace {

constexpr int kRequests = 40;

/// `resets`: how often a client's connection is reset, at a read or write of it; `all_rejected` becomes more by the
/// requests that ended with an error.
std::uint64_t weather(std::uint64_t seed, double resets = 0, int* all_rejected = nullptr) {
  NodeWorld node(seed);
  auto& world = node.world;
  node.start();
  std::vector<Process*> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(&node.machine.start("client" + std::to_string(i), [](Process& process) {
      return std::make_shared<ClientProgram>(process, kRequests);
    }));
  }
  // Between the node's own processes connections are not reset; all else that may happen to them does.
  Faults faults = Faults::choppy();
  world.set_faults(faults);
  faults.reset = resets;
  for (Process* client : clients) client->set_faults(faults);
  for (int i = 1; i <= 4; ++i) {
    world.run_for(world.random().between(1ms, 200ms));
    node.configure(i);
    node.daemon->signal(SIGHUP);
  }
  world.set_faults(Faults::none());
  for (Process* client : clients) client->reset_faults();
  const auto run_until_settled = [&](int requests) {
    const auto settled = [&] {
      return std::all_of(clients.begin(), clients.end(),
                         [&](Process* client) { return client->program<ClientProgram>().settled() == requests; });
    };
    require(world.run_until(settled, 10min), "not all requests have come to an end\n" + world.description());
  };
  const auto rejections = [&] {
    int all = 0;
    for (Process* client : clients) all += client->program<ClientProgram>().rejected;
    return all;
  };
  run_until_settled(kRequests);
  const int rejected = rejections();
  require(rejected == 0 || resets != 0, "a client got an error\n" + world.description());
  world.run_for(1s);  // who has lost its connection has another
  for (Process* client : clients) client->program<ClientProgram>().ask_more(kRequests);
  run_until_settled(2 * kRequests);
  require(rejections() == rejected, "in fine weather a client got an error\n" + world.description());
  const int crashes = node.crashing.starts;
  require(world.run_until([&] { return node.crashing.starts > crashes + 3; }, 1min),
          "a service that crashes is not started again\n" + world.description());
  require(node.steady.running == 1 && node.steady.starts == 1,
          "a service that nobody has touched did not keep its process\n" + world.description());
  node.daemon->signal(SIGTERM);
  require(world.run_until([&] { return !node.daemon->running(); }, 1min),
          "the node does not end\n" + world.description());
  require(node.daemon->exit_code() == 0, "the node did not end in order\n" + world.description());
  world.run_for(1s);
  require(node.steady.running == 0 && node.crashing.running == 0,
          "the node has left a service behind\n" + world.description());
  if (all_rejected != nullptr) *all_rejected += rejected;
  return world.trace_hash();
}

TEST(NodeSimulationTest, AnswersAllAndEndsInOrder) {
  const auto result = simulation::run_seeds(15, 5, [&](std::uint64_t seed) { return weather(seed); });
  EXPECT_TRUE(result) << result.message;
}

// Goal: the daemon, which asks its parts whether they live, takes none for dead whose answers come in pieces and late.
TEST(NodeSimulationTest, TakesNoPartForDeadThatIsSlow) {
  const auto result = simulation::run_seeds(5, 2, [](std::uint64_t seed) {
    NodeWorld node(seed);
    node.start();
    node.world.set_faults(Faults::choppy());
    node.world.run_for(3min);
    node.world.set_faults(Faults::none());
    require(!node.daemon->said("does not answer"), "a part was killed\n" + node.world.description());
    require(node.steady.starts == 1, "a service was started again\n" + node.world.description());
    return node.world.trace_hash();
  });
  EXPECT_TRUE(result) << result.message;
}

// Goal: a client whose connection is reset gets an error for what was asked, connects again, and is answered; what the
// node still does for it is nobody else's trouble.
TEST(NodeSimulationTest, TellsClientsWhoseConnectionsAreReset) {
  int rejected = 0;
  const auto result = simulation::run_seeds(15, 5, [&](std::uint64_t seed) { return weather(seed, 0.02, &rejected); });
  EXPECT_TRUE(result) << result.message;
  EXPECT_GT(rejected, 0);
}

}  // namespace
}  // namespace snowfox::node
