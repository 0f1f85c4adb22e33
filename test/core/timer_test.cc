#include <snowfox/core/timer.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/loop_manager.h>

#include "support/manual_loop.h"
#include "support/scripted_source.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr TimePoint kStart{1h};
constexpr std::size_t kAll = SIZE_MAX;
constexpr Duration kYear = 24h * 365;

class TestTimer final : public Timer {
 public:
  TestTimer() = default;
  explicit TestTimer(std::function<void()> on_expire) : on_expire_(std::move(on_expire)) {}

 private:
  void expire() noexcept override {
    if (on_expire_) on_expire_();
  }
  std::function<void()> on_expire_;
};

class TimerWheelTest : public testing::Test {
 protected:
  std::function<void()> note(int number) {
    return [this, number] { expired_.push_back(number); };
  }

  TimerWheel wheel_{kStart};
  std::vector<int> expired_;
};

TEST_F(TimerWheelTest, NeverExpiresEarlyAndAtMostATickLate) {
  TestTimer timer(note(1));
  for (const Duration wait : {Duration(1), Duration(65'535), Duration(65'536), Duration(65'537), Duration(1ms),
                              Duration(1s), Duration(1h), Duration(10 * kYear)}) {
    TimerWheel wheel(kStart);
    expired_.clear();
    wheel.arm(timer, kStart + wait);
    EXPECT_TRUE(timer.armed());
    EXPECT_EQ(timer.deadline(), kStart + wait);
    EXPECT_EQ(wheel.expire(kStart + wait - 1ns, kAll), 0U) << wait.count();
    EXPECT_EQ(wheel.expire(kStart + wait + TimerWheel::kTick, kAll), 1U) << wait.count();
    EXPECT_THAT(expired_, ElementsAre(1));
    EXPECT_FALSE(timer.armed());
    EXPECT_EQ(wheel.next(), kNever);
  }
}

TEST_F(TimerWheelTest, ExpiresAtOnceWhatIsDueAlready) {
  TestTimer now(note(1));
  TestTimer past(note(2));
  TestTimer long_past(note(3));
  wheel_.arm(now, kStart);
  wheel_.arm(past, kStart - 1s);
  wheel_.arm(long_past, TimePoint::min());
  EXPECT_LE(wheel_.next(), kStart);
  EXPECT_EQ(wheel_.expire(kStart, kAll), 3U);
  EXPECT_THAT(expired_, ElementsAre(1, 2, 3));
}

TEST_F(TimerWheelTest, ExpiresInTheOrderOfDeadlines) {
  std::vector<std::unique_ptr<TestTimer>> timers;
  std::vector<int> order(1000);
  for (int i = 0; i < 1000; ++i) order[static_cast<std::size_t>(i)] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937(3));
  for (const int i : order) {
    timers.push_back(std::make_unique<TestTimer>(note(i)));
    wheel_.arm(*timers.back(), kStart + i * 7ms);
  }
  wheel_.expire(kStart + 1h, kAll);
  EXPECT_EQ(expired_.size(), 1000U);
  EXPECT_TRUE(std::is_sorted(expired_.begin(), expired_.end()));
}

TEST_F(TimerWheelTest, MovesATimerThatIsArmedAgain) {
  TestTimer timer(note(1));
  wheel_.arm(timer, kStart + 1s);
  wheel_.arm(timer, kStart + 1h);
  EXPECT_EQ(wheel_.expire(kStart + 1min, kAll), 0U);
  wheel_.arm(timer, kStart + 2min);
  EXPECT_EQ(wheel_.expire(kStart + 3min, kAll), 1U);
}

// Goal: to put a timer off, as is done for each sign of life of a connection, is for its new deadline to hold, however
// often and wherever it is found meanwhile.
TEST_F(TimerWheelTest, ExpiresATimerThatIsPutOffAtItsLastDeadline) {
  TestTimer timer(note(1));
  TimePoint now = kStart;
  TimePoint deadline = now + 1s;
  wheel_.arm(timer, deadline);
  for (int i = 0; i < 1000; ++i) {
    now += 7ms;
    deadline = now + 1s;
    wheel_.arm(timer, deadline);
    EXPECT_EQ(wheel_.expire(now, kAll), 0U);
  }
  EXPECT_EQ(timer.deadline(), deadline);
  EXPECT_EQ(wheel_.expire(deadline - 1ns, kAll), 0U);
  EXPECT_LE(wheel_.next(), deadline + TimerWheel::kTick);
  EXPECT_EQ(wheel_.expire(deadline + TimerWheel::kTick, kAll), 1U);
}

