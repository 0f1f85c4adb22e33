#include <snowfox/core/trail.h>

#include <string>
#include <system_error>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/explanation.h>
#include <snowfox/promises/promise_keeper.h>

#include "support/manual_loop.h"
#include "support/scripted_source.h"
#include "support/valve_drain.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// A drain of messages: each is so many bytes, and has an id.
class MessageDrain final : public ValveDrain {
 public:
  using ValveDrain::enqueue;
  using ValveDrain::ValveDrain;
  void enqueue(const CorrelationId& id, std::size_t bytes) {
    enqueue(std::string(bytes, 'x'));
    added_message(id, bytes);
  }
};

class TrailTest : public testing::Test, protected ManualLoop {
 protected:
  static std::vector<std::string> kinds(const Explanation& explanation) {
    std::vector<std::string> all;
    for (const Step& step : explanation.steps()) all.emplace_back(to_string(step.kind));
    return all;
  }
  std::vector<std::string> steps_of(const CorrelationId& id) { return kinds(loop.explain(id)); }

  const CorrelationId id_{"client-7/1"};
  const CorrelationId other_{"client-7/2"};
  PromiseKeeper keeper{loop};
  MessageDrain drain{loop};
};

TEST_F(TrailTest, TellsWhatAPromiseWaitsForSinceWhenAndForHowLongStill) {
  const auto answer = keeper.keep<std::string>(id_, 900ms);
  pass(300ms);
  const Explanation explanation = loop.explain(id_);
  ASSERT_THAT(explanation.waits(), SizeIs(1));
  const Explanation::Wait wait = explanation.waits().front();
  EXPECT_EQ(wait.id, id_);
  EXPECT_THAT(wait.what, HasSubstr("basic_string"));
  EXPECT_EQ(explanation.now() - wait.since, 300ms);
  EXPECT_EQ(wait.deadline - explanation.now(), 600ms);
  EXPECT_THAT(explanation.str(), HasSubstr("since 300 ms, for 600 ms more"));
  EXPECT_THAT(loop.explain(other_).waits(), IsEmpty());
}

TEST_F(TrailTest, TellsOfAllThatWaitsTheOldest) {
  std::vector<Promise<int>> answers;
  for (std::size_t i = 0; i < 3 * Explanation::kMostWaits; ++i) {
    answers.push_back(keeper.keep<int>(CorrelationId("n/" + std::to_string(i)), kNoDeadline));
    poller.advance(1ms);
  }
  const Explanation explanation = loop.explain();
  const auto waits = explanation.waits();
  ASSERT_THAT(waits, SizeIs(Explanation::kMostWaits));
  EXPECT_EQ(waits.front().id.text(), "n/0");
  EXPECT_EQ(waits.back().id.text(), "n/" + std::to_string(Explanation::kMostWaits - 1));
  EXPECT_EQ(explanation.omitted_waits(), 2 * Explanation::kMostWaits);
  EXPECT_THAT(explanation.str(), HasSubstr("'n/0' waits for int"));
}

TEST_F(TrailTest, RemembersHowSomethingCameToWait) {
  const Trail trail(loop);
  ScriptedSource asked(loop);
  Promise<int> answer;
  asked.give(make_event(
      [&](Event& event) {
        answer = keeper.keep<int>(event.correlation_id(), 1s);
        drain.enqueue(event.correlation_id(), 42);
      },
      {.id = id_, .name = "Question"}));
  drain.opening_bytes = 0;
  turn();
  EXPECT_THAT(steps_of(id_), ElementsAre("received", "kept", "enqueued", "handled"));
  pass(5ms);
  drain.open();
  turn();
  EXPECT_THAT(steps_of(id_), ElementsAre("received", "kept", "enqueued", "handled", "flushed"));
  const Explanation explanation = loop.explain(id_);
  EXPECT_EQ(explanation.steps()[0].what, "Question");
  EXPECT_EQ(explanation.steps()[2].bytes, 42U);
  EXPECT_EQ(explanation.steps()[4].at - explanation.steps()[2].at, 5ms);
  EXPECT_THAT(explanation.str(), HasSubstr("enqueued 42 bytes"));
  EXPECT_THAT(explanation.str(), HasSubstr("flushed 42 bytes 5 ms"));
  keeper.fulfill(id_, 1);
  EXPECT_EQ(steps_of(id_).back(), "fulfilled");
  EXPECT_THAT(loop.explain(id_).waits(), IsEmpty());
}

