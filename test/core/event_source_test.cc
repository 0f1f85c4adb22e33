#include <snowfox/core/event_source.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/manual_loop.h"
#include "support/scripted_source.h"

namespace snowfox {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EventSourceTest : public testing::Test {
 protected:
  void give(int count) {
    for (int i = 0; i < count; ++i) source_.give([this] { ++handled_; });
  }

  ManualLoop loop_;
  ScriptedSource source_{*loop_};
  int handled_ = 0;
};

TEST_F(EventSourceTest, IsNotAskedWhileItIsPaused) {
  source_.pause();
  give(3);
  loop_.turn();
  EXPECT_TRUE(source_.paused());
  EXPECT_EQ(source_.parses, 0U);
  source_.resume();
  loop_.turn();
  EXPECT_EQ(handled_, 3);
}

TEST_F(EventSourceTest, StaysPausedUntilEachPauseIsResumed) {
  source_.pause();
  source_.pause();
  give(1);
  source_.resume();
  loop_.turn();
  EXPECT_TRUE(source_.paused());
  EXPECT_EQ(handled_, 0);
  source_.resume();
  loop_.turn();
  EXPECT_EQ(handled_, 1);
}

// Goal: a pause counts from the very next event, and nothing is lost by it.
TEST_F(EventSourceTest, MayBePausedByItsOwnHandler) {
  source_.give([&] { source_.pause(); });
  give(5);
  loop_.turn();
  EXPECT_EQ(handled_, 0);
  source_.resume();
  loop_.turn();
  EXPECT_EQ(handled_, 5);
}

TEST_F(EventSourceTest, MayBePausedAndResumedByItsOwnHandler) {
  source_.give([&] {
    source_.pause();
    source_.resume();
  });
  give(5);
  loop_.turn();
  EXPECT_EQ(handled_, 5);
}

TEST_F(EventSourceTest, MayPauseItselfInParse) {
  source_.on_parse = [&] {
    if (source_.parses == 1) source_.pause();
  };
  give(3);
  loop_.turn();
  EXPECT_EQ(handled_, 1);
  source_.resume();
  loop_.turn();
  EXPECT_EQ(handled_, 3);
}

// Goal: who watches a descriptor hears of a pause when it lasts, not of each that is over before the turn is.
TEST_F(EventSourceTest, IsToldOfAPauseOnceATurnAndOnlyIfItLasts) {
  source_.give([&] {
    source_.pause();
    source_.resume();
  });
  loop_.turn();
  EXPECT_THAT(source_.pauses_told, IsEmpty());
  source_.give([&] {
    source_.pause();
    source_.resume();
    source_.pause();
    source_.pause();
  });
  loop_.turn();
  EXPECT_THAT(source_.pauses_told, ElementsAre(true));
  source_.resume();
  loop_.turn();
  EXPECT_THAT(source_.pauses_told, ElementsAre(true));
  source_.resume();
  loop_.turn();
  EXPECT_THAT(source_.pauses_told, ElementsAre(true, false));
}

TEST_F(EventSourceTest, IsAskedForItsLastEventThoughItIsPaused) {
  source_.pause();
  loop_.turn();
  give(1);
  source_.ready_to_end();
  EXPECT_FALSE(source_.paused());
  loop_.turn();
  EXPECT_EQ(handled_, 1);
  EXPECT_THAT(source_.pauses_told, ElementsAre(true, false));
  source_.pause();
  give(1);
  loop_.turn();
  EXPECT_EQ(handled_, 2);
}

TEST_F(EventSourceTest, MayBeRemovedWhileItIsPaused) {
  source_.pause();
  give(1);
  loop_->remove(source_.id());
  source_.resume();
  loop_.turn();
  EXPECT_EQ(handled_, 0);
  EXPECT_THAT(source_.pauses_told, IsEmpty());
}

TEST_F(EventSourceTest, MayBeReadyFromAnyThread) {
  LoopManager loop;
  ScriptedSource source(loop);
  std::atomic<bool> given{false};
  int asked = 0;
  source.on_parse = [&] {
    if (given.exchange(false)) ++asked;
    if (asked == 100) loop.stop();
  };
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) {
      given = true;
      source.ready_from_any_thread();
      while (given) std::this_thread::yield();
    }
  });
  EXPECT_EQ(loop.run(), 0);
  other.join();
  EXPECT_EQ(asked, 100);
}

}  // namespace
}  // namespace snowfox
