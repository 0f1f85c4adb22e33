// How run() ends.
#include <snowfox/core/loop_manager.h>

#include <memory>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/channel.h>
#include <snowfox/core/error.h>

#include "core/loop_manager_fixture.h"
#include "support/sockets.h"
#include "support/valve_drain.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

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

}  // namespace
}  // namespace snowfox
