#include <snowfox/promises/promise_keeper.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "support/manual_loop.h"

#include "thrown.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class PromiseKeeperTest : public ::testing::Test, protected ManualLoop {
 protected:
  const CorrelationId id{"client-7/42"};
};

/// What a promise ended with.
template <typename T>
struct Outcome {
  explicit Outcome(Promise<T> promise)
      : done(std::move(promise)
                 .then([this](T given) { value = std::move(given); })
                 .otherwise([this](const std::exception_ptr& given) { error = given; })) {}
  std::optional<T> value;
  std::exception_ptr error;
  Promise<void> done;
};

TEST_F(PromiseKeeperTest, FulfillsThePromiseKeptUnderAnId) {
  PromiseKeeper keeper(loop);
  Outcome<int> answer(keeper.keep<int>(id));
  Outcome<int> other(keeper.keep<int>(CorrelationId("client-7/43")));
  EXPECT_TRUE(keeper.fulfill(id, 5));
  turn();
  EXPECT_EQ(answer.value, 5);
  EXPECT_FALSE(other.done.settled());
  EXPECT_EQ(keeper.size(), 1);
  EXPECT_EQ(keeper.counters().kept, 2);
  EXPECT_EQ(keeper.counters().fulfilled, 1);
}

TEST_F(PromiseKeeperTest, FulfillsAPromiseOfNothing) {
  PromiseKeeper keeper(loop);
  bool called = false;
  const auto done = keeper.keep<void>(id).then([&] { called = true; });
  EXPECT_TRUE(keeper.fulfill(id));
  turn();
  EXPECT_TRUE(called);
}

TEST_F(PromiseKeeperTest, RejectsThePromiseKeptUnderAnId) {
  PromiseKeeper keeper(loop);
  Outcome<int> answer(keeper.keep<int>(id));
  EXPECT_TRUE(keeper.reject(id, Errc::EndOfStream));
  turn();
  EXPECT_EQ(code_of(answer.error), Errc::EndOfStream);
  EXPECT_THAT(describe(answer.error), HasSubstr("client-7/42"));
  EXPECT_EQ(keeper.counters().rejected, 1);
}

TEST_F(PromiseKeeperTest, CountsAnAnswerThatNobodyWaitsForAsAnOrphan) {
  PromiseKeeper keeper(loop);
  EXPECT_FALSE(keeper.fulfill(id, 5));
  EXPECT_FALSE(keeper.reject(id, Errc::EndOfStream));
  Outcome<int> answer(keeper.keep<int>(id));
  EXPECT_TRUE(keeper.fulfill(id, 5));
  EXPECT_FALSE(keeper.fulfill(id, 6));
  EXPECT_EQ(keeper.counters().orphans, 3);
}

TEST_F(PromiseKeeperTest, RefusesAValueOfAnotherTypeAndKeepsThePromise) {
  PromiseKeeper keeper(loop);
  Outcome<int> answer(keeper.keep<int>(id));
  const auto error = thrown_by([&] { keeper.fulfill(id, std::string("five")); });
  EXPECT_EQ(code_of(error), Errc::TypeMismatch);
  EXPECT_THAT(describe(error), HasSubstr("client-7/42"));
  EXPECT_THAT(describe(error), HasSubstr("int"));
  EXPECT_THAT(describe(error), HasSubstr("string"));
  EXPECT_TRUE(keeper.fulfill(id, 5));
  turn();
  EXPECT_EQ(answer.value, 5);
}

TEST_F(PromiseKeeperTest, RefusesASecondPromiseUnderAnId) {
  PromiseKeeper keeper(loop);
  Outcome<int> answer(keeper.keep<int>(id));
  const auto error = thrown_by([&] { keeper.keep<int>(id).detach(); });
  EXPECT_EQ(code_of(error), Errc::DuplicateId);
  EXPECT_THAT(describe(error), HasSubstr("client-7/42"));
  EXPECT_TRUE(keeper.fulfill(id, 5));
  turn();
  EXPECT_EQ(answer.value, 5);
}

TEST_F(PromiseKeeperTest, RefusesAPromiseWithoutAnId) {
  PromiseKeeper keeper(loop);
  EXPECT_EQ(code_of(thrown_by([&] { keeper.keep<int>(CorrelationId()).detach(); })), std::errc::invalid_argument);
}

TEST_F(PromiseKeeperTest, RefusesMoreThanItsLimitUntilOneIsSettled) {
  PromiseKeeper keeper(loop, {.max_kept = 1});
  Outcome<int> answer(keeper.keep<int>(id));
  const CorrelationId second("client-7/43");
  EXPECT_EQ(code_of(thrown_by([&] { keeper.keep<int>(second).detach(); })), Errc::LimitReached);
  keeper.fulfill(id, 5);
  EXPECT_NO_THROW(keeper.keep<int>(second).detach());
}

// --- deadlines ---

TEST_F(PromiseKeeperTest, RejectsAtTheDeadlineAndSaysHowLongItWaited) {
  PromiseKeeper keeper(loop);
  Outcome<int> answer(keeper.keep<int>(id, 1500ms));
  pass(1499ms);
  EXPECT_FALSE(answer.done.settled());
  pass(2ms);
  EXPECT_EQ(code_of(answer.error), Errc::DeadlineExceeded);
  EXPECT_THAT(describe(answer.error), HasSubstr("client-7/42"));
  EXPECT_THAT(describe(answer.error), HasSubstr("1.5 s"));
  EXPECT_EQ(keeper.counters().timed_out, 1);
  EXPECT_EQ(keeper.size(), 0);
  EXPECT_FALSE(keeper.fulfill(id, 5));
  EXPECT_EQ(keeper.counters().orphans, 1);
}

