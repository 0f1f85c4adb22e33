// The k-th system call fails, or the k-th allocation, for each k until none is left: whatever is hit, all requests come
// to their end, no answer is another's, and both sides end in order.
#include <gtest/gtest.h>

#include <snowfox/simulation/failing_allocations.h>
#include <snowfox/sources/line_source.h>
#include <snowfox/sources/process_source.h>

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

/// Starts a child that says three lines and stays, reads them, and ends it after a second.
class Launcher {
 public:
  explicit Launcher(Process& process)
      : loop_(process.loop()), quit_(loop_, {SIGTERM}, [this](int) { loop_.stop(); }), begin_(*this), end_(*this) {
    loop_.arm(begin_, 1ms);
  }

  bool over = false;
  bool refused = false;
  std::vector<std::string> lines;

 private:
  struct Begin final : Timer {
    explicit Begin(Launcher& whose) : launcher(whose) {}
    void expire() noexcept override { launcher.begin(); }
    Launcher& launcher;
  };
  struct End final : Timer {
    explicit End(Launcher& whose) : launcher(whose) {}
    void expire() noexcept override {
      if (launcher.child_) launcher.child_->signal(SIGTERM);
    }
    Launcher& launcher;
  };

  void begin() noexcept try {
    loop_.arm(end_, 1s);
    child_ = std::make_unique<ProcessSource>(
        loop_, ProcessOptions{.arguments = {"child"}, .program = "/usr/bin/child", .output = ProcessStream::pipe()},
        [this](const ProcessExit&) { over = true; });
    output_ = std::make_unique<LineSource>(loop_, child_->take_output(),
                                           [this](const TextLine& line) { lines.push_back(line.text); });
  } catch (const std::exception&) {
    refused = child_ == nullptr;
  }

  LoopManager& loop_;
  SignalSource quit_;
  Begin begin_;
  End end_;
  std::unique_ptr<ProcessSource> child_;
  std::unique_ptr<LineSource> output_;
};

// Goal: a child whose start fails half way does not live on unknown; one that was started is read and waited for.
TEST_P(SweepTest, AChildIsStartedAndHeardOrNot) {
  const auto [_, fail, count] = GetParam();
  for (std::uint64_t k = 0;; ++k) {
    Simulation simulation({.seed = 7});
    Host& host = simulation.add_host("here");
    Process* child = nullptr;
    host.install("/usr/bin/child", [&child](Process& process) {
      child = &process;
      std::string text = "one\ntwo\nthree\n";
      const iovec piece{text.data(), text.size()};
      process.io().write(1, {&piece, 1});
      return std::make_shared<SignalSource>(process.loop(), std::vector{SIGTERM},
                                            [&process](int) { process.loop().stop(); });
    });
    Process& parent = host.start("parent", [](Process& process) { return std::make_shared<Launcher>(process); });
    const std::uint64_t before = (parent.*count)();
    (parent.*fail)(k);
    simulation.run_for(10s);
    const auto& launcher = parent.program<Launcher>();
    const std::size_t lines = launcher.lines.size();
    ASSERT_TRUE(launcher.over || launcher.refused) << GetParam().name << " " << k;
    ASSERT_TRUE(child == nullptr || !child->running()) << GetParam().name << " " << k;
    for (const std::string& line : launcher.lines) {
      ASSERT_TRUE(line == "one" || line == "two" || line == "three") << GetParam().name << " " << k << ": " << line;
    }
    parent.signal(SIGTERM);
    simulation.run_for(1s);
    ASSERT_EQ(parent.exit_code(), 0) << GetParam().name << " " << k;
    if ((parent.*count)() - before > k) continue;
    EXPECT_EQ(lines, 3U);
    EXPECT_GT(k, 2U);
    break;
  }
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
