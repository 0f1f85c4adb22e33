#include <snowfox/sources/manual_source.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "support/manual_loop.h"

namespace snowfox {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

class ManualSourceTest : public testing::Test {
 protected:
  LoopManager loop_;
};

TEST(ManualSourceOnOneThreadTest, HandlesEventsInTheOrderPosted) {
  ManualLoop loop;
  ManualSource source(*loop);
  std::vector<int> handled;
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(source.post([&handled, i] { handled.push_back(i); }));
  EXPECT_EQ(source.size(), 1000U);
  loop.turn();
  EXPECT_THAT(handled, SizeIs(1000));
  EXPECT_TRUE(std::is_sorted(handled.begin(), handled.end()));
  EXPECT_EQ(source.size(), 0U);
}

TEST(ManualSourceOnOneThreadTest, HandlesWhatItsHandlersPostAfterWhatWaits) {
  ManualLoop loop;
  ManualSource source(*loop);
  std::vector<std::string> handled;
  source.post([&] {
    handled.emplace_back("first");
    source.post([&] { handled.emplace_back("posted by the first"); });
  });
  source.post([&] { handled.emplace_back("second"); });
  loop.turn();
  EXPECT_THAT(handled, ElementsAre("first", "second", "posted by the first"));
}

TEST(ManualSourceOnOneThreadTest, KeepsItsOrderWhileItsRingGrowsAndWraps) {
  ManualLoop loop;
  ManualSource source(*loop);
  std::size_t posted = 0;
  std::size_t handled = 0;
  const auto post = [&](std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      source.post([&, number = posted++] { EXPECT_EQ(handled++, number); });
    }
  };
  for (std::size_t round = 0; round < 200; ++round) {
    post(round * 7 % 150);
    for (std::size_t i = 0; i < round * 5 % 130; ++i) {
      if (EventRef event = loop->wait(Duration::zero())) loop->dispatch(std::move(event));
    }
  }
  loop.turn();
  EXPECT_EQ(handled, posted);
}

// Goal: a producer that is faster than its handlers is told so. Nothing that was refused is handled.
TEST(ManualSourceOnOneThreadTest, RefusesWhatIsBeyondItsLimit) {
  ManualLoop loop;
  ManualSource source(*loop, 3);
  int handled = 0;
  auto counted = std::make_shared<int>(0);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(source.post([&, counted] { ++handled; }));
  EXPECT_FALSE(source.post([&, counted] { ++handled; }));
  EXPECT_EQ(counted.use_count(), 4);
  loop.turn();
  EXPECT_EQ(handled, 3);
  EXPECT_TRUE(source.post([&] { ++handled; }));
  loop.turn();
  EXPECT_EQ(handled, 4);
}

TEST(ManualSourceOnOneThreadTest, MayBeDestroyedByAHandlerWithEventsWaiting) {
  ManualLoop loop;
  auto source = std::make_unique<ManualSource>(*loop);
  int handled = 0;
  source->post([&] { source.reset(); });
  for (int i = 0; i < 100; ++i) source->post([&] { ++handled; });
  loop.turn();
  EXPECT_EQ(source, nullptr);
  EXPECT_EQ(handled, 0);
}

TEST(ManualSourceOnOneThreadTest, KeepsWhatIsPostedWhileItIsPaused) {
  ManualLoop loop;
  ManualSource source(*loop);
  int handled = 0;
  source.pause();
  source.post([&] { ++handled; });
  loop.turn();
  EXPECT_EQ(handled, 0);
  source.resume();
  loop.turn();
  EXPECT_EQ(handled, 1);
}

// Goal: posting to one's own loop costs no system call.
TEST(ManualSourceOnOneThreadTest, WakesNobodyOnItsOwnThread) {
  ManualLoop loop;
  ManualSource source(*loop);
  int left = 630;
  std::function<void()> again = [&] {
    if (--left > 0) source.post(again);
  };
  source.post(again);
  loop.turn();
  EXPECT_EQ(left, 0);
  EXPECT_LE(loop.poller.waits(), 12U);
}

