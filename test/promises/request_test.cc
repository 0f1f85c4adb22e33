#include <snowfox/promises/request.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "support/manual_loop.h"

#include "thrown.h"

namespace snowfox {

/// A message as protobuf makes them.
class Question {
 public:
  void set_correlation_id(const char* text, std::size_t size) { correlation_id.assign(text, size); }
  void set_timeout_ms(std::uint32_t value) { timeout_ms = value; }
  std::string correlation_id;
  std::optional<std::uint32_t> timeout_ms;
};

/// One that takes a text, and no time.
class PlainQuestion {
 public:
  void set_correlation_id(std::string_view text) { correlation_id = text; }
  std::string correlation_id;
};

/// One that must be told otherwise.
struct ForeignQuestion {
  std::string header;
};
void set_correlation_id(ForeignQuestion& question, const CorrelationId& id) { question.header = "id: " + id.str(); }

namespace {

using namespace std::chrono_literals;

template <typename Message>
struct KeepingDrain {
  void enqueue(const Message& message) { enqueued.push_back(message); }
  std::vector<Message> enqueued;
};

class RequestTest : public ::testing::Test, protected ManualLoop {
 protected:
  PromiseKeeper keeper{loop};
};

TEST_F(RequestTest, SendsAMessageWithAnIdByWhichItsAnswerIsKnown) {
  KeepingDrain<Question> drain;
  int seen = 0;
  const auto done = request<int>(keeper, drain, Question()).then([&](int answer) { seen = answer; });
  ASSERT_EQ(drain.enqueued.size(), 1);
  ASSERT_FALSE(drain.enqueued[0].correlation_id.empty());
  keeper.fulfill(CorrelationId(drain.enqueued[0].correlation_id), 5);
  turn();
  EXPECT_EQ(seen, 5);
}

TEST_F(RequestTest, GivesEachMessageAnIdOfItsOwn) {
  KeepingDrain<Question> drain;
  const auto one = request<int>(keeper, drain, Question());
  const auto other = request<int>(keeper, drain, Question());
  EXPECT_NE(drain.enqueued[0].correlation_id, drain.enqueued[1].correlation_id);
}

TEST_F(RequestTest, GoesOnWithTheChainThatItIsGiven) {
  KeepingDrain<Question> drain;
  Question question;
  const auto answer = request<int>(keeper, drain, question, {.id = CorrelationId("client-7/42")});
  EXPECT_EQ(question.correlation_id, "client-7/42");
  EXPECT_EQ(drain.enqueued[0].correlation_id, "client-7/42");
}

TEST_F(RequestTest, SendsItsDeadlineAlong) {
  KeepingDrain<Question> drain;
  const auto usual = request<int>(keeper, drain, Question());
  const auto given = request<int>(keeper, drain, Question(), {.deadline = 1500us});
  const auto none = request<int>(keeper, drain, Question(), {.deadline = kNoDeadline});
  EXPECT_EQ(drain.enqueued[0].timeout_ms, 30'000);
  EXPECT_EQ(drain.enqueued[1].timeout_ms, 2);
  EXPECT_EQ(drain.enqueued[2].timeout_ms, std::nullopt);
  pass(1min);
  EXPECT_TRUE(usual.settled());
  EXPECT_TRUE(given.settled());
  EXPECT_FALSE(none.settled());
}

TEST_F(RequestTest, SendsMessagesOfOtherKinds) {
  KeepingDrain<PlainQuestion> plain;
  KeepingDrain<ForeignQuestion> foreign;
  const RequestOptions options{.id = CorrelationId("client-7/42")};
  const auto one = request<int>(keeper, plain, PlainQuestion(), options);
  EXPECT_EQ(plain.enqueued[0].correlation_id, "client-7/42");
  EXPECT_THROW(request<int>(keeper, foreign, ForeignQuestion(), options).detach(), std::system_error);
  const auto other = request<int>(keeper, foreign, ForeignQuestion(), {.id = CorrelationId("client-7/43")});
  EXPECT_EQ(foreign.enqueued[0].header, "id: client-7/43");
}

TEST_F(RequestTest, PassesOnWhatItCannotWriteInto) {
  struct Passed {
    std::string_view id;
    std::string_view correlation_id() const { return id; }
  };
  struct Drain {
    std::vector<std::string> sent;
    void enqueue(const Passed& message) { sent.emplace_back(message.id); }
  } drain;
  const Promise<int> answer = request<int>(keeper, drain, Passed{"theirs"}, {.id = CorrelationId("theirs")});
  EXPECT_THAT(drain.sent, testing::ElementsAre("theirs"));
  EXPECT_TRUE(keeper.fulfill(CorrelationId("theirs"), 7));
  EXPECT_THROW(static_cast<void>(request<int>(keeper, drain, Passed{"theirs"}, {.id = CorrelationId("ours")})),
               std::invalid_argument);
  EXPECT_EQ(keeper.size(), 0U);
}

TEST_F(RequestTest, KeepsNothingIfTheMessageIsRefused) {
  struct RefusingDrain {
    void enqueue(const Question&) { throw std::runtime_error("closed"); }
  } drain;
  EXPECT_THROW(request<int>(keeper, drain, Question()).detach(), std::runtime_error);
  EXPECT_EQ(keeper.size(), 0);
}

}  // namespace
}  // namespace snowfox
