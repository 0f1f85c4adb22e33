#include <snowfox/core/loop_manager.h>

#include <array>
#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/channel.h>
#include <snowfox/core/error.h>

#include "support/manual_loop.h"
#include "support/scripted_source.h"
#include "support/sockets.h"
#include "support/valve_drain.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::AnyOf;
using testing::Each;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class LoopManagerTest : public testing::Test {
 protected:
  /// `count` events that note `name` when they are handled.
  void fill(ScriptedSource& source, std::size_t count, const std::string& name) {
    for (std::size_t i = 0; i < count; ++i) source.give([this, name] { handled_.push_back(name); });
  }
  std::size_t place_of(const std::string& name) const {
    return static_cast<std::size_t>(std::find(handled_.begin(), handled_.end(), name) - handled_.begin());
  }

  ManualLoop loop_;
  std::vector<std::string> handled_;
};

/// Something to be done soon that is gone once it is done.
class DeferredCall final : public Deferred {
 public:
  explicit DeferredCall(std::function<void()> call) : call_(std::move(call)) {}

 private:
  void run() noexcept override {
    call_();
    delete this;
  }
  std::function<void()> call_;
};

void defer(LoopManager& loop, std::function<void()> call) { loop.defer(*new DeferredCall(std::move(call))); }

class CallTimer final : public Timer {
 public:
  explicit CallTimer(std::function<void()> call) : call_(std::move(call)) {}

 private:
  void expire() noexcept override { call_(); }
  std::function<void()> call_;
};

/// An event that throws what a test wants.
class ThrowingEvent final : public Event {
 public:
  using Thrower = std::function<void()>;
  explicit ThrowingEvent(Thrower in_handle, Thrower in_rescue = nullptr, const CorrelationId& id = {})
      : Event(id), in_handle_(std::move(in_handle)), in_rescue_(std::move(in_rescue)) {}
  void handle() override { in_handle_(); }
  void rescue(std::exception_ptr error) override {
    last_rescued = describe(error);
    if (in_rescue_) return in_rescue_();
    std::rethrow_exception(error);
  }
  std::string_view name() const noexcept override { return "throwing event"; }

  static inline std::string last_rescued;

 private:
  Thrower in_handle_;
  Thrower in_rescue_;
};

void throw_runtime_error() { throw std::runtime_error("handler's"); }
void do_nothing() {}

// --- turns ---

// Goal: no source starves another. A thousand events wait in the first; the second has one.
TEST_F(LoopManagerTest, GivesEveryReadySourceATurn) {
  ScriptedSource first(*loop_);
  ScriptedSource second(*loop_);
  fill(first, 1000, "first");
  fill(second, 1, "second");
  loop_.turn();
  EXPECT_THAT(handled_, SizeIs(1001));
  EXPECT_EQ(place_of("second"), loop_->options().events_per_turn);
}

TEST_F(LoopManagerTest, TakesSourcesInTurnsOfEqualShares) {
  LoopOptions options;
  options.events_per_turn = 3;
  ManualLoop loop(options);
  ScriptedSource a(*loop);
  ScriptedSource b(*loop);
  ScriptedSource c(*loop);
  fill(a, 7, "a");
  fill(b, 2, "b");
  fill(c, 4, "c");
  loop.turn();
  EXPECT_THAT(handled_, ElementsAre("a", "a", "a", "b", "b", "c", "c", "c", "a", "a", "a", "c", "a"));
}

TEST_F(LoopManagerTest, EndsASourcesShareWhenItsTimeIsUsed) {
  ScriptedSource slow(*loop_);
  ScriptedSource other(*loop_);
  for (int i = 0; i < 20; ++i) {
    slow.give([this] {
      handled_.push_back("slow");
      loop_.poller.advance(2ms);
    });
  }
  fill(other, 1, "other");
  loop_.turn();
  EXPECT_EQ(place_of("other"), 3U);
  EXPECT_THAT(handled_, SizeIs(21));
}