TEST_F(ManualSourceTest, HandlesWhatSeveralThreadsPostInEachOnesOrder) {
  constexpr int kThreads = 4;
  constexpr int kEach = 5'000;
  ManualSource source(loop_);
  std::vector<int> next(kThreads + 1);
  int handled = 0;
  const auto handle = [&](int thread, int number) {
    EXPECT_EQ(std::exchange(next[static_cast<std::size_t>(thread)], number + 1), number);
    if (++handled == (kThreads + 1) * kEach) loop_.stop();
  };
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < kEach; ++i) {
        while (!source.post([&handle, thread, i] { handle(thread, i); })) std::this_thread::yield();
      }
    });
  }
  int posted = 0;
  std::function<void()> post_here = [&] {
    source.post([&, i = posted] { handle(kThreads, i); });
    if (++posted < kEach) source.post(post_here);
  };
  source.post(post_here);
  EXPECT_EQ(loop_.run(), 0);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(handled, (kThreads + 1) * kEach);
}

// Goal: no post is missed between the loop's last look and its going to sleep.
TEST_F(ManualSourceTest, WakesItsLoopForEachPostThatFindsItAsleep) {
  ManualSource source(loop_);
  std::atomic<int> handled{0};
  std::thread other([&] {
    for (int i = 1; i <= 2'000; ++i) {
      source.post([&] { ++handled; });
      while (handled != i) std::this_thread::yield();
    }
    source.post([] { throw CleanExit(); });
  });
  EXPECT_EQ(loop_.run(), 0);
  other.join();
  EXPECT_EQ(handled, 2'000);
}

// Goal: the limit holds for other threads too, also when the loop has begun to take what they have posted.
TEST_F(ManualSourceTest, RefusesOtherThreadsBeyondItsLimit) {
  constexpr std::size_t kLimit = 10;
  ManualSource source(loop_, kLimit);
  std::size_t most = 0;
  std::size_t handled = 0;
  const auto post_as_much_as_possible = [&] {
    std::size_t posted = 0;
    std::thread([&] {
      while (posted < 100 && source.post([&] { ++handled; })) ++posted;
    }).join();
    return posted;
  };
  std::size_t posted = post_as_much_as_possible();
  EXPECT_EQ(posted, kLimit);
  for (int i = 0; i < 30; ++i) {
    loop_.dispatch(loop_.wait(Duration::zero()));
    posted += post_as_much_as_possible();
    most = std::max(most, posted - handled);
  }
  EXPECT_EQ(most, kLimit);
  EXPECT_FALSE(source.post([] {})) << "nor may the loop's own thread";
}

TEST_F(ManualSourceTest, KeepsItsLoopRunningUntilItGoes) {
  auto source = std::make_unique<ManualSource>(loop_);
  std::thread other([&] { source->post([&] { source.reset(); }); });
  EXPECT_EQ(loop_.run(), 0);
  other.join();
  EXPECT_EQ(source, nullptr);
}

TEST_F(ManualSourceTest, PassesEventsBetweenTwoLoops) {
  ManualSource here(loop_);
  std::atomic<ManualSource*> there{nullptr};
  std::vector<int> received;
  std::thread other([&] {
    LoopManager loop;
    ManualSource source(loop);
    there = &source;
    loop.run();
  });
  while (there == nullptr) std::this_thread::yield();
  std::function<void(int)> ping = [&](int number) {
    there.load()->post([&, number] {
      here.post([&, number] {
        received.push_back(number);
        if (number < 500) return ping(number + 1);
        there.load()->post([] { throw CleanExit(); });
        loop_.stop();
      });
    });
  };
  here.post([&] { ping(0); });
  EXPECT_EQ(loop_.run(), 0);
  other.join();
  EXPECT_THAT(received, SizeIs(501));
}

}  // namespace
}  // namespace snowfox