// Goal: a loop that comes late finds one that was put off in its new place among the others.
TEST_F(TimerWheelTest, KeepsTheOrderOfOneThatWasPutOff) {
  TestTimer put_off(note(3));
  TestTimer before(note(1));
  TestTimer between(note(2));
  TestTimer after(note(4));
  wheel_.arm(put_off, kStart + 1ms);
  wheel_.arm(before, kStart + 2ms);
  wheel_.arm(between, kStart + 3ms);
  wheel_.arm(after, kStart + 1s);
  wheel_.arm(put_off, kStart + 4ms);
  EXPECT_EQ(wheel_.expire(kStart + 1h, kAll), 4U);
  EXPECT_THAT(expired_, ElementsAre(1, 2, 3, 4));
}

TEST_F(TimerWheelTest, ExpiresThoseOfOneDeadlineAsTheyWereArmed) {
  std::vector<std::unique_ptr<TestTimer>> timers;
  for (int i = 0; i < 100; ++i) {
    timers.push_back(std::make_unique<TestTimer>(note(i)));
    wheel_.arm(*timers.back(), kStart + 1min);
  }
  wheel_.expire(kStart + 1h, kAll);
  EXPECT_EQ(expired_.size(), 100U);
  EXPECT_TRUE(std::is_sorted(expired_.begin(), expired_.end()));
}

TEST_F(TimerWheelTest, DisarmsForADeadlineThatNeverComes) {
  TestTimer timer(note(1));
  wheel_.arm(timer, kStart + 1s);
  wheel_.arm(timer, kNever);
  EXPECT_FALSE(timer.armed());
  EXPECT_EQ(wheel_.next(), kNever);
  EXPECT_EQ(wheel_.expire(kStart + kYear, kAll), 0U);
}

TEST_F(TimerWheelTest, ForgetsATimerThatIsDisarmedOrDestroyed) {
  TestTimer disarmed(note(1));
  auto destroyed = std::make_unique<TestTimer>(note(2));
  wheel_.arm(disarmed, kStart + 1s);
  wheel_.arm(*destroyed, kStart + 1s);
  disarmed.disarm();
  destroyed.reset();
  EXPECT_EQ(wheel_.next(), kNever);
  EXPECT_EQ(wheel_.expire(kStart + 1h, kAll), 0U);
}

TEST_F(TimerWheelTest, LetsATimerArmItselfAnewInItsExpiry) {
  std::unique_ptr<TestTimer> timer;
  TimePoint next = kStart + 1s;
  timer = std::make_unique<TestTimer>([&] {
    expired_.push_back(1);
    next += 1s;
    wheel_.arm(*timer, next);
  });
  wheel_.arm(*timer, next);
  EXPECT_EQ(wheel_.expire(kStart + 10s + TimerWheel::kTick, kAll), 10U);
  EXPECT_TRUE(timer->armed());
}

// Goal: a timer that is for ever due again takes no more than the limit, so the caller goes on.
TEST_F(TimerWheelTest, ExpiresNoMoreThanTheLimit) {
  std::unique_ptr<TestTimer> greedy;
  greedy = std::make_unique<TestTimer>([&] { wheel_.arm(*greedy, kStart); });
  wheel_.arm(*greedy, kStart);
  TestTimer other(note(1));
  wheel_.arm(other, kStart);
  EXPECT_EQ(wheel_.expire(kStart, 10), 10U);
  EXPECT_THAT(expired_, ElementsAre(1));
  EXPECT_LE(wheel_.next(), kStart);
}