TEST_F(LoopManagerTest, AsksASourceAgainThatBecomesReadyWhileItIsAsked) {
  ScriptedSource source(*loop_);
  source.on_parse = [&] {
    if (source.parses == 1) source.ready();
  };
  source.ready();
  loop_.turn();
  EXPECT_EQ(source.parses, 2U);
}

TEST_F(LoopManagerTest, AsksASourceOnceHoweverOftenItIsReady) {
  ScriptedSource source(*loop_);
  for (int i = 0; i < 10; ++i) source.ready();
  loop_.turn();
  EXPECT_EQ(source.parses, 1U);
}

TEST_F(LoopManagerTest, HandlesEventsThatHandlersGiveInTheOrderGiven) {
  ScriptedSource source(*loop_);
  std::function<void(int)> give = [&](int depth) {
    source.give([&, depth] {
      handled_.push_back(std::to_string(depth));
      if (depth < 300) give(depth + 1);
      if (depth == 1) source.give([&] { handled_.push_back("beside"); });
    });
  };
  give(0);
  loop_.turn();
  EXPECT_THAT(handled_, SizeIs(302));
  EXPECT_EQ(place_of("beside"), 3U);
  EXPECT_EQ(handled_.back(), "300");
}

// Goal: a source that never runs dry keeps neither descriptors nor timers waiting.
TEST_F(LoopManagerTest, LooksAtDescriptorsAndTimersWhileASourceIsBusy) {
  ScriptedSource busy(*loop_);
  bool received = false;
  bool expired = false;
  std::function<void()> again = [&] {
    loop_.poller.advance(10us);
    handled_.emplace_back("busy");
    busy.give(again);
  };
  busy.give(again);

  auto [ours, theirs] = make_socket_pair();
  ScriptedSource connection(*loop_);
  connection.on_parse = [&] { received = true; };
  const auto channel = Channel::make(*loop_, std::move(ours));
  channel->set_source(&connection);
  channel->watch_read(true);
  CallTimer timer([&] { expired = true; });
  loop_->arm(timer, 1ms);
  send_some(theirs.get(), "x");
  while (handled_.size() < 1000 && !(received && expired)) loop_->dispatch(loop_->wait(0ns));
  EXPECT_TRUE(received);
  EXPECT_TRUE(expired);
  EXPECT_LT(handled_.size(), 1000U);
}

// Goal: the wait is shared. A turn of many events costs one look at the system, not one each.
TEST_F(LoopManagerTest, SharesItsSystemCallsAmongEvents) {
  ScriptedSource source(*loop_);
  fill(source, 6400, "x");
  loop_.turn();
  EXPECT_EQ(loop_->counters().events, 6400U);
  EXPECT_LE(loop_->counters().polls, 110U);
}

// --- what the loop holds ---

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

// --- wait ---

TEST_F(LoopManagerTest, WaitsAsLongAsItWasTold) {
  const ScriptedSource source(*loop_);
  const TimePoint began = loop_->now();
  EXPECT_EQ(loop_->wait(250ms), nullptr);
  EXPECT_EQ(loop_->now(), began + 250ms);
  EXPECT_EQ(loop_->wait(0ns), nullptr);
  EXPECT_EQ(loop_->wait(-1s), nullptr);
  EXPECT_EQ(loop_->now(), began + 250ms);
}

TEST_F(LoopManagerTest, DoesNotWaitWhenThereIsNothingToWaitFor) {
  const TimePoint began = loop_->now();
  EXPECT_EQ(loop_->wait(1h), nullptr);
  EXPECT_EQ(loop_->wait(Duration::max()), nullptr);
  EXPECT_EQ(loop_->now(), began);
}

TEST_F(LoopManagerTest, LooksAtDescriptorsEvenWithoutTimeToWait) {
  auto [ours, theirs] = make_socket_pair();
  ScriptedSource connection(*loop_);
  connection.on_parse = [&] { handled_.emplace_back("readable"); };
  const auto channel = Channel::make(*loop_, std::move(ours));
  channel->set_source(&connection);
  channel->watch_read(true);
  send_some(theirs.get(), "x");
  EXPECT_EQ(loop_->wait(0ns), nullptr);
  EXPECT_THAT(handled_, Each("readable"));
  EXPECT_FALSE(handled_.empty());
}

