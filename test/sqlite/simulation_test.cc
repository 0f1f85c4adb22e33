// A database in a simulated process: its file is real, the threads, the time and what fails are not.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>

#include <snowfox/promises/sleep.h>
#include <snowfox/promises/task.h>
#include <snowfox/simulation/failing_allocations.h>
#include <snowfox/simulation/simulation.h>

#include "sqlite_fixture.h"

namespace snowfox::simulation {
namespace {

/// Clients that each write one thing after the other, and sometimes read.
class Notary {
 public:
  static constexpr int kClients = 20;
  static constexpr int kEach = 5;

  Notary(LoopManager& loop, const SqliteOptions& options) : loop_(loop), database_(loop, options) {
    sleep(loop, 1ms).then([this] { begin(); }).detach();
  }

  bool done() const noexcept { return finished_ == kClients; }
  int kept() const noexcept { return kept_; }
  int failed() const noexcept { return failed_; }
  std::uint64_t commits() const noexcept { return database_.status().commits; }

 private:
  void begin() {
    for (int i = 0; i < kClients; ++i) {
      try {
        serve(i).detach(loop_);
      } catch (const std::bad_alloc&) {
        ++finished_;
      }
    }
  }
  Task<> serve(int client) {
    for (int i = 0; i < kEach; ++i) {
      try {
        co_await database_.write(&insert, std::to_string(client) + "/" + std::to_string(i));
        ++kept_;
        if (i == 2) co_await database_.read(&count);
      } catch (const std::exception&) {
        ++failed_;
      }
    }
    ++finished_;
  }

  LoopManager& loop_;
  SqliteDatabase database_;
  int kept_ = 0;
  int failed_ = 0;
  int finished_ = 0;
};

class SqliteSimulationTest : public ::testing::Test {
 protected:
  struct Run {
    int kept = 0;
    int failed = 0;
    std::uint64_t commits = 0;
    std::uint64_t trace = 0;
    std::uint64_t allocations = 0;
    bool started = true;
  };
  static Run run(std::uint64_t seed, const Faults& faults, std::uint64_t failing_allocation = UINT64_MAX) {
    const SqliteFile file;
    Simulation world({.seed = seed, .faults = faults});
    Process& process = world.add_host("here").start("notary", [&](Process& self) {
      if (failing_allocation != UINT64_MAX) self.fail_allocation(failing_allocation);
      return std::make_shared<Notary>(self.loop(), file.options);
    });
    if (!process.running()) return {.allocations = UINT64_MAX, .started = false};
    EXPECT_TRUE(world.run_until([&] { return process.program<Notary>().done(); }, 60s)) << world.description();
    const auto& notary = process.program<Notary>();
    Run result{.kept = notary.kept(),
               .failed = notary.failed(),
               .commits = notary.commits(),
               .trace = world.trace_hash(),
               .allocations = process.allocations()};
    process.kill();
    LoopManager loop;
    SqliteDatabase database(loop, file.options);
    const auto rows = outcome(loop, database.read(&count));
    EXPECT_GE(rows, result.kept);
    EXPECT_LE(rows, Notary::kClients * Notary::kEach);
    EXPECT_LE(rows, result.kept + result.failed);
    return result;
  }
};

TEST_F(SqliteSimulationTest, DoesTheSameWithTheSameSeed) {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const Run one = run(seed, Faults::rough());
    const Run two = run(seed, Faults::rough());
    EXPECT_EQ(one.trace, two.trace);
    EXPECT_EQ(one.commits, two.commits);
    EXPECT_EQ(one.kept, Notary::kClients * Notary::kEach);
    EXPECT_LT(one.commits, 50);
  }
}

TEST_F(SqliteSimulationTest, GetsOverWorkThatCannotBeStarted) {
  int failed = 0;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) failed += run(seed, {.fault_point = 0.2}).failed;
#ifdef SNOWFOX_FAULT_POINTS
  EXPECT_GT(failed, 0);
#else
  EXPECT_EQ(failed, 0);
#endif
}

// Goal: an allocation that fails costs the start, or at most the calls that it happens to.
TEST_F(SqliteSimulationTest, GetsOverWantOfMemory) {
  int refused = 0;
  int failed = 0;
  for (std::uint64_t k = 0;; k += k < 60 ? 1 : 17) {
    const Run one = run(1, Faults::none(), k);
    if (!one.started) ++refused;
    failed += one.failed;
    if (one.started && one.allocations <= k) break;
  }
  EXPECT_GT(refused, 5);
  EXPECT_GT(failed, 0);
}

}  // namespace
}  // namespace snowfox::simulation
