#include <snowfox/sources/worker_source.h>

#include <atomic>
#include <memory>
#include <optional>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>

#include "support/run_until.h"

namespace snowfox {
namespace {

/// Work that does not end before it is let.
struct Gate {
  std::binary_semaphore begun{0};
  std::binary_semaphore open{0};
  void pass() {
    begun.release();
    open.acquire();
  }
};

/// Takes up all threads of the pool until it is destroyed.
class BusyPool {
 public:
  static constexpr int kThreads = 4;
  BusyPool(LoopManager& loop) : worker_(loop) {
    for (Gate& gate : gates_) worker_.submit([&gate] { gate.pass(); }, [this](const Result<void>&) { ++done_; });
    for (Gate& gate : gates_) gate.begun.acquire();
  }
  ~BusyPool() {
    for (Gate& gate : gates_) gate.open.release();
    run_until(worker_.loop(), [&] { return done_ == kThreads; });
  }

 private:
  Gate gates_[kThreads];
  int done_ = 0;
  WorkerSource worker_;
};

class WorkerSourceTest : public testing::Test {
 protected:
  LoopManager loop_;
};

TEST_F(WorkerSourceTest, BringsTheResultOfWorkDoneOnAnotherThread) {
  WorkerSource worker(loop_);
  const auto here = std::this_thread::get_id();
  std::thread::id there;
  int result = 0;
  ASSERT_TRUE(worker.submit(
      [&] {
        there = std::this_thread::get_id();
        return 42;
      },
      [&](const Result<int>& r) {
        EXPECT_EQ(std::this_thread::get_id(), here);
        result = r.value();
      }));
  EXPECT_EQ(worker.outstanding(), 1U);
  ASSERT_TRUE(run_until(loop_, [&] { return result == 42; }));
  EXPECT_NE(there, here);
  EXPECT_EQ(worker.outstanding(), 0U);
}

TEST_F(WorkerSourceTest, BringsWhatTheWorkThrew) {
  WorkerSource worker(loop_);
  std::string what;
  worker.submit([]() -> int { throw std::runtime_error("no such luck"); },
                [&](const Result<int>& result) {
                  EXPECT_FALSE(result);
                  what = describe(result.error());
                  EXPECT_THROW(result.value(), std::runtime_error);
                });
  ASSERT_TRUE(run_until(loop_, [&] { return !what.empty(); }));
  EXPECT_EQ(what, "no such luck");
}

TEST_F(WorkerSourceTest, MovesWhatCannotBeCopied) {
  struct Number {
    explicit Number(int number) : value(number) {}
    Number(Number&&) = default;
    Number& operator=(Number&&) = default;
    int value;
  };
  WorkerSource worker(loop_);
  int sum = 0;
  worker.submit([given = Number(7)]() mutable { return std::move(given); },
                [&, kept = Number(1)](Result<Number> result) {
                  const Number received = std::move(result).value();
                  sum = received.value + kept.value;
                });
  ASSERT_TRUE(run_until(loop_, [&] { return sum == 8; }));
}

// Goal: what `done` throws reaches the loop's error policy.
TEST_F(WorkerSourceTest, EndsTheLoopByCleanExit) {
  WorkerSource worker(loop_);
  worker.submit([] {},
                [](const Result<void>& result) {
                  result.value();
                  throw CleanExit();
                });
  EXPECT_EQ(loop_.run(), 0);
}

TEST_F(WorkerSourceTest, KeepsTheCorrelationIdOfItsChain) {
  WorkerSource worker(loop_);
  worker.submit([] {}, [](const Result<void>&) {}, CorrelationId("chain/1"));
  const EventRef event = loop_.wait(std::chrono::seconds(20));
  ASSERT_NE(event, nullptr);
  EXPECT_EQ(event->correlation_id().text(), "chain/1");
  EXPECT_EQ(event->name(), "WorkFinished");
}

TEST_F(WorkerSourceTest, RefusesMoreWorkThanItsLimit) {
  WorkerSource worker(loop_, 2);
  int done = 0;
  const auto submit = [&] { return worker.submit([] {}, [&](const Result<void>&) { ++done; }); };
  EXPECT_TRUE(submit());
  EXPECT_TRUE(submit());
  EXPECT_TRUE(worker.full());
  EXPECT_FALSE(submit());
  ASSERT_TRUE(run_until(loop_, [&] { return done == 2; }));
  EXPECT_TRUE(submit());
  ASSERT_TRUE(run_until(loop_, [&] { return done == 3; }));
}

TEST_F(WorkerSourceTest, LosesNoneOfAThousand) {
  WorkerSource worker(loop_);
  std::vector<int> results(1000, -1);
  int done = 0;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(worker.submit([i] { return i * i; },
                              [&, i](const Result<int>& result) {
                                results[static_cast<std::size_t>(i)] = result.value();
                                ++done;
                              }));
  }
  ASSERT_TRUE(run_until(loop_, [&] { return done == 1000; }));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i * i);
}