TEST_F(LoopManagerTest, LetsTimersExpireWhileItWaitsForAnEvent) {
  ScriptedSource source(*loop_);
  CallTimer first([&] { handled_.emplace_back("timer"); });
  CallTimer second([&] { fill(source, 1, "event"); });
  loop_->arm(first, 10ms);
  loop_->arm(second, 20ms);
  const TimePoint began = loop_->now();
  EventRef event = loop_->wait(1s);
  ASSERT_NE(event, nullptr);
  EXPECT_GE(loop_->now(), began + 20ms);
  EXPECT_LT(loop_->now(), began + 21ms);
  EXPECT_THAT(handled_, ElementsAre("timer"));
}

TEST_F(LoopManagerTest, GivesNoEventOnceItIsStopped) {
  ScriptedSource source(*loop_);
  fill(source, 3, "x");
  EXPECT_NE(loop_->wait(0ns), nullptr);
  loop_->stop();
  EXPECT_EQ(loop_->wait(0ns), nullptr);
  EXPECT_EQ(loop_->wait(Duration::max()), nullptr);
  EXPECT_TRUE(loop_->stopping());
}

// --- how run() ends ---

TEST_F(LoopManagerTest, EndsWhenNothingIsLeft) {
  EXPECT_EQ(loop_->run(), 0);
  ScriptedSource source(*loop_);
  source.give([&] { loop_->remove(source.id()); });
  EXPECT_EQ(loop_->run(), 0);
}

TEST_F(LoopManagerTest, GoesOnWhileADrainHasSomething) {
  ValveDrain drain(*loop_);
  drain.opening_bytes = 1;
  drain.enqueue("abc");
  CallTimer again([&] { drain.open(2); });
  loop_->arm(again, 1s);
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_EQ(drain.flown, "abc");
}

TEST_F(LoopManagerTest, GoesOnWhileItIsHeld) {
  bool released = false;
  CallTimer work([&] {
    loop_->release();
    released = true;
  });
  loop_->hold();
  loop_->arm(work, 1s);
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_TRUE(released);
}

TEST_F(LoopManagerTest, DoesNotGoOnForBackgroundSources) {
  ScriptedSource background(*loop_);
  background.set_background(true);
  ScriptedSource foreground(*loop_);
  fill(background, 2, "background");
  foreground.give([&] { loop_->remove(foreground.id()); });
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_THAT(handled_, ElementsAre("background", "background"));
  background.set_background(false);
  background.give([&] { background.set_background(true); });
  EXPECT_EQ(loop_->run(), 0);
}

TEST_F(LoopManagerTest, CountsABackgroundSourceNoMoreWhenItIsGone) {
  {
    ScriptedSource background(*loop_);
    background.set_background(true);
    ScriptedSource removed(*loop_);
    removed.set_background(true);
    loop_->remove(removed.id());
    removed.set_background(false);
  }
  ScriptedSource foreground(*loop_);
  foreground.give([&] { loop_->stop(5); });
  EXPECT_EQ(loop_->run(), 5);
}

TEST_F(LoopManagerTest, StopsWithTheFirstExitCodeItIsGiven) {
  ScriptedSource source(*loop_);
  source.give([&] {
    loop_->stop(3);
    loop_->stop(4);
  });
  EXPECT_EQ(loop_->run(), 3);
  EXPECT_EQ(loop_->exit_code(), 3);
}

TEST_F(LoopManagerTest, HandlesNothingMoreOnceItIsStopped) {
  ScriptedSource source(*loop_);
  ScriptedSource other(*loop_);
  source.give([&] { loop_->stop(); });
  fill(source, 10, "same source");
  fill(other, 10, "other source");
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_THAT(handled_, IsEmpty());
}

TEST_F(LoopManagerTest, GoesOnWhereItWasWhenItIsRunAgain) {
  ScriptedSource source(*loop_);
  source.give([&] { loop_->stop(1); });
  fill(source, 2, "second run");
  source.give([&] { loop_->stop(2); });
  EXPECT_EQ(loop_->run(), 1);
  EXPECT_EQ(loop_->run(), 2);
  EXPECT_THAT(handled_, SizeIs(2));
}

