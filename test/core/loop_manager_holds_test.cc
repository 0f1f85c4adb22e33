// The sources and drains that the loop holds: ids, owners, and that they may come and go at any moment.
#include <snowfox/core/loop_manager.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/loop_manager_fixture.h"
#include "support/valve_drain.h"

namespace snowfox {
namespace {

using testing::AnyOf;
using testing::Each;
using testing::ElementsAre;
using testing::SizeIs;

TEST_F(LoopManagerTest, DestroysWhatItOwnsAtTheEndOfTheTurnInWhichItIsRemoved) {
  bool source_gone = false;
  bool drain_gone = false;
  auto& source = loop_->add(std::make_unique<ScriptedSource>(*loop_));
  auto& drain = loop_->add(std::make_unique<ValveDrain>(*loop_));
  source.on_destroyed = [&] { source_gone = true; };
  drain.on_destroyed = [&] { drain_gone = true; };
  source.give([&] {
    loop_->remove(source.id());
    loop_->remove(drain.id());
    EXPECT_TRUE(source.removed);
    EXPECT_TRUE(drain.was_removed);
    EXPECT_FALSE(source_gone);
    EXPECT_FALSE(drain_gone);
  });
  loop_.turn();
  EXPECT_TRUE(source_gone);
  EXPECT_TRUE(drain_gone);
  EXPECT_EQ(loop_->source_count(), 0U);
  EXPECT_EQ(loop_->drain_count(), 0U);
}

TEST_F(LoopManagerTest, DestroysWhatItOwnsWhenItGoes) {
  int gone = 0;
  {
    ManualLoop loop;
    loop->add(std::make_unique<ScriptedSource>(*loop)).on_destroyed = [&] { ++gone; };
    auto& drain = loop->add(std::make_unique<ValveDrain>(*loop));
    drain.on_destroyed = [&] { ++gone; };
    drain.enqueue("never flushed");
  }
  EXPECT_EQ(gone, 2);
}

TEST_F(LoopManagerTest, FindsByIdWhatIsThereAndOfThatType) {
  ScriptedSource source(*loop_);
  ValveDrain drain(*loop_);
  class OtherSource final : public ScriptedSource {
    using ScriptedSource::ScriptedSource;
  };
  EXPECT_EQ(loop_->fetch<ScriptedSource>(source.id()), &source);
  EXPECT_EQ(loop_->fetch<EventSource>(source.id()), &source);
  EXPECT_EQ(loop_->fetch<OtherSource>(source.id()), nullptr);
  EXPECT_EQ(loop_->fetch<ValveDrain>(drain.id()), &drain);
  OtherSource derived(*loop_);
  EXPECT_EQ(loop_->fetch<ScriptedSource>(derived.id()), &derived);
  EXPECT_EQ(loop_->source(kNoSource), nullptr);
  EXPECT_EQ(loop_->drain(kNoDrain), nullptr);
  EXPECT_EQ(loop_->source(SourceId{UINT64_MAX}), nullptr);
}

// Goal: an id that was kept too long names nothing, never something new.
TEST_F(LoopManagerTest, NeverUsesAnIdAgain) {
  std::vector<SourceId> old;
  for (int i = 0; i < 1000; ++i) {
    const ScriptedSource source(*loop_);
    for (const SourceId id : old) ASSERT_NE(id, source.id());
    old.push_back(source.id());
  }
  const ScriptedSource present(*loop_);
  for (const SourceId id : old) {
    EXPECT_EQ(loop_->source(id), nullptr);
    loop_->remove(id);
  }
  EXPECT_EQ(loop_->source_count(), 1U);
}

TEST_F(LoopManagerTest, AsksNothingOfASourceThatWasRemoved) {
  ScriptedSource source(*loop_);
  fill(source, 3, "x");
  const SourceId id = source.id();
  loop_->remove(id);
  EXPECT_EQ(source.id(), kNoSource);
  source.ready();
  source.pause();
  source.resume();
  loop_->remove(id);
  loop_.turn();
  EXPECT_EQ(source.parses, 0U);
  EXPECT_TRUE(source.removed);
}

// Goal: a handler may do anything to the sources that wait for their turn, its own among them.
TEST_F(LoopManagerTest, LetsAHandlerRemoveAnySource) {
  auto& own = loop_->add(std::make_unique<ScriptedSource>(*loop_));
  auto& before = loop_->add(std::make_unique<ScriptedSource>(*loop_));
  auto& after = loop_->add(std::make_unique<ScriptedSource>(*loop_));
  auto& bystander = loop_->add(std::make_unique<ScriptedSource>(*loop_));
  fill(before, 100, "before");
  own.give([&] {
    loop_->remove(before.id());
    loop_->remove(own.id());
    loop_->remove(after.id());
    fill(own, 1, "removed");
  });
  fill(own, 10, "removed");
  fill(after, 10, "removed");
  fill(bystander, 10, "bystander");
  loop_.turn();
  EXPECT_THAT(handled_, SizeIs(74));
  EXPECT_THAT(handled_, Each(AnyOf("before", "bystander")));
}

TEST_F(LoopManagerTest, LetsAHandlerDestroyAnySource) {
  auto before = std::make_unique<ScriptedSource>(*loop_);
  auto own = std::make_unique<ScriptedSource>(*loop_);
  auto after = std::make_unique<ScriptedSource>(*loop_);
  ScriptedSource bystander(*loop_);
  fill(*before, 100, "before");
  own->give([&] {
    before.reset();
    own.reset();
    after.reset();
  });
  fill(*own, 10, "destroyed");
  fill(*after, 10, "destroyed");
  fill(bystander, 10, "bystander");
  loop_.turn();
  EXPECT_THAT(handled_, SizeIs(74));
  EXPECT_THAT(handled_, Each(AnyOf("before", "bystander")));
}

TEST_F(LoopManagerTest, LetsParseRemoveAnySource) {
  auto& own = loop_->add(std::make_unique<ScriptedSource>(*loop_));
  auto other = std::make_unique<ScriptedSource>(*loop_);
  auto& bystander = loop_->add(std::make_unique<ScriptedSource>(*loop_));
  own.on_parse = [&] {
    loop_->remove(own.id());
    other.reset();
  };
  fill(own, 2, "last");
  fill(*other, 10, "destroyed");
  fill(bystander, 2, "bystander");
  loop_.turn();
  EXPECT_THAT(handled_, ElementsAre("last", "bystander", "bystander"));
}

TEST_F(LoopManagerTest, LetsParseAndHandlersMakeSources) {
  ScriptedSource source(*loop_);
  std::vector<std::unique_ptr<ScriptedSource>> made;
  const auto make = [&](const std::string& name) {
    made.push_back(std::make_unique<ScriptedSource>(*loop_));
    fill(*made.back(), 2, name);
  };
  source.on_parse = [&] {
    if (source.parses == 1) make("from parse");
  };
  source.give([&] { make("from handler"); });
  loop_.turn();
  EXPECT_THAT(handled_, ElementsAre("from parse", "from parse", "from handler", "from handler"));
}

// Goal: a turn ends though each handler makes one more source that is ready at once.
TEST_F(LoopManagerTest, EndsATurnThoughSourcesMultiply) {
  std::vector<std::unique_ptr<ScriptedSource>> made;
  ValveDrain drain(*loop_);
  std::string flown_meanwhile;
  std::function<void()> breed = [&] {
    if (made.size() == 10) drain.enqueue("x");
    if (made.size() >= 1000) return;
    made.push_back(std::make_unique<ScriptedSource>(*loop_));
    made.back()->give(breed);
    if (made.size() == 20) flown_meanwhile = drain.flown;
  };
  ScriptedSource source(*loop_);
  source.give(breed);
  loop_.turn();
  EXPECT_EQ(flown_meanwhile, "x");
  EXPECT_THAT(made, SizeIs(1000));
}

TEST_F(LoopManagerTest, LetsADestructorRemoveOthers) {
  auto& first = loop_->add(std::make_unique<ScriptedSource>(*loop_));
  auto& second = loop_->add(std::make_unique<ScriptedSource>(*loop_));
  auto& drain = loop_->add(std::make_unique<ValveDrain>(*loop_));
  const SourceId second_id = second.id();
  const DrainId drain_id = drain.id();
  bool gone = false;
  first.on_destroyed = [&] { loop_->remove(second_id); };
  second.on_destroyed = [&] { loop_->remove(drain_id); };
  drain.on_destroyed = [&] { gone = true; };
  first.give([&] { loop_->remove(first.id()); });
  loop_.turn();
  EXPECT_TRUE(gone);
}

TEST_F(LoopManagerTest, LetsAHandlerDestroyADrainThatIsToBeFlushed) {
  ScriptedSource source(*loop_);
  auto drain = std::make_unique<ValveDrain>(*loop_);
  auto& owned = loop_->add(std::make_unique<ValveDrain>(*loop_));
  source.give([&] {
    drain->enqueue("lost");
    owned.enqueue("lost as well");
    drain.reset();
    loop_->remove(owned.id());
  });
  loop_.turn();
  EXPECT_EQ(loop_->drain_count(), 0U);
  EXPECT_EQ(loop_->counters().dropped_bytes, 16U);
}

TEST_F(LoopManagerTest, LetsFlushRemoveAnyDrain) {
  auto& own = loop_->add(std::make_unique<ValveDrain>(*loop_));
  auto& other = loop_->add(std::make_unique<ValveDrain>(*loop_));
  ValveDrain bystander(*loop_);
  own.on_flush = [&] {
    loop_->remove(own.id());
    loop_->remove(other.id());
  };
  own.enqueue("1");
  other.enqueue("2");
  bystander.enqueue("3");
  loop_.turn();
  EXPECT_EQ(bystander.flown, "3");
  EXPECT_EQ(loop_->drain_count(), 1U);
}

TEST_F(LoopManagerTest, FlushesADrainOnceATurnHoweverOftenItIsWrittenTo) {
  ScriptedSource source(*loop_);
  ValveDrain drain(*loop_);
  for (int i = 0; i < 10; ++i) source.give([&] { drain.enqueue("x"); });
  loop_.turn();
  EXPECT_EQ(drain.flushes, 1U);
  EXPECT_EQ(drain.flown, "xxxxxxxxxx");
}

TEST_F(LoopManagerTest, FlushesWhatAFlushEnqueuesElsewhere) {
  ValveDrain first(*loop_);
  ValveDrain second(*loop_);
  first.on_flush = [&] {
    if (first.flushes == 1) second.enqueue("passed on");
  };
  first.enqueue("x");
  loop_.turn();
  EXPECT_EQ(second.flown, "passed on");
}

}  // namespace
}  // namespace snowfox