TEST_F(WorkerSourceTest, DropsResultsWhenDestroyedWithoutWaitingForTheWork) {
  auto gate = std::make_shared<Gate>();
  auto released = std::make_shared<int>();
  bool done = false;
  {
    WorkerSource worker(loop_);
    worker.submit([gate] { gate->pass(); }, [&done, released](const Result<void>&) { done = true; });
    gate->begun.acquire();
  }
  EXPECT_EQ(released.use_count(), 1) << "what nobody calls any more is still there";
  gate->open.release();
  WorkerSource worker(loop_);  // so that the loop has something to wait for
  while (gate.use_count() > 1) EXPECT_EQ(loop_.wait(std::chrono::milliseconds(1)), nullptr);
  EXPECT_FALSE(done);
}

TEST_F(WorkerSourceTest, DoesNotBeginWorkOnceDestroyed) {
  std::atomic<bool> begun = false;
  {
    BusyPool busy(loop_);
    WorkerSource worker(loop_);
    worker.submit([&] { begun = true; }, [](const Result<void>&) {});
  }
  int passed = 0;
  WorkerSource worker(loop_);
  for (int i = 0; i < BusyPool::kThreads; ++i) worker.submit([] {}, [&](const Result<void>&) { ++passed; });
  ASSERT_TRUE(run_until(loop_, [&] { return passed == BusyPool::kThreads; }));
  EXPECT_FALSE(begun);
}

TEST_F(WorkerSourceTest, DropsResultsThatWaitToBeHandled) {
  auto released = std::make_shared<int>();
  {
    WorkerSource worker(loop_);
    int done = 0;
    for (int i = 0; i < 2; ++i) worker.submit([] {}, [&done, released](const Result<void>&) { ++done; });
    ASSERT_TRUE(run_until(loop_, [&] { return done == 1; }));
  }
  EXPECT_EQ(released.use_count(), 1);
}

TEST_F(WorkerSourceTest, MayBeDestroyedByItsHandler) {
  auto worker = std::make_unique<WorkerSource>(loop_);
  bool done = false;
  worker->submit([] {},
                 [&](const Result<void>&) {
                   worker.reset();
                   done = true;
                 });
  EXPECT_EQ(loop_.run(), 0) << "nothing is left to wait for";
  EXPECT_TRUE(done);
}

// Goal: the loop may go while work is under way; it waits for it, as the work is still its to free.
TEST_F(WorkerSourceTest, LetsWorkUnderWayOutliveTheLoopsRun) {
  std::atomic<int> ended = 0;
  {
    LoopManager loop;
    WorkerSource worker(loop);
    for (int i = 0; i < 50; ++i) worker.submit([&] { ++ended; }, [](const Result<void>&) { FAIL(); });
  }
  EXPECT_LE(ended, 50);
}

TEST_F(WorkerSourceTest, ServesManyLoopsAtOnce) {
  std::vector<std::thread> threads;
  std::atomic<int> total = 0;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      LoopManager loop;
      WorkerSource worker(loop);
      int sum = 0;
      int done = 0;
      for (int i = 0; i < 200; ++i) {
        worker.submit([] { return 1; },
                      [&](const Result<int>& result) {
                        sum += result.value();
                        ++done;
                      });
      }
      run_until(loop, [&] { return done == 200; });
      total += sum;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total, 800);
}

}  // namespace
}  // namespace snowfox
