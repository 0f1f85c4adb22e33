#include <snowfox/core/loop_manager.h>

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/channel.h>
#include <snowfox/core/error.h>
#include <snowfox/core/event_queue.h>

#include "core/loop_manager_fixture.h"
#include "support/sockets.h"
#include "support/valve_drain.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::Each;
using testing::ElementsAre;
using testing::SizeIs;

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

// --- looking before it sleeps ---

/// A loop each of whose looks at the descriptors takes 10 us.
struct SpinningLoop {
  explicit SpinningLoop(Duration spin)
      : manual(std::make_unique<ManualPoller>([this](std::vector<pollfd>&) {
                 manual.poller.advance(10us);
                 if (++looks == comes_at) source->give([] {});
               }),
               LoopOptions{.spin = spin}, Io::system()) {
    source.emplace(*manual);
  }
  std::size_t looks = 0;
  std::size_t comes_at = 0;  // at this look an event comes
  ManualLoop manual;
  std::optional<ScriptedSource> source;
};

TEST(LoopManagerSpinTest, LooksAgainAndAgainBeforeItSleeps) {
  SpinningLoop spinning(200us);
  EXPECT_EQ(spinning.manual->wait(1ms), nullptr);
  EXPECT_EQ(spinning.looks, 200 / 10 + 1) << "the last is that of the sleep";
  SpinningLoop sleeping(0us);
  EXPECT_EQ(sleeping.manual->wait(1ms), nullptr);
  EXPECT_LE(sleeping.looks, 2U);
}

TEST(LoopManagerSpinTest, DoesNotSleepWhenSomethingComesMeanwhile) {
  SpinningLoop loop(200us);
  loop.comes_at = 3;
  const TimePoint began = loop.manual->now();
  EXPECT_NE(loop.manual->wait(1s), nullptr);
  EXPECT_EQ(loop.manual->now() - began, 30us);
}

TEST(LoopManagerSpinTest, IsNotLateForATimer) {
  SpinningLoop loop(200us);
  bool expired = false;
  CallTimer timer([&] { expired = true; });
  loop.manual->arm(timer, 95us);
  const TimePoint began = loop.manual->now();
  EXPECT_EQ(loop.manual->wait(150us), nullptr);
  EXPECT_TRUE(expired);
  EXPECT_LE(loop.manual->now() - began, 400us);
}

// --- events given one after the other ---

/// Gives what it is told to, all with one event.
class GivingSource final : public EventSource {
 public:
  explicit GivingSource(LoopManager& loop) : EventSource(loop) {}
  void tell(std::function<void()> function) {
    waiting_.push_back(std::move(function));
    ready();
  }
  EventRef parse() override { return nullptr; }
  void parse_all(EventSink& sink) override {
    ++asked;
    struct Call final : Event {
      std::function<void()> function;
      void handle() override { function(); }
    } event;
    while (!waiting_.empty()) {
      event.function = std::move(waiting_.front());
      waiting_.pop_front();
      if (!sink.handle(event)) return;
    }
  }
  std::string name() const override { return "giving"; }
  int asked = 0;

 private:
  std::deque<std::function<void()>> waiting_;
};

// Goal: a source is asked once for its share of a turn, and once more for what is left.
TEST_F(LoopManagerTest, IsGivenAllThatASourceHas) {
  GivingSource source(*loop_);
  int handled = 0;
  for (int i = 0; i < 100; ++i) source.tell([&] { ++handled; });
  loop_.turn();
  EXPECT_EQ(handled, 100);
  EXPECT_EQ(source.asked, 2);  // its share is 64
}

TEST_F(LoopManagerTest, IsGivenNothingByASourceOnceItIsPaused) {
  GivingSource source(*loop_);
  int handled = 0;
  for (int i = 0; i < 10; ++i) {
    source.tell([&] {
      if (++handled == 5) source.pause();
    });
  }
  loop_.turn();
  EXPECT_EQ(handled, 5);
  source.resume();
  loop_.turn();
  EXPECT_EQ(handled, 10);
}

