#include <snowfox/core/event.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/null_drain.h>

#include "support/manual_loop.h"
#include "support/scripted_source.h"
#include "support/valve_drain.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

class NamedEvent final : public Event {
 public:
  using Event::Event;
  void handle() override { seen.push_back(&drain()); }
  static inline std::vector<EventDrain*> seen;
};

TEST(EventTest, KnowsItsChainAndWhereAnAnswerGoes) {
  const NamedEvent event(CorrelationId("chain"), DrainId{7});
  EXPECT_EQ(event.correlation_id(), CorrelationId("chain"));
  EXPECT_EQ(event.drain_id(), DrainId{7});
  EXPECT_EQ(event.deadline(), kNever);
  EXPECT_EQ(event.id(), 0U);
}

TEST(EventTest, IsCalledAfterItsClass) {
  EXPECT_THAT(std::string(NamedEvent().name()), HasSubstr("NamedEvent"));
  EXPECT_EQ(NamedEvent().name(), NamedEvent().name());
}

TEST(EventTest, ThrowsAgainWhatItCannotRescue) {
  NamedEvent event;
  EXPECT_THROW(event.rescue(std::make_exception_ptr(std::runtime_error("as it was"))), std::runtime_error);
}

TEST(EventTest, AnswersOnItsDrainAndOnNoneWhenThatIsGone) {
  NamedEvent::seen.clear();
  ManualLoop loop;
  ScriptedSource source(*loop);
  auto drain = std::make_unique<ValveDrain>(*loop);
  ValveDrain* const address = drain.get();
  const DrainId id = drain->id();
  source.give(std::make_unique<NamedEvent>(CorrelationId(), id));
  source.give([&] { drain.reset(); });
  source.give(std::make_unique<NamedEvent>(CorrelationId(), id));
  source.give(std::make_unique<NamedEvent>());
  loop.turn();
  EXPECT_THAT(NamedEvent::seen, ElementsAre(address, &loop->null_drain(), &loop->null_drain()));
}

// Goal: what is too small to be a class has all that an event has.
TEST(FunctionEventTest, AnswersUnderItsNameAndId) {
  ManualLoop loop;
  ScriptedSource source(*loop);
  ValveDrain drain(*loop);
  std::string seen;
  source.give(make_event(
      [&](Event& event) {
        seen = std::string(event.name()) + " " + event.correlation_id().str();
        event.drain().enqueue("pong");
      },
      {.id = CorrelationId("chain"), .drain = drain.id(), .name = "Ping"}));
  loop.turn();
  EXPECT_EQ(seen, "Ping chain");
  EXPECT_EQ(drain.flown, "pong");
}

TEST(FunctionEventTest, IsCalledAfterItsFunctionWithoutAName) {
  EXPECT_THAT(std::string(make_event([] {})->name()), HasSubstr("AfterItsFunction"));
}

// Goal: an answer that nobody waits for disturbs nobody.
TEST(NullDrainTest, TakesAndForgets) {
  ManualLoop loop;
  NullDrain drain(*loop);
  drain.enqueue("12345");
  drain.enqueue("");
  EXPECT_TRUE(drain.empty());
  EXPECT_TRUE(drain.flush());
  EXPECT_EQ(drain.forgotten_bytes(), 5U);
  EXPECT_EQ(drain.fd(), -1);
}

// Goal: an event that is kept for later is handled when its keeper dispatches it.
TEST(EventTest, MayBeHandledLaterByWhoeverKeepsIt) {
  ManualLoop loop;
  ScriptedSource source(*loop);
  std::vector<int> handled;
  for (int i = 0; i < 3; ++i) source.give([&, i] { handled.push_back(i); });
  EventRef kept = loop->wait(0ns);
  loop.turn();
  EXPECT_THAT(handled, ElementsAre(1, 2));
  loop->dispatch(std::move(kept));
  EXPECT_THAT(handled, ElementsAre(1, 2, 0));
}

TEST(EventTest, GetsAnIdOfItsOwnWhenTheLoopTakesHoldOfIt) {
  ManualLoop loop;
  ScriptedSource source(*loop);
  source.give([] {});
  source.give([] {});
  const EventRef first = loop->wait(0ns);
  const EventRef second = loop->wait(0ns);
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->id(), 0U);
  EXPECT_NE(first->id(), second->id());
  EXPECT_EQ(&first->loop(), &*loop);
}

TEST(ErrorTest, HasAMessageForEachCode) {
  for (int code = 1; code <= static_cast<int>(Errc::LimitReached); ++code) {
    const std::error_code error = make_error_code(static_cast<Errc>(code));
    EXPECT_THAT(error.message(), testing::Not(HasSubstr("unknown"))) << code;
    EXPECT_FALSE(error.message().empty());
    EXPECT_STREQ(error.category().name(), "snowfox");
  }
  EXPECT_THAT(std::error_code(999, snowfox_category()).message(), HasSubstr("unknown error 999"));
}

TEST(ErrorTest, DescribesWhateverWasThrown) {
  EXPECT_EQ(describe(std::make_exception_ptr(std::runtime_error("what"))), "what");
  EXPECT_EQ(describe(std::make_exception_ptr(5)), "an exception that is no std::exception");
  EXPECT_EQ(describe(nullptr), "no error");
  const ProtocolError error(Errc::BadFrame, "what and where");
  EXPECT_EQ(error.code(), Errc::BadFrame);
  EXPECT_EQ(describe(std::make_exception_ptr(error)), "what and where: malformed frame");
}

}  // namespace
}  // namespace snowfox
