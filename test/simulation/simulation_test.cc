#include <gmock/gmock.h>

#include <set>

#include <snowfox/sources/process_source.h>

#include "simulation/echo_world.h"

namespace snowfox::simulation {
namespace {

using testing::HasSubstr;

TEST(SimulationTest, AnswersEachRequestWithItsOwnAnswer) {
  EchoWorld world({.seed = 1}, 6, 50);
  ASSERT_TRUE(world.simulation.run_until([&] { return world.clients_done(); }, 60s)) << world.simulation.description();
  world.check_answers();
  for (Process* client : world.asking) EXPECT_EQ(client->program<EchoClient>().answered(), 50);
  world.server->signal(SIGTERM);
  EXPECT_TRUE(world.simulation.run_until([&] { return !world.server->running(); }, 10s));
  EXPECT_EQ(world.server->exit_code(), 0);
  EXPECT_EQ(world.server->open_descriptors(), 0U);
}

TEST(SimulationTest, JumpsOverTimeInWhichNothingHappens) {
  Simulation simulation;
  Host& host = simulation.add_host("host");
  struct Sleeper {
    explicit Sleeper(Process& process) : scheduler(process.loop()) {
      scheduler.after(24h * 365, [this] { woken = true; });
    }
    SchedulerSource scheduler;
    bool woken = false;
  };
  Process& sleeper = host.start("sleeper", [](Process& process) { return std::make_shared<Sleeper>(process); });
  const TimePoint began = simulation.now();
  EXPECT_TRUE(simulation.run_until([&] { return sleeper.program<Sleeper>().woken; }, 24h * 366));
  EXPECT_GE(simulation.now() - began, 24h * 365);
  EXPECT_LT(simulation.steps(), 100U);
}

TEST(SimulationTest, SetsTheTimeOfDayOfAHost) {
  EchoWorld world({}, 2, 1);
  const auto time_of = [](Process* process) { return process->loop().poller().wall_now(); };
  Process* here = world.server;
  Process* there = world.asking[0];
  EXPECT_EQ(time_of(here), time_of(there));
  const auto before = time_of(here);
  const TimePoint began = world.simulation.now();
  world.here.jump_clock(-24h);
  EXPECT_EQ(time_of(here), before - 24h);
  EXPECT_EQ(time_of(there), before);
  world.here.jump_clock(25h);
  EXPECT_EQ(time_of(here), before + 1h);
  EXPECT_EQ(world.simulation.now(), began);

  Faults faults;
  faults.clock_jump = 1;
  world.simulation.set_faults(faults);
  world.simulation.run_for(1s);
  EXPECT_NE(time_of(here) - time_of(there), 1h);
}

TEST(SimulationTest, LetsOneProcessHaveFaultsOfItsOwn) {
  EchoWorld world({}, 2, 1000);
  Faults faults;
  faults.reset = 0.1;
  world.asking[0]->set_faults(faults);
  world.simulation.run_for(1min);
  EXPECT_GT(world.asking[0]->program<EchoClient>().rejected(), 0);
  EXPECT_EQ(world.asking[1]->program<EchoClient>().rejected(), 0);
  world.asking[0]->reset_faults();
  EXPECT_TRUE(world.simulation.run_until([&] { return world.clients_done(); }, 60s)) << world.simulation.description();
  world.check_answers();
}

TEST(SimulationTest, RepeatsItselfWithTheSameSeed) {
  const auto hash = [](std::uint64_t seed) {
    EchoWorld world({.seed = seed, .faults = Faults::rough()}, 4, 20);
    world.simulation.run_until([&] { return world.clients_done(); }, 60s);
    return world.simulation.trace_hash();
  };
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const std::uint64_t once = hash(seed);
    EXPECT_EQ(once, hash(seed));
    hashes.insert(once);
  }
  EXPECT_EQ(hashes.size(), 5U) << "another seed, another run";
}

TEST(SimulationTest, LetsNothingThroughWhereTheNetworkIsCut) {
  EchoWorld world({}, 1, 1000);
  world.simulation.run_for(20ms);
  auto& client = world.asking[0]->program<EchoClient>();
  world.simulation.cut(world.here, world.there);
  world.simulation.run_for(50ms);
  const int before = client.answered();
  world.simulation.run_for(2s);
  EXPECT_EQ(client.answered(), before);
  EXPECT_FALSE(client.done());
  world.simulation.heal(world.here, world.there);
  EXPECT_TRUE(world.simulation.run_until([&] { return client.done(); }, 60s));
  EXPECT_EQ(client.answered(), 1000) << "what waited got through when it could";
}

TEST(SimulationTest, TellsThePeersOfAProcessThatIsKilled) {
  EchoWorld world({}, 3, 100'000);
  world.simulation.run_for(500ms);
  world.server->kill();
  EXPECT_EQ(world.server->exit_code(), 137);
  world.simulation.run_for(1s);
  for (Process* client : world.asking) EXPECT_GT(client->program<EchoClient>().rejected(), 0);
  world.serve();
  const int before = world.asking[0]->program<EchoClient>().answered();
  EXPECT_TRUE(
      world.simulation.run_until([&] { return world.asking[0]->program<EchoClient>().answered() > before + 100; }, 60s))
      << "they have found the new one";
  world.check_answers();
}

TEST(SimulationTest, TellsNobodyWhenThePowerGoes) {
  EchoWorld world({}, 2, 100'000);  // the second one is on the server's own host
  world.simulation.run_for(500ms);
  world.here.power_off();
  EXPECT_FALSE(world.asking[1]->running());
  auto& client = world.asking[0]->program<EchoClient>();
  const int before = client.rejected();
  world.simulation.run_for(1s);
  EXPECT_EQ(client.rejected(), before);
  world.simulation.run_for(10s);
  EXPECT_GT(client.rejected(), before) << "its deadlines tell it";
}

TEST(SimulationTest, LimitsDescriptors) {
  EchoWorld world({}, 6, 20, false);
  world.serve();
  world.server->limit_descriptors(world.server->open_descriptors() + 2);
  EXPECT_TRUE(world.simulation.run_until([&] { return world.clients_done(); }, 300s)) << world.simulation.description();
  EXPECT_TRUE(world.server->said("no resources to accept connections"));
}

// --- what is found ---

template <typename Program>
std::string finding(Program program) {
  Simulation simulation;
  Host& host = simulation.add_host("host");
  try {
    host.start("culprit", program);
    simulation.run_for(1s);
  } catch (const InvariantBroken& broken) {
    return broken.what();
  }
  return "";
}

TEST(SimulationTest, FindsADescriptorThatIsLeftOpen) {
  const auto leak = [](Process& process) {
    static_cast<void>(process.io().listen(Address::tcp("127.0.0.1", 1), {}).release());
    process.loop().stop();
    return nullptr;
  };
  EXPECT_THAT(finding(leak), HasSubstr("culprit (process 100): has left descriptor 3 open: listener tcp:127.0.0.1:1"));
}

TEST(SimulationTest, FindsAWatchOnAClosedDescriptor) {
  struct Culprit final : PollTarget {
    explicit Culprit(Process& process) : poller(process.loop().poller()) {
      const Descriptor listener = process.io().listen(Address::tcp("127.0.0.1", 1), {});
      set_fd(listener.get());
      poller.watch(*this);
    }
    ~Culprit() { poller.unwatch(*this); }
    void on_poll(bool, bool) noexcept override {}
    Poller& poller;
  };
  EXPECT_THAT(finding([](Process& process) { return std::make_shared<Culprit>(process); }),
              HasSubstr("descriptor 3 (listener tcp:127.0.0.1:1) closed while it is watched"));
}

TEST(SimulationTest, FindsWhatIsDoneWithAClosedDescriptor) {
  EXPECT_THAT(finding([](Process& process) {
                std::byte byte{};
                process.io().read(7, {&byte, 1});
                return nullptr;
              }),
              HasSubstr("read on descriptor 7, which is not open"));
}

TEST(SimulationTest, AuditsWhatTheProgramAddsToTheBooks) {
  struct Culprit {
    explicit Culprit(Process& process)
        : scheduler(process.loop()), token(process.loop().lifecycle().audit.add([this](Audit& audit) {
            audit.expect(balance >= 0, "the account is overdrawn");
          })) {
      scheduler.after(1ms, [this] { balance -= 1; });
    }
    int balance = 0;
    SchedulerSource scheduler;
    Hook<Audit&>::Token token;
  };
  EXPECT_THAT(finding([](Process& process) { return std::make_shared<Culprit>(process); }),
              HasSubstr("the account is overdrawn"));
}

// --- children and signals ---

TEST(SimulationTest, StartsChildrenAndTellsTheirEnd) {
  Simulation simulation;
  Host& host = simulation.add_host("host");
  host.install("/usr/bin/child", [](Process& process) {
    struct Child {
      explicit Child(Process& p) : scheduler(p.loop()) {
        scheduler.after(10ms, [&p] { p.loop().stop(3); });
      }
      SchedulerSource scheduler;
    };
    EXPECT_EQ(process.arguments(), (std::vector<std::string>{"child", "--flag"}));
    return std::make_shared<Child>(process);
  });
  struct Parent {
    explicit Parent(Process& process)
        : child(process.loop(), {.arguments = {"child", "--flag"}, .program = "/usr/bin/child"},
                [this](const ProcessExit& exit) { how = exit.str(); }) {}
    ProcessSource child;
    std::string how;
  };
  std::string how;
  Process& parent = host.start("parent", [](Process& process) { return std::make_shared<Parent>(process); });
  simulation.run_until(
      [&] {
        if (parent.running()) how = parent.program<Parent>().how;
        return !parent.running();
      },
      1s);
  EXPECT_EQ(how, "exit code 3");
  EXPECT_EQ(parent.exit_code(), 0) << "there was nothing left to wait for";
}

TEST(SimulationTest, EndsBySignalWhoHasNoSourceForIt) {
  EchoWorld world({}, 1, 1);
  world.asking[0]->signal(SIGHUP);
  EXPECT_EQ(world.asking[0]->exit_code(), 128 + SIGHUP);
  world.server->signal(SIGTERM);
  EXPECT_TRUE(world.server->running()) << "it has one";
}

}  // namespace
}  // namespace snowfox::simulation
