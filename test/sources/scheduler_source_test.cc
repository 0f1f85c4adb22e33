#include <snowfox/sources/scheduler_source.h>

#include <functional>
#include <map>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/manual_loop.h"
#include "support/scripted_source.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class SchedulerSourceTest : public testing::Test {
 protected:
  std::function<void()> note(const std::string& name) {
    return [this, name] { handled_.push_back(name); };
  }

  ManualLoop loop_;
  SchedulerSource scheduler_{*loop_};
  std::vector<std::string> handled_;
};

TEST_F(SchedulerSourceTest, GivesAnEventAtItsTimeAndNeverEarly) {
  const TimePoint began = loop_->now();
  for (const Duration wait : {Duration(0), Duration(1), Duration(65'537), Duration(1ms), Duration(3s), Duration(48h)}) {
    scheduler_.after(wait, [&, wait] {
      EXPECT_GE(loop_->now(), began + wait);
      EXPECT_LE(loop_->now(), began + wait + TimerWheel::kTick);
      handled_.emplace_back("x");
    });
  }
  EXPECT_EQ(scheduler_.size(), 6U);
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_THAT(handled_, SizeIs(6));
  EXPECT_EQ(scheduler_.size(), 0U);
}

TEST_F(SchedulerSourceTest, GivesEventsInTheOrderOfTheirTimes) {
  scheduler_.after(30ms, note("third"));
  scheduler_.at(loop_->now() + 10ms, make_event(note("first")));
  scheduler_.after(20ms, note("second"));
  scheduler_.at(loop_->now() - 1h, make_event(note("overdue")));
  loop_->run();
  EXPECT_THAT(handled_, ElementsAre("overdue", "first", "second", "third"));
}

TEST_F(SchedulerSourceTest, NeverGivesWhatIsNeverDue) {
  scheduler_.at(kNever, make_event(note("never")));
  scheduler_.after(Duration::max(), note("never"));
  EXPECT_EQ(loop_->run(), 0) << "what never comes is not waited for";
  EXPECT_THAT(handled_, IsEmpty());
  EXPECT_EQ(scheduler_.size(), 2U);
}

TEST_F(SchedulerSourceTest, RepeatsUntilItIsCancelled) {
  TimerId id{};
  int ticks = 0;
  const TimePoint began = loop_->now();
  id = scheduler_.every(10ms, [&] {
    ++ticks;
    EXPECT_GE(loop_->now(), began + ticks * 10ms);
    if (ticks == 5) {
      EXPECT_TRUE(scheduler_.cancel(id));
    }
  });
  loop_->run();
  EXPECT_EQ(ticks, 5);
  EXPECT_LT(loop_->now(), began + 60ms);
  EXPECT_FALSE(scheduler_.cancel(id));
}

// Goal: a late tick is not made up for. The next is a whole period after it.
TEST_F(SchedulerSourceTest, CountsAPeriodFromALateTick) {
  std::vector<TimePoint> ticks;
  const TimePoint began = loop_->now();
  SchedulerSource periodic(*loop_, 10ms, [&] {
    ticks.push_back(loop_->now());
    return make_event([&] {
      if (ticks.size() == 1) loop_.poller.advance(95ms);
    });
  });
  while (ticks.size() < 3) loop_.pass(1ms);
  EXPECT_GE(ticks[1] - ticks[0], 95ms);
  EXPECT_GE(ticks[2] - ticks[1], 10ms);
  EXPECT_LT(ticks[0] - began, 11ms);
}

TEST_F(SchedulerSourceTest, SkipsATickForWhichNoEventIsMade) {
  int made = 0;
  const TimerId id = scheduler_.every(10ms, SchedulerSource::MakeEvent([&]() -> EventRef {
                                        if (++made % 2 == 0) return nullptr;
                                        return make_event(note("odd"));
                                      }));
  loop_.pass(65ms);
  EXPECT_EQ(made, 6);
  EXPECT_THAT(handled_, SizeIs(3));
  EXPECT_TRUE(scheduler_.cancel(id));
}

// Goal: whatever makes the events may cancel their timer while it is being asked.
TEST_F(SchedulerSourceTest, MayBeCancelledByWhatMakesItsEvents) {
  TimerId id{};
  std::string seen;
  id = scheduler_.every(10ms, SchedulerSource::MakeEvent(
                                  [&, captured = std::string("a text too long to be held in the function itself")] {
                                    EXPECT_TRUE(scheduler_.cancel(id));
                                    scheduler_.after(1ms, note("another in its place"));
                                    seen = captured;
                                    return make_event(note("the last"));
                                  }));
  loop_->run();
  EXPECT_EQ(seen, "a text too long to be held in the function itself");
  EXPECT_THAT(handled_, ElementsAre("the last", "another in its place"));
}

TEST_F(SchedulerSourceTest, KeepsATimerWhoseEventCouldNotBeMadeOnce) {
  int made = 0;
  ScriptedSource other(*loop_);
  scheduler_.every(10ms, SchedulerSource::MakeEvent([&]() -> EventRef {
                     if (++made == 1) throw std::runtime_error("not this time");
                     return make_event(note("tick"));
                   }));
  scheduler_.after(15ms, note("another timer"));
  loop_.pass(35ms);
  EXPECT_EQ(loop_.sink.lines.size(), 1U);
  EXPECT_THAT(handled_, ElementsAre("another timer", "tick", "tick"));
}

TEST_F(SchedulerSourceTest, CancelsUntilTheEventIsHandedOut) {
  const TimerId early = scheduler_.after(1s, note("cancelled early"));
  TimerId due{};
  scheduler_.after(2s, [&] { EXPECT_TRUE(scheduler_.cancel(due)); });
  due = scheduler_.after(2s, note("cancelled when due"));
  TimerId done{};
  done = scheduler_.after(3s, [&] { EXPECT_FALSE(scheduler_.cancel(done)); });
  EXPECT_TRUE(scheduler_.cancel(early));
  EXPECT_FALSE(scheduler_.cancel(early));
  loop_->run();
  EXPECT_THAT(handled_, IsEmpty());
  EXPECT_EQ(scheduler_.size(), 0U);
}

TEST_F(SchedulerSourceTest, FreesACancelledEventAtOnce) {
  auto held = std::make_shared<int>(1);
  const TimerId id = scheduler_.after(1h, [held] {});
  EXPECT_EQ(held.use_count(), 2);
  scheduler_.cancel(id);
  EXPECT_EQ(held.use_count(), 1);
}

TEST_F(SchedulerSourceTest, NeverUsesAnIdAgain) {
  std::vector<TimerId> old;
  for (int i = 0; i < 1000; ++i) {
    old.push_back(scheduler_.after(1h, [] {}));
    scheduler_.cancel(old.back());
  }
  scheduler_.after(1h, note("present"));
  for (const TimerId id : old) EXPECT_FALSE(scheduler_.cancel(id));
  EXPECT_FALSE(scheduler_.cancel(TimerId{0}));
  EXPECT_FALSE(scheduler_.cancel(TimerId{UINT64_MAX}));
  EXPECT_EQ(scheduler_.size(), 1U);
}

TEST_F(SchedulerSourceTest, CancelsAllWhenItIsDestroyed) {
  auto scheduler = std::make_unique<SchedulerSource>(*loop_);
  scheduler->after(1s, note("cancelled"));
  scheduler->every(1s, note("cancelled"));
  scheduler->after(500ms, [&] { scheduler.reset(); });
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_EQ(scheduler, nullptr);
  EXPECT_THAT(handled_, IsEmpty());
}

TEST_F(SchedulerSourceTest, KeepsTheLoopRunningOnlyWhileItHasTimers) {
  const TimePoint began = loop_->now();
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_EQ(loop_->now(), began);
  scheduler_.after(1s, note("x"));
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_GE(loop_->now(), began + 1s);
}

TEST_F(SchedulerSourceTest, KeepsDueEventsWhileItIsPaused) {
  const ScriptedSource other(*loop_);
  scheduler_.after(1s, note("x"));
  scheduler_.pause();
  loop_.pass(2s);
  EXPECT_THAT(handled_, IsEmpty());
  scheduler_.resume();
  loop_.pass(1ms);
  EXPECT_THAT(handled_, ElementsAre("x"));
}

// Goal: a million timers, set and cancelled at random, come in order and each at its time; a multimap is the model.
TEST_F(SchedulerSourceTest, HoldsAMillion) {
  constexpr int kTimers = 1'000'000;
  std::mt19937_64 random(9);
  std::multimap<TimePoint, int> model;
  std::vector<std::multimap<TimePoint, int>::iterator> places(kTimers);
  std::vector<TimerId> ids(kTimers);
  std::size_t handled = 0;
  for (int i = 0; i < kTimers; ++i) {
    const TimePoint deadline = loop_->now() + Duration(static_cast<std::int64_t>(random() % 600'000'000'000));
    const auto place = model.emplace(deadline, i);
    places[static_cast<std::size_t>(i)] = place;
    ids[static_cast<std::size_t>(i)] = scheduler_.at(deadline, make_event([&, place] {
                                                       ++handled;
                                                       if (loop_->now() < place->first) ADD_FAILURE() << "early";
                                                       if (model.begin()->first + TimerWheel::kTick < place->first)
                                                         ADD_FAILURE() << "out of order";
                                                       model.erase(place);
                                                     }));
  }
  std::vector<bool> cancelled(kTimers);
  for (int i = 0; i < kTimers / 3; ++i) {
    const std::size_t which = random() % kTimers;
    EXPECT_EQ(scheduler_.cancel(ids[which]), !cancelled[which]);
    if (!cancelled[which]) model.erase(places[which]);
    cancelled[which] = true;
  }
  const std::size_t armed = model.size();
  EXPECT_EQ(scheduler_.size(), armed);
  while (!model.empty() && !HasFailure()) {
    loop_.poller.advance(1s);
    loop_.turn();
    ASSERT_TRUE(model.empty() || model.begin()->first > loop_->now() - TimerWheel::kTick) << "late";
  }
  EXPECT_EQ(handled, armed);
  EXPECT_EQ(scheduler_.size(), 0U);
}

}  // namespace
}  // namespace snowfox
