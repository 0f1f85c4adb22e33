#include <snowfox/promises/run_on_worker.h>

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "support/manual_loop.h"

#include "thrown.h"

namespace snowfox {
namespace {

/// With the threads of a real poller.
class RunOnWorkerTest : public ::testing::Test {
 protected:
  LoopManager loop;
};

/// Holds up whoever waits for it until it is opened.
class Gate {
 public:
  void wait() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [this] { return open_; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    opened_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

TEST_F(RunOnWorkerTest, CallsOnAnotherThreadAndContinuesOnTheLoop) {
  std::thread::id called_on;
  std::thread::id continued_on;
  const auto done = run_on_worker(loop, [&] { called_on = std::this_thread::get_id(); }).then([&] {
    continued_on = std::this_thread::get_id();
  });
  loop.run();
  EXPECT_TRUE(done.settled());
  EXPECT_NE(called_on, std::this_thread::get_id());
  EXPECT_EQ(continued_on, std::this_thread::get_id());
}

TEST_F(RunOnWorkerTest, GivesWhatTheFunctionReturns) {
  std::string seen;
  const auto done = run_on_worker(
                        loop, [](std::unique_ptr<int> left, int right) { return std::to_string(*left + right); },
                        std::make_unique<int>(40), 2)
                        .then([&](const std::string& text) { seen = text; });
  loop.run();
  EXPECT_EQ(seen, "42");
}

TEST_F(RunOnWorkerTest, RejectsWithWhatTheFunctionThrows) {
  std::string seen;
  const auto done = run_on_worker(loop, []() -> int {
                      throw std::runtime_error("no luck");
                    }).then([](int) {
                      }).otherwise([&](const std::exception_ptr& error) { seen = describe(error); });
  loop.run();
  EXPECT_EQ(seen, "no luck");
}

TEST_F(RunOnWorkerTest, KeepsWhatTheThreadUsesThoughThePromiseIsDropped) {
  auto gate = std::make_shared<Gate>();
  auto begun = std::make_shared<Gate>();
  auto used = std::make_shared<std::vector<int>>(1000, 1);
  {
    const auto dropped = run_on_worker(loop, [gate, begun, used] {
      begun->open();
      gate->wait();
      int sum = 0;
      for (const int one : *used) sum += one;
      return sum;
    });
    begun->wait();
  }
  EXPECT_EQ(used.use_count(), 2);
  gate->open();
  loop.run();
  EXPECT_EQ(used.use_count(), 1);
}

TEST_F(RunOnWorkerTest, RunsManyAtATime) {
  int sum = 0;
  std::vector<Promise<void>> done;
  done.reserve(1000);
  for (int i = 0; i < 1000; ++i) {
    done.push_back(run_on_worker(loop, [i] { return i; }).then([&sum](int value) { sum += value; }));
  }
  loop.run();
  EXPECT_EQ(sum, 999 * 1000 / 2);
}

TEST_F(RunOnWorkerTest, IsOverWhenTheLoopIsDestroyedMeanwhile) {
  auto captured = std::make_shared<int>();
  {
    LoopManager other;
    run_on_worker(other, [captured] {}).detach();
  }
  EXPECT_EQ(captured.use_count(), 1);
}

class WorkerLimitTest : public ::testing::Test, protected ManualLoop {};

TEST_F(WorkerLimitTest, RefusesMoreUntilOneIsBack) {
  WorkerLimit limit(2);
  std::exception_ptr error;
  int called = 0;
  const auto one = run_on_worker(loop, limit, [&] { ++called; });
  const auto two = run_on_worker(loop, limit, [&] { ++called; });
  const auto three =
      run_on_worker(loop, limit, [&] { ++called; }).otherwise([&](const std::exception_ptr& seen) { error = seen; });
  EXPECT_EQ(limit.outstanding(), 2);
  loop.run();
  EXPECT_EQ(called, 2);
  EXPECT_EQ(code_of(error), Errc::LimitReached);
  EXPECT_EQ(limit.outstanding(), 0);
  const auto four = run_on_worker(loop, limit, [&] { ++called; });
  loop.run();
  EXPECT_EQ(called, 3);
}

TEST_F(WorkerLimitTest, DoesNotBeginWhatNobodyWantsAnyMore) {
  bool called = false;
  {
    const auto dropped = run_on_worker(loop, [&] { called = true; });
  }
  loop.run();
  EXPECT_FALSE(called);
}

TEST_F(WorkerLimitTest, MayGoBeforeWhatItCounts) {
  auto limit = std::make_unique<WorkerLimit>(1);
  bool called = false;
  const auto done = run_on_worker(loop, *limit, [&] { called = true; });
  limit.reset();
  loop.run();
  EXPECT_TRUE(called);
}

}  // namespace
}  // namespace snowfox