TEST_F(LoopManagerTest, EndsInOrderOnCleanExit) {
  ScriptedSource source(*loop_);
  ScriptedSource idle(*loop_);
  ValveDrain drain(*loop_);
  drain.opening_bytes = 0;
  CallTimer later([&] { drain.open(); });
  loop_->arm(later, 2s);
  source.give([&] {
    drain.enqueue("the last answer");
    throw CleanExit();
  });
  fill(source, 5, "too late");
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_EQ(drain.flown, "the last answer");
  EXPECT_TRUE(source.stopping);
  EXPECT_TRUE(idle.stopping);
  EXPECT_THAT(handled_, IsEmpty());
  EXPECT_THAT(loop_.sink.lines, IsEmpty());
}

TEST_F(LoopManagerTest, GivesUpFlushingInTheEnd) {
  ScriptedSource source(*loop_);
  ValveDrain drain(*loop_);
  drain.opening_bytes = 0;
  source.give([&] {
    drain.enqueue("nobody takes this");
    throw CleanExit();
  });
  const TimePoint began = loop_->now();
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_GE(loop_->now(), began + loop_->options().flush_timeout);
  EXPECT_LT(loop_->now(), began + loop_->options().flush_timeout + 1s);
  EXPECT_EQ(loop_.sink.count("ended with output that its readers did not take in time"), 1U);
}

// Goal: what the kernel has taken may still be lost if the connection is closed too early.
TEST_F(LoopManagerTest, EndsWhenItsLastOutputHasArrived) {
  class UnderWay final : public ValveDrain {
   public:
    using ValveDrain::ValveDrain;
    bool delivered() const noexcept override { return empty() && loop().now() >= arrival; }
    TimePoint arrival = kNever;
  };
  ScriptedSource source(*loop_);
  UnderWay drain(*loop_);
  const auto answer_and_end = [&] {
    drain.enqueue("the last answer");
    throw CleanExit();
  };
  const TimePoint began = loop_->now();
  drain.arrival = began + 1s;
  source.give(answer_and_end);
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_GE(loop_->now(), drain.arrival);
  EXPECT_LT(loop_->now(), drain.arrival + 100ms);
  EXPECT_THAT(loop_.sink.lines, IsEmpty());

  drain.arrival = kNever;
  source.give(answer_and_end);
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_EQ(loop_.sink.count("ended with output that its readers did not take in time"), 1U);
}

// Goal: while the last output is flushed nobody is read from any more, so a peer that goes on sending costs no time.
TEST_F(LoopManagerTest, WaitsQuietlyForItsLastOutput) {
  auto [ours, theirs] = make_socket_pair();
  ScriptedSource connection(*loop_);
  const auto channel = Channel::make(*loop_, std::move(ours));
  channel->set_source(&connection);
  channel->watch_read(true);
  connection.on_pauses = [&] { channel->watch_read(!connection.paused()); };
  ValveDrain drain(*loop_);
  drain.opening_bytes = 0;
  CallTimer later([&] { drain.open(); });
  loop_->arm(later, 2s);
  connection.give([&, peer = theirs.get()] {
    drain.enqueue("the last answer");
    send_some(peer, "never read");
    throw CleanExit();
  });
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_EQ(drain.flown, "the last answer");
  EXPECT_LT(loop_.poller.waits(), 20U);
  EXPECT_FALSE(connection.paused());
}

TEST_F(LoopManagerTest, EndsAtOnceOnAbort) {
  ScriptedSource source(*loop_);
  ValveDrain drain(*loop_);
  drain.opening_bytes = 0;
  source.give([&] {
    drain.enqueue("lost");
    throw AbortError("disk on fire");
  });
  fill(source, 5, "too late");
  const TimePoint began = loop_->now();
  EXPECT_EQ(loop_->run(), 1);
  EXPECT_EQ(loop_->now(), began);
  EXPECT_THAT(handled_, IsEmpty());
  EXPECT_TRUE(source.stopping);
  EXPECT_EQ(loop_.sink.find("aborted").level, LogLevel::Critical);
  EXPECT_EQ(loop_.sink.find("aborted").fields["error"], "disk on fire");
}