TEST_F(LoopManagerTest, IsGivenTheRestOfASourceThatWasPausedAndResumedMeanwhile) {
  GivingSource source(*loop_);
  int handled = 0;
  for (int i = 0; i < 10; ++i) {
    source.tell([&] {
      ++handled;
      source.pause();
      source.resume();
    });
  }
  loop_.turn();
  EXPECT_EQ(handled, 10);
}

TEST_F(LoopManagerTest, IsGivenNothingOnceItIsToStop) {
  GivingSource source(*loop_);
  GivingSource other(*loop_);
  int handled = 0;
  for (int i = 0; i < 10; ++i) {
    source.tell([&] {
      if (++handled == 5) loop_->stop(3);
    });
    other.tell([&] { ++handled; });
  }
  EXPECT_EQ(loop_->run(), 3);
  EXPECT_EQ(handled, 5);
}

TEST_F(LoopManagerTest, IsGivenNothingMoreByASourceThatIsDestroyedMeanwhile) {
  auto source = std::make_unique<GivingSource>(*loop_);
  int handled = 0;
  for (int i = 0; i < 10; ++i) {
    source->tell([&] {
      if (++handled == 5) source.reset();
    });
  }
  loop_.turn();
  EXPECT_EQ(handled, 5);
}

TEST_F(LoopManagerTest, RunsWhatWasDeferredBeforeItIsGivenTheNextEvent) {
  struct Now final : Deferred {
    explicit Now(std::vector<int>& log) : log(log) {}
    void run() noexcept override { log.push_back(0); }
    std::vector<int>& log;
  };
  std::vector<int> log;
  Now now(log);
  GivingSource source(*loop_);
  source.tell([&] {
    log.push_back(1);
    loop_->defer(now);
  });
  source.tell([&] { log.push_back(2); });
  loop_.turn();
  EXPECT_THAT(log, ElementsAre(1, 0, 2));
}

TEST_F(LoopManagerTest, GoesOnWithASourceWhoseEventsFail) {
  GivingSource source(*loop_);
  int handled = 0;
  for (int i = 0; i < 3; ++i) {
    source.tell([&] {
      ++handled;
      throw std::runtime_error("not today");
    });
  }
  loop_.turn();
  EXPECT_EQ(handled, 3);
  EXPECT_EQ(loop_->counters().failed, 3U);
}

// Goal: for so long and no longer, however much there is to do.
TEST_F(LoopManagerTest, RunsForSoLong) {
  GivingSource source(*loop_);
  int handled = 0;
  std::function<void()> again = [&] {
    ++handled;
    loop_.poller.advance(1ms);
    source.tell(again);
  };
  source.tell(again);
  const TimePoint began = loop_->now();
  loop_->run_for(500ms);
  EXPECT_GE(loop_->now() - began, 500ms);
  EXPECT_LE(loop_->now() - began, 600ms);
  EXPECT_GE(handled, 490);
}

// --- events that take next to nothing ---

// Goal: of quick events several are timed together; that together they took long is told, and nobody is blamed.
TEST_F(LoopManagerTest, TimesQuickEventsTogether) {
  ScriptedSource source(*loop_);
  loop_.poller.advance(1ms);
  fill(source, 3000, "quick");
  loop_.turn();
  loop_.poller.advance(1ms);
  fill(source, 3000, "quick");
  source.give([&] { loop_.poller.advance(60ms); });
  fill(source, 100, "quick");
  loop_.turn();
  EXPECT_EQ(loop_->counters().slow, 1U);
  EXPECT_EQ(loop_.sink.count("slow events"), 1U);
  // From then on each by itself.
  source.give([&] { loop_.poller.advance(60ms); });
  loop_.turn();
  EXPECT_EQ(loop_.sink.count("slow handler"), 1U);
}

}  // namespace
}  // namespace snowfox