TEST_F(TimerWheelTest, GoesOnAfterTheLimitWhereItStopped) {
  std::vector<std::unique_ptr<TestTimer>> timers;
  for (int i = 0; i < 10; ++i) {
    timers.push_back(std::make_unique<TestTimer>(note(i)));
    wheel_.arm(*timers.back(), kStart + 1s + i * 1ms);
  }
  EXPECT_EQ(wheel_.expire(kStart + 1h, 4), 4U);
  EXPECT_EQ(wheel_.expire(kStart + 1h, 4), 4U);
  EXPECT_EQ(wheel_.expire(kStart + 1h, 4), 2U);
  EXPECT_THAT(expired_, ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
}

TEST_F(TimerWheelTest, LetsAnExpiryDisarmOthersThatAreDueInTheSameTick) {
  TestTimer after(note(3));
  auto destroyed = std::make_unique<TestTimer>(note(4));
  TestTimer first([&] {
    expired_.push_back(1);
    after.disarm();
    destroyed.reset();
  });
  TestTimer last(note(5));
  for (Timer* timer : {static_cast<Timer*>(&first), static_cast<Timer*>(&after), static_cast<Timer*>(destroyed.get()),
                       static_cast<Timer*>(&last)}) {
    wheel_.arm(*timer, kStart + 1s);
  }
  EXPECT_EQ(wheel_.expire(kStart + 2s, kAll), 2U);
  EXPECT_THAT(expired_, ElementsAre(1, 5));
}

TEST_F(TimerWheelTest, LetsATimerDestroyItselfInItsExpiry) {
  std::unique_ptr<TestTimer> timer;
  timer = std::make_unique<TestTimer>([&] { timer.reset(); });
  TestTimer other(note(1));
  wheel_.arm(*timer, kStart + 1s);
  wheel_.arm(other, kStart + 1s);
  EXPECT_EQ(wheel_.expire(kStart + 2s, kAll), 2U);
  EXPECT_EQ(timer, nullptr);
}

TEST_F(TimerWheelTest, LetsAnExpiryPostponeAnotherThatIsDue) {
  TestTimer other(note(2));
  TestTimer first([&] { wheel_.arm(other, kStart + 1h); });
  wheel_.arm(first, kStart + 1s);
  wheel_.arm(other, kStart + 1s);
  EXPECT_EQ(wheel_.expire(kStart + 2s, kAll), 1U);
  EXPECT_THAT(expired_, IsEmpty());
  EXPECT_TRUE(other.armed());
}

TEST_F(TimerWheelTest, MayGoBeforeItsTimers) {
  TestTimer timer;
  {
    TimerWheel wheel(kStart);
    wheel.arm(timer, kStart + 1s);
  }
  EXPECT_FALSE(timer.armed());
}

// Goal: however far a deadline is, waking when next() says so reaches it in a handful of steps and exactly.
TEST_F(TimerWheelTest, ReachesAFarDeadlineInFewSteps) {
  for (const Duration wait : {Duration(1s), Duration(24h), Duration(kYear), Duration(100 * kYear)}) {
    TimerWheel wheel(kStart);
    TestTimer timer;
    wheel.arm(timer, kStart + wait);
    int steps = 0;
    TimePoint now = kStart;
    for (; timer.armed(); ++steps) {
      ASSERT_GE(wheel.next(), now);
      now = wheel.next();
      wheel.expire(now, kAll);
    }
    EXPECT_GE(now, kStart + wait);
    EXPECT_LT(now, kStart + wait + TimerWheel::kTick);
    EXPECT_LE(steps, 9);
  }
}

TEST_F(TimerWheelTest, HoldsTheLastDeadlineThereIs) {
  TestTimer timer;
  wheel_.arm(timer, kNever - 1ns);
  EXPECT_NE(wheel_.next(), kNever);
  EXPECT_EQ(wheel_.expire(kStart + 100 * kYear, kAll), 0U);
  EXPECT_TRUE(timer.armed());
}

/// Follows a wheel with a multimap of what is armed and complains about each timer that expires out of order, too early
/// or too late.
class ModelledWheel {
 public:
  explicit ModelledWheel(std::size_t count) {
    timers_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) timers_.push_back(std::make_unique<ModelTimer>(*this));
  }

  void arm(std::size_t which, TimePoint deadline) {
    ModelTimer& timer = *timers_[which];
    if (timer.place) model_.erase(*timer.place);
    timer.place = model_.emplace(deadline, &timer);
    wheel_.arm(timer, deadline);
  }
  void disarm(std::size_t which) {
    ModelTimer& timer = *timers_[which];
    if (timer.place) model_.erase(*timer.place);
    timer.place.reset();
    timer.disarm();
  }
  void expire(TimePoint now) {
    now_ = now;
    last_ = TimePoint::min();
    wheel_.expire(now, kAll);
    if (!model_.empty()) {
      ASSERT_GT(model_.begin()->first, now - TimerWheel::kTick) << "this one is late";
      ASSERT_LT(wheel_.next() - TimerWheel::kTick, model_.begin()->first) << "and this one would be";
    } else {
      ASSERT_EQ(wheel_.next(), kNever);
    }
  }
  TimePoint next() { return wheel_.next(); }
  std::size_t armed() const { return model_.size(); }
  std::size_t expired() const { return expired_; }

 private:
  struct ModelTimer final : Timer {
    explicit ModelTimer(ModelledWheel& wheel) : owner(wheel) {}
    ModelledWheel& owner;
    std::optional<std::multimap<TimePoint, ModelTimer*>::iterator> place;

   private:
    void expire() noexcept override {
      EXPECT_FALSE(armed());
      EXPECT_LE(deadline(), owner.now_) << "early";
      EXPECT_GT(deadline() + TimerWheel::kTick, owner.last_) << "out of order";
      owner.last_ = std::max(owner.last_, deadline());
      ASSERT_TRUE(place) << "not armed";
      owner.model_.erase(*place);
      place.reset();
      ++owner.expired_;
    }
  };

  TimerWheel wheel_{kStart};
  std::multimap<TimePoint, ModelTimer*> model_;
  std::vector<std::unique_ptr<ModelTimer>> timers_;
  TimePoint now_ = kStart;
  TimePoint last_ = TimePoint::min();
  std::size_t expired_ = 0;
};

