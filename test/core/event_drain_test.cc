#include <snowfox/core/event_drain.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/null_drain.h>

#include "support/manual_loop.h"
#include "support/scripted_source.h"
#include "support/valve_drain.h"

namespace snowfox {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class EventDrainTest : public testing::Test {
 protected:
  EventDrainTest() { shut(drain_); }

  static void shut(ValveDrain& drain) { drain.opening_bytes = 0; }
  void enqueue(std::size_t bytes) {
    drain_.enqueue(std::string(bytes, 'x'));
    loop_.turn();
  }
  void let_flow(std::size_t bytes) {
    drain_.open(bytes);
    loop_.turn();
    shut(drain_);
  }

  ManualLoop loop_;
  const Watermarks watermarks_{.high = 100, .low = 40};
  ValveDrain drain_{*loop_, &watermarks_};
  ScriptedSource source_{*loop_};
};

TEST_F(EventDrainTest, CountsWhatWaits) {
  EXPECT_TRUE(drain_.empty());
  enqueue(7);
  EXPECT_EQ(drain_.pending_bytes(), 7U);
  let_flow(3);
  EXPECT_EQ(drain_.pending_bytes(), 4U);
  let_flow(100);
  EXPECT_TRUE(drain_.empty());
}

TEST_F(EventDrainTest, HasTheLoopsWatermarksIfGivenNone) {
  const ValveDrain drain(*loop_);
  EXPECT_EQ(drain.watermarks().high, loop_->options().watermarks.high);
  EXPECT_EQ(drain_.watermarks().high, 100U);
}

// Goal: past high its sources pause, and at low - not before - they go on.
TEST_F(EventDrainTest, PausesItsSourcesAboveHighUntilLow) {
  drain_.bind(source_.id());
  enqueue(100);
  EXPECT_FALSE(source_.paused());
  enqueue(1);
  EXPECT_TRUE(drain_.congested());
  EXPECT_TRUE(source_.paused());
  let_flow(60);
  EXPECT_EQ(drain_.pending_bytes(), 41U);
  EXPECT_TRUE(source_.paused());
  let_flow(1);
  EXPECT_FALSE(drain_.congested());
  EXPECT_FALSE(source_.paused());
  enqueue(60);
  EXPECT_FALSE(source_.paused());
  EXPECT_THAT(source_.pauses_told, ElementsAre(true, false));
}

// Goal: the decision is from levels. What comes and goes within a turn pauses nobody for longer than that.
TEST_F(EventDrainTest, TellsItsSourcesNothingOfWhatIsFlushedInTheSameTurn) {
  drain_.bind(source_.id());
  drain_.opening_bytes = SIZE_MAX;
  int handled = 0;
  source_.give([&] { drain_.enqueue(std::string(1000, 'x')); });
  source_.give([&] { ++handled; });
  const EventRef first = loop_->wait(Duration::zero());
  first->handle();
  EXPECT_TRUE(source_.paused());
  loop_.turn();
  EXPECT_FALSE(source_.paused());
  EXPECT_EQ(handled, 1);
  EXPECT_THAT(source_.pauses_told, IsEmpty());
}

TEST_F(EventDrainTest, PausesEachOfManySources) {
  std::vector<std::unique_ptr<ScriptedSource>> sources;
  for (int i = 0; i < 5; ++i) {
    sources.push_back(std::make_unique<ScriptedSource>(*loop_));
    drain_.bind(sources.back()->id());
  }
  enqueue(101);
  for (const auto& source : sources) EXPECT_TRUE(source->paused());
  sources[0].reset();
  sources[3].reset();
  let_flow(101);
  for (const auto& source : sources) {
    EXPECT_TRUE(source == nullptr || !source->paused());
  }
}

TEST_F(EventDrainTest, KeepsASourcePausedUntilTheLastOfItsDrainsHasRoom) {
  ValveDrain other(*loop_, &watermarks_);
  shut(other);
  drain_.bind(source_.id());
  other.bind(source_.id());
  other.enqueue(std::string(101, 'x'));
  enqueue(101);
  let_flow(101);
  EXPECT_TRUE(source_.paused());
  other.open();
  loop_.turn();
  EXPECT_FALSE(source_.paused());
}

TEST_F(EventDrainTest, BindsASourceOnceHoweverOftenItIsBound) {
  ScriptedSource second(*loop_);
  drain_.bind(source_.id());
  drain_.bind(source_.id());
  drain_.bind(second.id());
  drain_.bind(second.id());
  enqueue(101);
  drain_.bind(second.id());
  drain_.unbind(source_.id());
  drain_.unbind(second.id());
  EXPECT_FALSE(source_.paused());
  EXPECT_FALSE(second.paused());
}

// Goal: the same when the place of one that is gone is used again.
TEST_F(EventDrainTest, BindsASourceOnceAfterAnotherIsGone) {
  auto first = std::make_unique<ScriptedSource>(*loop_);
  drain_.bind(first->id());
  drain_.bind(source_.id());
  first.reset();
  drain_.bind(source_.id());
  enqueue(101);
  drain_.unbind(source_.id());
  EXPECT_FALSE(source_.paused());
  let_flow(101);
  enqueue(101);
  EXPECT_FALSE(source_.paused());
}

TEST_F(EventDrainTest, PausesAndResumesWhoeverIsBoundWhileItIsCongested) {
  enqueue(101);
  drain_.bind(source_.id());
  EXPECT_TRUE(source_.paused());
  drain_.unbind(source_.id());
  EXPECT_FALSE(source_.paused());
  drain_.unbind(source_.id());
  EXPECT_FALSE(source_.paused());
}

TEST_F(EventDrainTest, ForgetsASourceThatIsGone) {
  drain_.bind(SourceId{12345});
  auto gone = std::make_unique<ScriptedSource>(*loop_);
  drain_.bind(gone->id());
  gone.reset();
  enqueue(101);
  let_flow(101);
  drain_.bind(source_.id());
  enqueue(101);
  EXPECT_TRUE(source_.paused());
}

TEST_F(EventDrainTest, ResumesItsSourcesWhenItIsRemoved) {
  auto& drain = loop_->add(std::make_unique<ValveDrain>(*loop_, &watermarks_));
  shut(drain);
  drain.bind(source_.id());
  drain.enqueue(std::string(101, 'x'));
  loop_.turn();
  EXPECT_TRUE(source_.paused());
  loop_->remove(drain.id());
  EXPECT_FALSE(source_.paused());
  loop_.turn();
  EXPECT_THAT(source_.pauses_told, ElementsAre(true, false));
  EXPECT_EQ(loop_->counters().dropped_bytes, 101U);
}

TEST_F(EventDrainTest, ResumesItsSourcesWhenItIsDestroyed) {
  auto drain = std::make_unique<ValveDrain>(*loop_, &watermarks_);
  shut(*drain);
  drain->bind(source_.id());
  drain->enqueue(std::string(101, 'x'));
  drain.reset();
  EXPECT_FALSE(source_.paused());
}

// Goal: who is resumed at the very end of a turn is told before the loop waits, or it would wait for nothing.
TEST_F(EventDrainTest, TellsItsSourcesThoughItGoesAtTheVeryEndOfATurn) {
  auto& keeper = loop_->add(std::make_unique<ScriptedSource>(*loop_));
  auto kept = std::make_unique<ValveDrain>(*loop_, &watermarks_);
  shut(*kept);
  kept->bind(source_.id());
  kept->enqueue(std::string(101, 'x'));
  loop_.turn();
  EXPECT_THAT(source_.pauses_told, ElementsAre(true));
  keeper.on_destroyed = [&] { kept.reset(); };
  keeper.give([&] { loop_->remove(keeper.id()); });
  loop_->dispatch(loop_->wait(Duration::zero()));
  const std::size_t waits = loop_.poller.waits();
  bool told_before_the_wait = false;
  source_.on_pauses = [&] { told_before_the_wait = loop_.poller.waits() == waits; };
  loop_->wait(Duration(1));
  EXPECT_THAT(source_.pauses_told, ElementsAre(true, false));
  EXPECT_TRUE(told_before_the_wait);
}

TEST_F(EventDrainTest, GoesWhenItIsEmptyIfAskedTo) {
  auto& drain = loop_->add(std::make_unique<ValveDrain>(*loop_));
  shut(drain);
  bool gone = false;
  drain.on_destroyed = [&] { gone = true; };
  drain.enqueue("the rest");
  drain.close_when_empty();
  loop_.turn();
  EXPECT_FALSE(gone);
  drain.open();
  loop_.turn();
  EXPECT_TRUE(gone);
  EXPECT_EQ(loop_->counters().dropped_bytes, 0U);
}

TEST_F(EventDrainTest, GoesAtOnceIfItIsEmptyAlready) {
  auto& drain = loop_->add(std::make_unique<ValveDrain>(*loop_));
  bool gone = false;
  drain.on_destroyed = [&] { gone = true; };
  drain.close_when_empty();
  EXPECT_FALSE(gone);
  loop_.turn();
  EXPECT_TRUE(gone);
}

// Goal: an answer that was promised before the end of input is still sent after it.
TEST_F(EventDrainTest, StaysOpenAsLongAsALeaseIsOut) {
  auto& drain = loop_->add(std::make_unique<ValveDrain>(*loop_));
  bool gone = false;
  drain.on_destroyed = [&] { gone = true; };
  auto first = std::make_unique<DrainLease>(drain);
  DrainLease second(drain);
  drain.close_when_empty();
  loop_.turn();
  first.reset();
  loop_.turn();
  EXPECT_FALSE(gone);
  ASSERT_EQ(second.drain(), &drain);
  second.drain()->enqueue("the answer");
  loop_.turn();
  EXPECT_EQ(drain.flown, "the answer");
  EXPECT_FALSE(gone);
  second = DrainLease();
  loop_.turn();
  EXPECT_TRUE(gone);
}

TEST_F(EventDrainTest, MayGoBeforeItsLeases) {
  auto& drain = loop_->add(std::make_unique<ValveDrain>(*loop_));
  const DrainLease lease(drain);
  loop_->remove(drain.id());
  loop_.turn();
  EXPECT_EQ(lease.drain(), nullptr);
  const ValveDrain next_in_its_place(*loop_);
  EXPECT_EQ(lease.drain(), nullptr);
}

TEST(DrainLeaseTest, MovesWithItsClaim) {
  ManualLoop loop;
  auto& drain = loop->add(std::make_unique<ValveDrain>(*loop));
  bool gone = false;
  drain.on_destroyed = [&] { gone = true; };
  {
    DrainLease first(drain);
    drain.close_when_empty();
    DrainLease second = std::move(first);
    EXPECT_EQ(first.drain(), nullptr);
    DrainLease third;
    third = std::move(second);
    EXPECT_EQ(third.drain(), &drain);
    loop.turn();
    EXPECT_FALSE(gone);
  }
  loop.turn();
  EXPECT_TRUE(gone);
}

TEST(DrainLeaseTest, MayBeForTheDrainOfNobody) {
  ManualLoop loop;
  const DrainLease lease(loop->null_drain());
  EXPECT_EQ(lease.drain(), &loop->null_drain());
  const DrainLease none;
  EXPECT_EQ(none.drain(), nullptr);
}

}  // namespace
}  // namespace snowfox