TEST_F(LoopManagerTest, EndsFromWhereverTheEndIsThrown) {
  ScriptedSource source(*loop_);
  source.on_parse = [] { throw CleanExit(); };
  source.ready();
  EXPECT_EQ(loop_->run(), 0);
  source.on_parse = nullptr;
  source.give(std::make_unique<ThrowingEvent>(throw_runtime_error, [] { throw AbortError("from rescue"); }));
  EXPECT_EQ(loop_->run(), 1);
  source.give(std::make_unique<ThrowingEvent>([] { throw CleanExit(); }, [] { FAIL() << "nothing to rescue"; }));
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_THAT(source.failures, IsEmpty());
}

TEST_F(LoopManagerTest, AbortsWhenItCannotWait) {
  const ScriptedSource source(*loop_);
  EXPECT_EQ(loop_->run(), 1);
  EXPECT_EQ(loop_.sink.find("cannot wait").level, LogLevel::Critical);
}

// --- errors ---

TEST_F(LoopManagerTest, GoesOnAfterAnEventThatWasRescued) {
  ScriptedSource source(*loop_);
  source.give(std::make_unique<ThrowingEvent>(throw_runtime_error, do_nothing));
  fill(source, 1, "next");
  loop_.turn();
  EXPECT_EQ(ThrowingEvent::last_rescued, "handler's");
  EXPECT_THAT(handled_, ElementsAre("next"));
  EXPECT_EQ(loop_->counters().rescued, 1U);
  EXPECT_EQ(loop_->counters().failed, 0U);
  EXPECT_THAT(loop_.sink.lines, IsEmpty());
}

TEST_F(LoopManagerTest, LogsAnEventThatNobodyRescues) {
  ScriptedSource source(*loop_);
  source.give(std::make_unique<ThrowingEvent>(
      throw_runtime_error, [] { throw std::logic_error("rescuer's"); }, CorrelationId("chain-1")));
  source.give(std::make_unique<ThrowingEvent>([] { throw 5; }));
  fill(source, 1, "next");
  loop_.turn();
  EXPECT_THAT(handled_, ElementsAre("next"));
  EXPECT_EQ(loop_->counters().failed, 2U);
  ASSERT_THAT(loop_.sink.lines, SizeIs(2));
  RecordingSink::Line& line = loop_.sink.lines.front();
  EXPECT_EQ(line.level, LogLevel::Error);
  EXPECT_EQ(line.correlation_id, "chain-1");
  EXPECT_EQ(line.fields["event"], "throwing event");
  EXPECT_EQ(line.fields["event_id"], "1");
  EXPECT_EQ(line.fields["error"], "rescuer's");
  EXPECT_EQ(loop_.sink.lines.back().fields["error"], "an exception that is no std::exception");
}

TEST_F(LoopManagerTest, DoesNotBeginWhatIsPastItsDeadline) {
  ScriptedSource source(*loop_);
  bool begun = false;
  auto late = std::make_unique<ThrowingEvent>([&] { begun = true; }, do_nothing);
  late->set_deadline(loop_->now() + 10ms);
  auto in_time = std::make_unique<ThrowingEvent>([&] { handled_.emplace_back("in time"); });
  in_time->set_deadline(loop_->now() + 20ms);
  source.give([&] { loop_.poller.advance(10ms); });
  source.give(std::move(late));
  source.give(std::move(in_time));
  loop_.turn();
  EXPECT_FALSE(begun);
  EXPECT_THAT(handled_, ElementsAre("in time"));
  EXPECT_THAT(ThrowingEvent::last_rescued, HasSubstr("deadline exceeded"));
  EXPECT_EQ(loop_->counters().expired, 1U);
}