// Goal: the wheel does what a sorted list would do, with deadlines from nanoseconds to years in any mixture.
TEST_F(TimerWheelTest, AgreesWithASortedListUnderRandomUse) {
  for (unsigned seed = 0; seed < 8; ++seed) {
    std::mt19937_64 random(seed);
    constexpr std::size_t kCount = 300;
    ModelledWheel wheel(kCount);
    TimePoint now = kStart;
    const auto some_time = [&](int most_bits) {
      return Duration(static_cast<std::int64_t>(random() >> (64 - 1 - random() % static_cast<unsigned>(most_bits))));
    };
    for (int step = 0; step < 20'000; ++step) {
      const std::size_t which = random() % kCount;
      switch (random() % 8) {
        case 0:
        case 1:
        case 2:
        case 3: wheel.arm(which, now + some_time(56)); break;
        case 4: wheel.disarm(which); break;
        case 5:
          now += some_time(24);
          wheel.expire(now);
          break;
        case 6:
          now += some_time(random() % 100 == 0 ? 54 : 36);
          wheel.expire(now);
          break;
        case 7:
          if (wheel.next() != kNever) now = std::max(now, wheel.next());
          wheel.expire(now);
          break;
      }
      if (HasFatalFailure()) FAIL() << "seed " << seed << " step " << step;
    }
  }
}

// Goal: a million are outstanding, half of them are cancelled or moved, and each of the rest comes when it should.
TEST_F(TimerWheelTest, HoldsAMillion) {
  constexpr std::size_t kCount = 1'000'000;
  std::mt19937_64 random(1);
  ModelledWheel wheel(kCount);
  const auto within_an_hour = [&] {
    return kStart + Duration(static_cast<std::int64_t>(random() % 3'600'000'000'000));
  };
  for (std::size_t i = 0; i < kCount; ++i) wheel.arm(i, within_an_hour());
  for (std::size_t i = 0; i < kCount / 4; ++i) wheel.disarm(random() % kCount);
  for (std::size_t i = 0; i < kCount / 4; ++i) wheel.arm(random() % kCount, within_an_hour());
  const std::size_t armed = wheel.armed();
  for (TimePoint now = kStart; now <= kStart + 1h + 1s; now += 500ms) {
    wheel.expire(now);
    ASSERT_FALSE(HasFatalFailure());
  }
  EXPECT_EQ(wheel.expired(), armed);
  EXPECT_EQ(wheel.armed(), 0U);
}

// Goal: the loop wakes for a timer when it is due and, for a far one, hardly ever before.
TEST(TimerTest, WakesTheLoopWhenItIsDueAndHardlyBefore) {
  ManualLoop loop;
  TimePoint expired_at{};
  TestTimer timer([&] { expired_at = loop->now(); });
  const TimePoint deadline = loop->now() + 24h;
  loop->arm(timer, 24h);
  loop->run();
  EXPECT_GE(expired_at, deadline);
  EXPECT_LE(expired_at, deadline + TimerWheel::kTick);
  EXPECT_LE(loop.poller.waits(), 10U);
}

TEST(TimerTest, KeepsTheLoopRunningUntilItHasExpired) {
  ManualLoop loop;
  int expired = 0;
  std::unique_ptr<TestTimer> timer;
  timer = std::make_unique<TestTimer>([&] {
    if (++expired < 3) loop->arm(*timer, 1s);
  });
  loop->arm(*timer, 1s);
  EXPECT_EQ(loop->run(), 0);
  EXPECT_EQ(expired, 3);
}

// Goal: many timers due at once do not keep events waiting until the last of them has expired.
TEST(TimerTest, LeavesEventsTheirTurnWhileManyAreDue) {
  ManualLoop loop;
  ScriptedSource source(*loop);
  source.set_background(true);
  int expired = 0;
  int expired_before_the_event = 0;
  std::vector<std::unique_ptr<TestTimer>> timers;
  for (int i = 0; i < 10'000; ++i) {
    timers.push_back(std::make_unique<TestTimer>([&] {
      if (++expired == 1) source.give([&] { expired_before_the_event = expired; });
    }));
    loop->arm(*timers.back(), 1s);
  }
  EXPECT_EQ(loop->run(), 0);
  EXPECT_EQ(expired, 10'000);
  EXPECT_GT(expired_before_the_event, 0);
  EXPECT_LT(expired_before_the_event, 2000);
}

}  // namespace
}  // namespace snowfox