TEST_F(PromiseKeeperTest, GivesADeadlineToAPromiseThatHasNone) {
  PromiseKeeper keeper(loop, {.default_deadline = 2s});
  Outcome<int> answer(keeper.keep<int>(id));
  pass(3s);
  EXPECT_EQ(code_of(answer.error), Errc::DeadlineExceeded);
}

TEST_F(PromiseKeeperTest, WaitsForEverOnlyIfAskedTo) {
  PromiseKeeper keeper(loop);
  Outcome<int> answer(keeper.keep<int>(id, kNoDeadline));
  Outcome<int> other(keeper.keep<int>(CorrelationId("client-7/43"), 24h * 365));
  pass(24h * 366);
  EXPECT_TRUE(other.done.settled());
  EXPECT_FALSE(answer.done.settled());
}

TEST_F(PromiseKeeperTest, DisarmsTheDeadlineOfASettledPromise) {
  PromiseKeeper keeper(loop);
  Outcome<int> answer(keeper.keep<int>(id));
  keeper.fulfill(id, 5);
  pass(60s);
  EXPECT_EQ(answer.value, 5);
  EXPECT_EQ(keeper.counters().timed_out, 0);
}

// --- who goes ---

TEST_F(PromiseKeeperTest, ForgetsAPromiseThatItsConsumerDrops) {
  PromiseKeeper keeper(loop);
  {
    const auto dropped = keeper.keep<int>(id).then([](int) {});
  }
  EXPECT_EQ(keeper.size(), 0);
  EXPECT_EQ(keeper.counters().dropped, 1);
  EXPECT_FALSE(keeper.fulfill(id, 5));
  pass(60s);
  EXPECT_EQ(keeper.counters().timed_out, 0);
}

TEST_F(PromiseKeeperTest, RejectsAllWhenItIsDestroyed) {
  auto keeper = std::make_unique<PromiseKeeper>(loop);
  Outcome<int> one(keeper->keep<int>(id));
  Outcome<std::string> other(keeper->keep<std::string>(CorrelationId("client-7/43"), kNoDeadline));
  keeper.reset();
  turn();
  EXPECT_EQ(code_of(one.error), Errc::ShuttingDown);
  EXPECT_EQ(code_of(other.error), Errc::ShuttingDown);
  EXPECT_THAT(describe(other.error), HasSubstr("client-7/43"));
}

TEST_F(PromiseKeeperTest, RejectsAllWhenTheLoopEndsAndTheirContinuationsRun) {
  PromiseKeeper keeper(loop);
  Outcome<int> answer(keeper.keep<int>(id, kNoDeadline));
  loop.stop();
  loop.run();
  EXPECT_EQ(code_of(answer.error), Errc::ShuttingDown);
  EXPECT_EQ(keeper.size(), 0);
}

TEST_F(PromiseKeeperTest, OutlivesThePromisesThatItKeptAndDiesBeforeOthers) {
  Promise<int> survivor;
  {
    PromiseKeeper keeper(loop);
    const auto dropped = keeper.keep<int>(id);
    survivor = keeper.keep<int>(CorrelationId("client-7/43"));
  }
  EXPECT_TRUE(survivor.settled());
}

TEST_F(PromiseKeeperTest, LetsAContinuationKeepAnotherUnderTheSameId) {
  PromiseKeeper keeper(loop);
  Outcome<int> answer(keeper.keep<int>(id).then([&](int) { return keeper.keep<int>(id); }));
  keeper.fulfill(id, 5);
  turn();
  EXPECT_TRUE(keeper.fulfill(id, 6));
  turn();
  EXPECT_EQ(answer.value, 6);
}

// --- looking on ---

TEST_F(PromiseKeeperTest, ListsWhatEachOneWaitsFor) {
  PromiseKeeper keeper(loop);
  const auto one = keeper.keep<int>(id, 5s);
  const auto other = keeper.keep<void>(CorrelationId("client-7/43"), kNoDeadline);
  std::vector<KeptPromise> listed;
  keeper.for_each([&](const KeptPromise& kept) { listed.push_back(kept); });
  ASSERT_EQ(listed.size(), 2);
  std::sort(listed.begin(), listed.end(), [](const auto& left, const auto& right) { return left.id < right.id; });
  EXPECT_EQ(listed[0].id, id);
  EXPECT_EQ(listed[0].type, "int");
  EXPECT_EQ(listed[0].since, loop.now());
  EXPECT_EQ(listed[0].deadline, loop.now() + 5s);
  EXPECT_EQ(listed[1].type, "void");
  EXPECT_EQ(listed[1].deadline, kNever);
}

// Goal: many at a time, settled in an order of their own: none is lost, none is mistaken for another.
TEST_F(PromiseKeeperTest, SettlesAHundredThousandInRandomOrder) {
  constexpr int kCount = 100'000;
  PromiseKeeper keeper(loop);
  CorrelationIdGenerator ids("client");
  std::vector<CorrelationId> asked;
  std::vector<int> seen(kCount, -1);
  std::vector<Promise<void>> done;
  for (int i = 0; i < kCount; ++i) {
    asked.push_back(ids.next());
    done.push_back(keeper.keep<int>(asked.back()).then([&seen, i](int value) { seen[i] = value; }));
  }
  std::vector<int> order(kCount);
  for (int i = 0; i < kCount; ++i) order[i] = i;
  std::shuffle(order.begin(), order.end(), std::mt19937(1));
  for (const int i : order) ASSERT_TRUE(keeper.fulfill(asked[i], i));
  turn();
  for (int i = 0; i < kCount; ++i) ASSERT_EQ(seen[i], i);
  EXPECT_EQ(keeper.size(), 0);
}

}  // namespace
}  // namespace snowfox