TEST_F(LoopManagerTest, ReportsASlowHandler) {
  ScriptedSource source(*loop_);
  source.give(std::make_unique<ThrowingEvent>([&] { loop_.poller.advance(51ms); }, nullptr, CorrelationId("chain-2")));
  source.give([&] { loop_.poller.advance(50ms); });
  loop_.turn();
  EXPECT_EQ(loop_->counters().slow, 1U);
  ASSERT_EQ(loop_.sink.count("slow handler"), 1U);
  RecordingSink::Line line = loop_.sink.find("slow handler");
  EXPECT_EQ(line.level, LogLevel::Warning);
  EXPECT_EQ(line.correlation_id, "chain-2");
  EXPECT_EQ(line.fields["event"], "throwing event");
  EXPECT_EQ(line.fields["milliseconds"], "51");
}

TEST_F(LoopManagerTest, ReportsNoSlowHandlerIfNoneIsAskedFor) {
  LoopOptions options;
  options.slow_handler = Duration::max();
  ManualLoop loop(options);
  ScriptedSource source(*loop);
  source.give([&] { loop.poller.advance(1h); });
  loop.turn();
  EXPECT_THAT(loop.sink.lines, IsEmpty());
}

// Goal: a handler is not blamed for the time that others took before it.
TEST_F(LoopManagerTest, BlamesNoHandlerForWhatWasSlowBeforeIt) {
  ScriptedSource source(*loop_);
  source.on_parse = [&] {
    if (source.parses == 1) loop_.poller.advance(1s);
  };
  source.give([&] { defer(*loop_, [&] { loop_.poller.advance(1s); }); });
  fill(source, 1, "innocent");
  loop_.turn();
  EventRef kept;
  source.give([] {});
  kept = loop_->wait(0ns);
  loop_.poller.advance(1s);
  loop_->dispatch(std::move(kept));
  EXPECT_EQ(loop_->counters().slow, 0U);
  EXPECT_THAT(loop_.sink.lines, IsEmpty());
}

TEST_F(LoopManagerTest, EndsOnlyTheSourceWhoseParseThrows) {
  ScriptedSource broken(*loop_, "the broken one");
  ScriptedSource sound(*loop_);
  broken.on_parse = [] { throw std::system_error(std::make_error_code(std::errc::io_error), "no paper"); };
  broken.ready();
  fill(sound, 3, "sound");
  loop_.turn();
  EXPECT_THAT(broken.failures, ElementsAre(std::make_error_code(std::errc::io_error)));
  EXPECT_EQ(broken.id(), kNoSource);
  EXPECT_THAT(handled_, ElementsAre("sound", "sound", "sound"));
  ASSERT_EQ(loop_.sink.count("source failed"), 1U);
  EXPECT_EQ(loop_.sink.lines.front().fields["source"], "the broken one");
  EXPECT_THAT(loop_.sink.lines.front().fields["error"], HasSubstr("no paper"));
}

TEST_F(LoopManagerTest, TellsASourceThatFailsWhatWasThrown) {
  ScriptedSource source(*loop_);
  source.survives_failure = true;
  source.on_parse = [&] {
    switch (source.parses) {
      case 1: throw ProtocolError(Errc::FrameTooLarge, "too long");
      case 2: throw std::runtime_error("anything");
      case 3: throw 4;
    }
  };
  for (int i = 0; i < 4; ++i) {
    source.ready();
    loop_.turn();
  }
  EXPECT_THAT(source.failures, ElementsAre(make_error_code(Errc::FrameTooLarge), make_error_code(Errc::BadFrame),
                                           make_error_code(Errc::BadFrame)));
  EXPECT_EQ(source.parses, 4U);
}

// Goal: want of memory does not end a source, nor is it asked in a circle.
TEST_F(LoopManagerTest, AsksASourceAgainThatHadNoMemoryForItsEvent) {
  ScriptedSource source(*loop_);
  source.on_parse = [&] {
    if (source.parses == 1) throw std::bad_alloc();
  };
  source.ready();
  loop_.turn();
  loop_.turn();
  EXPECT_EQ(source.parses, 1U);
  EXPECT_TRUE(loop_->audit().findings().empty());
  loop_.poller.advance(20ms);
  loop_.turn();
  EXPECT_EQ(source.parses, 2U);
  EXPECT_THAT(source.failures, IsEmpty());
  EXPECT_EQ(loop_.sink.count("no memory for an event"), 1U);
}

