// What becomes of what handlers, sources and drains throw, and of handlers that are late or slow.
#include <snowfox/core/loop_manager.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "core/loop_manager_fixture.h"
#include "support/valve_drain.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

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

}  // namespace
}  // namespace snowfox