// Goal: a message is flushed with its last byte, not with the first, nor with another's.
TEST_F(TrailTest, FollowsEachMessageThroughItsDrain) {
  const Trail trail(loop);
  drain.opening_bytes = 0;
  drain.enqueue(id_, 10);
  drain.enqueue(other_, 10);
  MessageDrain another(loop);
  another.enqueue(CorrelationId("elsewhere"), 100);
  turn();
  EXPECT_THAT(steps_of(CorrelationId("elsewhere")), ElementsAre("enqueued", "flushed"));
  drain.open(10);
  turn();
  EXPECT_THAT(steps_of(id_), ElementsAre("enqueued", "flushed"));
  EXPECT_THAT(steps_of(other_), ElementsAre("enqueued"));
  drain.opening_bytes = 0;
  drain.open(9);
  drain.opening_bytes = 9;
  turn();
  EXPECT_THAT(steps_of(other_), ElementsAre("enqueued"));
  loop.remove(drain.id());
  EXPECT_THAT(steps_of(other_), ElementsAre("enqueued", "dropped"));
}

TEST_F(TrailTest, RemembersHowAPromiseEnded) {
  const Trail trail(loop);
  auto rejected = keeper.keep<int>(CorrelationId("rejected"));
  keeper.reject(CorrelationId("rejected"), std::make_error_code(std::errc::io_error));
  { const auto dropped = keeper.keep<int>(CorrelationId("abandoned")); }
  keeper.fulfill(CorrelationId("orphaned"), 1);
  const auto late = keeper.keep<int>(CorrelationId("late"), 1ms);
  pass(10ms);
  for (const char* id : {"rejected", "abandoned", "orphaned"}) EXPECT_EQ(steps_of(CorrelationId(id)).back(), id);
  EXPECT_EQ(steps_of(CorrelationId("late")).back(), "timed out");
  EXPECT_EQ(loop.explain().orphans(), 1U);
}

TEST_F(TrailTest, RemembersThatAHandlerFailed) {
  const Trail trail(loop);
  ScriptedSource source(loop);
  source.give(make_event([] { throw std::runtime_error("no"); }, {.id = id_}));
  turn();
  EXPECT_THAT(steps_of(id_), ElementsAre("received", "failed", "handled"));
}

TEST_F(TrailTest, LogsTheStepsOfARequestThatTimesOut) {
  const Trail trail(loop);
  const auto answer = keeper.keep<int>(id_, 200ms);
  drain.enqueue(id_, 7);
  pass(250ms);
  const RecordingSink::Line line = sink.find("request timed out");
  EXPECT_EQ(line.correlation_id, "client-7/1");
  EXPECT_EQ(line.fields.at("waited_for"), "int");
  EXPECT_THAT(line.fields.at("steps"), HasSubstr("kept, enqueued 7 bytes"));
  EXPECT_THAT(line.fields.at("steps"), HasSubstr("flushed 7 bytes"));
  EXPECT_THAT(line.fields.at("steps"), HasSubstr("timed out 200"));
}

// Goal: ten thousand time-outs at once do not look through the ring ten thousand times.
TEST_F(TrailTest, LooksUpTheStepsOfFewTimeOutsOnly) {
  const Trail trail(loop);
  std::vector<Promise<int>> answers;
  for (int i = 0; i < 100; ++i) answers.push_back(keeper.keep<int>(CorrelationId("n/" + std::to_string(i)), 1ms));
  pass(10ms);
  EXPECT_LE(sink.count("request timed out"), 10U);
  for (const auto& line : sink.lines) EXPECT_THAT(line.fields.at("steps"), HasSubstr("timed out"));
}

TEST_F(TrailTest, ForgetsTheOldestSteps) {
  const Trail trail(loop, 4);
  drain.enqueue(id_, 1);
  for (int i = 0; i < 4; ++i) drain.enqueue(other_, 1);
  EXPECT_THAT(steps_of(id_), IsEmpty());
  EXPECT_THAT(steps_of(other_), SizeIs(4));
  EXPECT_EQ(trail.noted(), 5U);
  // More than it follows at a time.
  for (int i = 0; i < 5000; ++i) drain.enqueue(other_, 1);
  turn();
  EXPECT_EQ(steps_of(other_), std::vector<std::string>(4, "flushed"));
}

}  // namespace
}  // namespace snowfox