TEST_F(LoopManagerTest, EndsOnlyTheDrainWhoseFlushThrows) {
  auto& broken = loop_->add(std::make_unique<ValveDrain>(*loop_));
  ValveDrain sound(*loop_);
  broken.on_flush = [] { throw std::runtime_error("burst"); };
  broken.enqueue("1");
  sound.enqueue("2");
  loop_.turn();
  EXPECT_EQ(loop_->drain_count(), 1U);
  EXPECT_EQ(sound.flown, "2");
  ASSERT_EQ(loop_.sink.count("drain failed"), 1U);
  EXPECT_EQ(loop_.sink.lines.front().fields["drain"], "valve");
  EXPECT_EQ(loop_.sink.lines.front().fields["error"], "burst");
}

// Goal: whoever writes a drain of his own need not think of what nobody reads.
TEST_F(LoopManagerTest, EndsADrainThatHoldsMoreThanItsHardLimitAfterItsFlush) {
  const Watermarks watermarks{.high = 2, .low = 1, .hard_limit = 4};
  auto& full = loop_->add(std::make_unique<ValveDrain>(*loop_, &watermarks));
  auto& read = loop_->add(std::make_unique<ValveDrain>(*loop_, &watermarks));
  full.opening_bytes = 0;
  read.opening_bytes = 1;
  full.enqueue("1234");
  read.enqueue("12345");
  loop_.turn();
  EXPECT_EQ(loop_->drain_count(), 2U);
  full.enqueue("5");
  loop_.turn();
  EXPECT_EQ(loop_->drain_count(), 1U);
  EXPECT_EQ(read.flown, "1");
  ASSERT_EQ(loop_.sink.count("drain failed"), 1U);
  EXPECT_THAT(loop_.sink.lines.front().fields["error"], HasSubstr("5 bytes: "));
}

// --- things to do soon ---

TEST_F(LoopManagerTest, DoesWhatWasDeferredBetweenThisEventAndTheNext) {
  ScriptedSource source(*loop_);
  source.give([&] {
    defer(*loop_, [&] {
      handled_.emplace_back("deferred 1");
      defer(*loop_, [&] { handled_.emplace_back("deferred by deferred"); });
    });
    defer(*loop_, [&] { handled_.emplace_back("deferred 2"); });
    handled_.emplace_back("event 1");
  });
  fill(source, 1, "event 2");
  loop_.turn();
  EXPECT_THAT(handled_, ElementsAre("event 1", "deferred 1", "deferred 2", "deferred by deferred", "event 2"));
}

