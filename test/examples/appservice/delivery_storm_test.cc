// A scheduler, its store and its services in all kinds of trouble, by seeds.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <snowfox/simulation/random.h>
#include <snowfox/simulation/seeds.h>

#include "flaky_store.h"
#include "scheduler_world.h"

namespace snowfox::appservice {
namespace {

using simulation::Random;
using simulation::require;

const std::vector<std::string> kServices = {"a", "b", "c"};
constexpr int kEvents = 120;

/// Submits one event after the other, each until it is accepted, while everything fails now and then.
class Storm {
 public:
  explicit Storm(std::uint64_t seed)
      : random_(seed),
        world_({.seed = seed, .faults = {.early_wake = 0.05, .standstill = 0.001, .clock_jump = 0.001}}) {
    world_.options.longest_retry = 16s;
    world_.options.limits.events = 1 + random_.below(20);
    for (const std::string& id : kServices) {
      most_[id] = 3 + random_.below(30);
      world_.services[id].usually = [this, id] { return behave(id); };
    }
    world_.wrap = [this](LoopManager& loop, std::unique_ptr<Store> store) {
      return std::make_unique<FlakyStore>(loop, std::move(store), [this] { return random_.chance(trouble_ * 0.1); });
    };
  }

  std::uint64_t run() {
    world_.start(kServices);
    for (int i = 1; i <= kEvents; ++i) {
      submit("$" + std::to_string(i));
      if (random_.chance(0.05)) pass(random_.between(1ms, 20s));
      if (random_.chance(0.03)) restart();
    }
    trouble_ = 0;
    for (const std::string& id : kServices) world_.drain(id);
    restart();
    for (const std::string& id : kServices) check(id);
    return world_.world.trace_hash();
  }

 private:
  ScriptedHttpAnswer behave(const std::string& id) {
    const Duration after = random_.between(100us, 300ms);
    if (world_.services.at(id).received.back().events.size() > most_[id]) return FakeService::status(413, after);
    if (!random_.chance(trouble_ * 0.3)) return FakeService::ok(after);
    switch (random_.below(5)) {
      case 0: return FakeService::status(500, after);
      case 1: return FakeService::status(429, after);
      case 2: return FakeService::reset(after);
      case 3: return FakeService::silence();
      default: return FakeService::status(200, after, "{");
    }
  }
  void pass(Duration time) { world_.run_for(time); }
  void restart() {
    world_.kill();
    world_.start(kServices);
  }

  void submit(const std::string& event) {
    std::vector<std::string> whose;
    for (const std::string& id : kServices) {
      if (random_.chance(0.7)) whose.push_back(id);
    }
    if (whose.empty()) return;
    for (const std::string& id : whose) expected_[id].push_back(event);
    for (;;) {
      Promise<std::vector<bool>> accepted = world_.scheduler().accept({SchedulerWorld::event(event, whose)});
      // Now and then the daemon dies before it has answered.
      const Duration patience = random_.chance(0.03) ? random_.between(1us, 20ms) : 10min;
      world_.wake();
      world_.world.run_until([&] { return accepted.settled(); }, patience);
      if (accepted.settled() && !accepted.state()->rejected()) return;
      if (!accepted.settled()) {
        accepted = {};
        restart();
      }
    }
  }

  void check(const std::string& id) {
    const FakeService& service = world_.services.at(id);
    std::map<TransactionId, std::string> bodies;
    std::vector<std::string> taken;
    TransactionId last = 0;
    for (const Received& one : service.received) {
      const auto [known, added] = bodies.emplace(one.id, one.body);
      require(known->second == one.body, id + ": transaction " + std::to_string(one.id) + " has changed");
      if (!added) continue;
      require(one.id > last, id + ": transaction " + std::to_string(one.id) + " after " + std::to_string(last));
      last = one.id;
    }
    require(world_.status(id).backlog == 0 && world_.status(id).up, id + " is not done");
    require(delivered(service) == expected_[id], id + " did not get its events, each once and in order");
  }
  /// What a service has that takes for delivered what it has acknowledged, and for too large what it says so about.
  std::vector<std::string> delivered(const FakeService& service) const {
    std::vector<std::string> events;
    std::map<TransactionId, bool> seen;
    for (const Received& one : service.received) {
      if (one.refused || seen[one.id]) continue;
      seen[one.id] = true;
      events.insert(events.end(), one.events.begin(), one.events.end());
    }
    return events;
  }

  Random random_;
  double trouble_ = 1;
  std::map<std::string, std::size_t> most_;  // events in a transaction, that the service takes
  SchedulerWorld world_;
  std::map<std::string, std::vector<std::string>> expected_;
};

TEST(DeliveryStormTest, LosesNothingAndKeepsTheOrder) {
  const auto result = simulation::run_seeds(20, 5, [](std::uint64_t seed) { return Storm(seed).run(); });
  EXPECT_TRUE(result) << result.message;
}

}  // namespace
}  // namespace snowfox::appservice