TEST_F(LoopManagerTest, LeavesOthersTheirTurnThoughDeferredWorkNeverEnds) {
  ScriptedSource source(*loop_);
  bool done = false;
  std::size_t deferred = 0;
  std::function<void()> again = [&] {
    ++deferred;
    if (!done && deferred < 1'000'000) defer(*loop_, again);
  };
  CallTimer timer([&] { source.give([&] { done = true; }); });
  loop_->arm(timer, Duration::zero());
  defer(*loop_, again);
  EXPECT_EQ(loop_->wait(0ns) != nullptr, true);
  done = true;
  EXPECT_LT(deferred, 10'000U);
  loop_.turn();
}

// Goal: what an ending program has left to say is still said. A handler defers an answer and ends the loop.
TEST_F(LoopManagerTest, DoesWhatWasDeferredBeforeItEnds) {
  ScriptedSource source(*loop_);
  ValveDrain drain(*loop_);
  const auto on_exit = loop_->lifecycle().process_exit.add(
      [&](LoopManager& loop, int) { defer(loop, [&] { drain.enqueue(" and at the exit"); }); });
  source.give([&] {
    defer(*loop_, [&] { drain.enqueue("from a continuation"); });
    throw CleanExit();
  });
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_EQ(drain.flown, "from a continuation and at the exit");
}

// --- hooks ---

TEST_F(LoopManagerTest, TellsOfEachMomentOfItsLife) {
  std::vector<std::string> told;
  Lifecycle& life = loop_->lifecycle();
  const auto init = life.process_init.add([&](LoopManager& loop) { told.push_back(&loop == &*loop_ ? "init" : "?"); });
  const auto exit =
      life.process_exit.add([&](LoopManager&, int code) { told.push_back("exit " + std::to_string(code)); });
  const auto made =
      life.event_initialise.add([&](Event& event) { told.push_back("made " + std::to_string(event.id())); });
  const auto handled = life.event_handle.add([&](Event&) { told.emplace_back("handle"); });
  const auto error =
      life.event_error.add([&](Event&, const std::exception_ptr& what) { told.push_back(describe(what)); });
  const auto done = life.event_done.add([&](Event&) { told.emplace_back("done"); });
  const auto enqueued =
      life.drain_enqueue.add([&](EventDrain&, std::size_t bytes) { told.push_back("bytes " + std::to_string(bytes)); });
  ScriptedSource source(*loop_);
  ValveDrain drain(*loop_);
  source.give([&] { drain.enqueue("12345"); });
  source.give(std::make_unique<ThrowingEvent>(throw_runtime_error, do_nothing));
  source.give([&] { loop_->stop(2); });
  EXPECT_EQ(loop_->run(), 2);
  EXPECT_THAT(told, ElementsAre("init", "made 1", "handle", "bytes 5", "done", "made 2", "handle", "handler's", "done",
                                "made 3", "handle", "done", "exit 2"));
}

TEST_F(LoopManagerTest, TellsThatAnEventIsDoneHoweverItEnded) {
  int done = 0;
  const auto token = loop_->lifecycle().event_done.add([&](Event&) { ++done; });
  ScriptedSource source(*loop_);
  auto expired = std::make_unique<ThrowingEvent>(do_nothing);
  expired->set_deadline(loop_->now());
  source.give(std::move(expired));
  source.give(std::make_unique<ThrowingEvent>(throw_runtime_error));
  source.give([] { throw CleanExit(); });
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_EQ(done, 3);
}

TEST_F(LoopManagerTest, LetsAHookDoWhatAHandlerMay) {
  auto& victim = loop_->add(std::make_unique<ScriptedSource>(*loop_));
  fill(victim, 5, "victim");
  ScriptedSource source(*loop_);
  fill(source, 1, "source");
  const SourceId id = victim.id();
  const auto token = loop_->lifecycle().event_initialise.add([&](Event&) { loop_->remove(id); });
  loop_.turn();
  EXPECT_THAT(handled_, ElementsAre("victim", "source"));
}

// --- status ---

TEST_F(LoopManagerTest, TellsWhatItWaitsFor) {
  ScriptedSource waiting(*loop_, "one that waits");
  ScriptedSource ready(*loop_, "one that is ready");
  ScriptedSource paused(*loop_, "one that is paused");
  ValveDrain drain(*loop_);
  ready.ready();
  paused.pause();
  drain.enqueue("abc");
  std::vector<std::string> told;
  for (const auto& [name, state, bytes] : loop_->waiting()) {
    told.push_back(name + ": " + std::string(state) + " " + std::to_string(bytes));
  }
  EXPECT_THAT(told, ElementsAre("one that waits: waiting 0", "one that is ready: ready 0",
                                "one that is paused: paused 0", "valve: pending 3"));
}

// Goal: a loop of one's own, with the system's clock and descriptors, does the same.
TEST_F(LoopManagerTest, RunsOnTheSystemsOwnClock) {
  LoopManager loop;
  ScriptedSource source(loop);
  const TimePoint began = loop.now();
  CallTimer timer([&] { source.give([&] { loop.stop(7); }); });
  loop.arm(timer, 3ms);
  EXPECT_EQ(loop.run(), 7);
  EXPECT_GE(loop.now(), began + 3ms);
}

}  // namespace
}  // namespace snowfox
