#include <snowfox/promises/promise.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "support/manual_loop.h"

#include "thrown.h"

namespace snowfox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PromiseTest : public ::testing::Test, protected ManualLoop {};

// Goal: what settles a promise can rely on nothing having run when it goes on.
TEST_F(PromiseTest, RunsAContinuationAfterAndNotInsideTheSettlingCall) {
  auto [promise, resolver] = make_promise<int>(loop);
  int seen = 0;
  const auto done = std::move(promise).then([&](int value) { seen = value; });
  resolver.resolve(7);
  EXPECT_EQ(seen, 0);
  turn();
  EXPECT_EQ(seen, 7);
  EXPECT_TRUE(done.settled());
}

TEST_F(PromiseTest, RunsAContinuationOfASettledPromiseLater) {
  int seen = 0;
  const auto done = resolved(loop, 7).then([&](int value) { seen = value; });
  EXPECT_EQ(seen, 0);
  turn();
  EXPECT_EQ(seen, 7);
}

TEST_F(PromiseTest, RunsRightAfterTheEventThatSettledIt) {
  std::vector<std::string> order;
  auto [promise, resolver] = make_promise<void>(loop);
  const auto done = std::move(promise).then([&] { order.emplace_back("continuation"); });
  auto* settling = &resolver;
  loop.dispatch(make_event([&order, settling] {
    settling->resolve();
    order.emplace_back("handler");
  }));
  turn();
  EXPECT_THAT(order, ElementsAre("handler", "continuation"));
}

TEST_F(PromiseTest, PassesValuesDownAChain) {
  std::string seen;
  const auto done = resolved(loop, 20)
                        .then([](int value) { return value + 1; })
                        .then([](int value) { return std::to_string(value); })
                        .then([&](const std::string& text) { seen = text; });
  turn();
  EXPECT_EQ(seen, "21");
}

TEST_F(PromiseTest, MovesAValueThatCannotBeCopied) {
  int seen = 0;
  const auto done = resolved(loop, std::make_unique<int>(3))
                        .then([](std::unique_ptr<int> value) { return value; })
                        .then([&](std::unique_ptr<int>&& value) { seen = *value; });
  turn();
  EXPECT_EQ(seen, 3);
}

TEST_F(PromiseTest, LetsARejectionPassToTheFirstThatHandlesIt) {
  auto [promise, resolver] = make_promise<int>(loop);
  int called = 0;
  std::string seen;
  const auto done = std::move(promise)
                        .then([&](int value) { return ++called, value; })
                        .then([&](int) { ++called; })
                        .otherwise([&](const std::exception_ptr& error) { seen = describe(error); });
  resolver.reject(std::runtime_error("no luck"));
  turn();
  EXPECT_EQ(called, 0);
  EXPECT_EQ(seen, "no luck");
  EXPECT_TRUE(done.settled());
  EXPECT_EQ(loop.counters().unhandled_rejections, 0);
}

TEST_F(PromiseTest, GoesOnWithWhatOtherwiseReturns) {
  int seen = 0;
  const auto done = rejected<int>(loop, Errc::IdleTimeout)
                        .otherwise([](const std::exception_ptr& error) { return code_of(error).value(); })
                        .then([&](int value) { seen = value; });
  turn();
  EXPECT_EQ(seen, static_cast<int>(Errc::IdleTimeout));
}

TEST_F(PromiseTest, LetsAValuePassOtherwise) {
  int seen = 0;
  const auto done =
      resolved(loop, 5).otherwise([](const std::exception_ptr&) { return 0; }).then([&](int value) { seen = value; });
  turn();
  EXPECT_EQ(seen, 5);
}

TEST_F(PromiseTest, RejectsWithWhatAContinuationThrows) {
  std::string seen;
  const auto done =
      resolved(loop)
          .then([] { throw std::runtime_error("thrown"); })
          .otherwise([](const std::exception_ptr& error) { throw std::runtime_error(describe(error) + " again"); })
          .otherwise([&](const std::exception_ptr& error) { seen = describe(error); });
  turn();
  EXPECT_EQ(seen, "thrown again");
}

TEST_F(PromiseTest, CallsFinallyInBothCasesAndPassesTheOutcomeOn) {
  int called = 0;
  int value = 0;
  std::string error;
  const auto good = resolved(loop, 4).finally([&] { ++called; }).then([&](int seen) { value = seen; });
  const auto bad = rejected<int>(loop, std::runtime_error("bad"))
                       .finally([&] { ++called; })
                       .then([](int) {})
                       .otherwise([&](const std::exception_ptr& seen) { error = describe(seen); });
  turn();
  EXPECT_EQ(called, 2);
  EXPECT_EQ(value, 4);
  EXPECT_EQ(error, "bad");
}

TEST_F(PromiseTest, RejectsWithWhatFinallyThrows) {
  std::string error;
  const auto done = resolved(loop, 4)
                        .finally([] { throw std::runtime_error("cleaning up"); })
                        .then([](int) {})
                        .otherwise([&](const std::exception_ptr& seen) { error = describe(seen); });
  turn();
  EXPECT_EQ(error, "cleaning up");
}

TEST_F(PromiseTest, WaitsForThePromiseThatFinallyReturnsBeforeThePassingOn) {
  auto [cleaned, cleaner] = make_promise<void>(loop);
  int seen = 0;
  const auto done = resolved(loop, 4).finally([&cleaned = cleaned] { return std::move(cleaned); }).then([&](int value) {
    seen = value;
  });
  turn();
  EXPECT_EQ(seen, 0);
  cleaner.resolve();
  turn();
  EXPECT_EQ(seen, 4);
}

TEST_F(PromiseTest, RejectsWithTheRejectionOfThePromiseThatFinallyReturns) {
  std::string error;
  const auto done = resolved(loop, 4)
                        .finally([&] { return rejected<void>(loop, std::runtime_error("cleaning up")); })
                        .then([](int) {})
                        .otherwise([&](const std::exception_ptr& seen) { error = describe(seen); });
  turn();
  EXPECT_EQ(error, "cleaning up");
}

TEST_F(PromiseTest, WaitsForThePromiseThatAContinuationReturns) {
  auto [inner, resolver] = make_promise<int>(loop);
  int seen = 0;
  const auto done =
      resolved(loop).then([&inner = inner] { return std::move(inner); }).then([&](int value) { seen = value; });
  turn();
  EXPECT_EQ(seen, 0);
  resolver.resolve(9);
  turn();
  EXPECT_EQ(seen, 9);
}

TEST_F(PromiseTest, RejectsWithTheRejectionOfThePromiseThatAContinuationReturns) {
  std::string error;
  const auto done = resolved(loop)
                        .then([&] { return rejected<int>(loop, std::runtime_error("inner")); })
                        .then([](int) {})
                        .otherwise([&](const std::exception_ptr& seen) { error = describe(seen); });
  turn();
  EXPECT_EQ(error, "inner");
}

TEST_F(PromiseTest, RejectsIfAContinuationReturnsNoPromise) {
  std::string error;
  const auto done = resolved(loop).then([] { return Promise<void>(); }).otherwise([&](const std::exception_ptr& seen) {
    error = describe(seen);
  });
  turn();
  EXPECT_THAT(error, HasSubstr("empty promise"));
}

TEST_F(PromiseTest, GivesEachPromiseOfAChainTheIdOfTheFirst) {
  auto [promise, resolver] = make_promise<int>(loop, CorrelationId("client-7/42"));
  const auto last = std::move(promise).then([](int) {}).finally([] {});
  EXPECT_EQ(last.id().text(), "client-7/42");
}

// --- dropping ---

TEST_F(PromiseTest, CallsNothingOfAChainThatIsDropped) {
  auto [promise, resolver] = make_promise<int>(loop);
  bool called = false;
  {
    const auto done = std::move(promise).then([&](int) { called = true; }).finally([&] { called = true; });
    EXPECT_TRUE(resolver.wanted());
  }
  EXPECT_FALSE(resolver.wanted());
  resolver.resolve(1);
  turn();
  EXPECT_FALSE(called);
}

TEST_F(PromiseTest, CallsNothingOfAChainThatIsDroppedWhileQueued) {
  auto [promise, resolver] = make_promise<int>(loop);
  bool called = false;
  {
    const auto done = std::move(promise).then([&](int) { called = true; });
    resolver.resolve(1);
  }
  turn();
  EXPECT_FALSE(called);
}

TEST_F(PromiseTest, DestroysWhatAContinuationHasCapturedWhenItIsDropped) {
  auto [promise, resolver] = make_promise<void>(loop);
  auto captured = std::make_shared<int>();
  {
    const auto done = std::move(promise).then([captured] {});
    EXPECT_EQ(captured.use_count(), 2);
  }
  EXPECT_EQ(captured.use_count(), 1);
}

TEST_F(PromiseTest, LetsAContinuationDropThePromiseThatStandsForIt) {
  auto [promise, resolver] = make_promise<int>(loop);
  auto captured = std::make_shared<int>(5);
  Promise<void> done;
  int seen = 0;
  done = std::move(promise).then([&, captured](int) {
    done = Promise<void>();
    seen = *captured;
  });
  resolver.resolve(1);
  turn();
  EXPECT_EQ(seen, 5);
  EXPECT_EQ(captured.use_count(), 1);
}

TEST_F(PromiseTest, LetsAContinuationDropTheEndOfItsChain) {
  auto [promise, resolver] = make_promise<int>(loop);
  Promise<void> done;
  bool called = false;
  done = std::move(promise).then([&](int) { done = Promise<void>(); }).then([&] { called = true; }).finally([&] {
    called = true;
  });
  resolver.resolve(1);
  turn();
  EXPECT_FALSE(called);
}

TEST_F(PromiseTest, LetsWhatAContinuationHasCapturedOwnTheEndOfItsChain) {
  struct Session {
    Promise<void> done;
  };
  auto [promise, resolver] = make_promise<int>(loop);
  auto session = std::make_shared<Session>();
  session->done = std::move(promise).then([session](int) {}).then([] {}).then([] {});
  const std::weak_ptr<Session> gone = session;
  session.reset();
  resolver.resolve(1);
  turn();
  EXPECT_TRUE(gone.expired());
}

TEST_F(PromiseTest, DropsThePromiseThatAContinuationReturnedWithTheOuterOne) {
  auto [inner, resolver] = make_promise<int>(loop);
  {
    const auto done = resolved(loop).then([&inner = inner] { return std::move(inner); });
    turn();
    EXPECT_TRUE(resolver.wanted());
  }
  EXPECT_FALSE(resolver.wanted());
}

// --- settling from within ---

TEST_F(PromiseTest, LetsAContinuationSettleAnother) {
  auto [first, first_resolver] = make_promise<int>(loop);
  auto [second, second_resolver] = make_promise<int>(loop);
  std::vector<std::string> order;
  auto* next = &second_resolver;
  const auto one = std::move(first).then([&order, next](int value) {
    next->resolve(value + 1);
    order.emplace_back("first");
  });
  const auto two = std::move(second).then([&](int value) { order.push_back("second " + std::to_string(value)); });
  first_resolver.resolve(1);
  turn();
  EXPECT_THAT(order, ElementsAre("first", "second 2"));
}

// --- long chains ---

TEST_F(PromiseTest, RunsAChainOfAHundredThousandWithoutRecursion) {
  auto [promise, resolver] = make_promise<int>(loop);
  Promise<int> chain = std::move(promise);
  for (int i = 0; i < 100'000; ++i) chain = std::move(chain).then([](int value) { return value + 1; });
  int seen = 0;
  const auto done = std::move(chain).then([&](int value) { seen = value; });
  resolver.resolve(0);
  turn();
  EXPECT_EQ(seen, 100'000);
}

TEST_F(PromiseTest, DropsAChainOfAHundredThousandWithoutRecursion) {
  auto [promise, resolver] = make_promise<int>(loop);
  {
    Promise<int> chain = std::move(promise);
    for (int i = 0; i < 100'000; ++i) chain = std::move(chain).then([](int value) { return value + 1; });
  }
  EXPECT_FALSE(resolver.wanted());
}

TEST_F(PromiseTest, RunsAHundredThousandNestedPromisesWithoutRecursion) {
  auto [promise, resolver] = make_promise<int>(loop);
  Promise<int> nested = std::move(promise);
  for (int i = 0; i < 100'000; ++i) {
    nested = resolved(loop).then([inner = std::move(nested)]() mutable { return std::move(inner); });
  }
  turn();
  int seen = 0;
  const auto done = std::move(nested).then([&](int value) { seen = value; });
  resolver.resolve(3);
  turn();
  EXPECT_EQ(seen, 3);
}

// Goal: a process that goes on for ever by returning the next step does not grow. Were the promises in between kept,
// each round would add one to those that the outermost waits for.
TEST_F(PromiseTest, DoesNotGrowByPromisesThatFollowEachOther) {
  auto alive = std::make_shared<int>();
  struct Countdown {
    LoopManager& loop;
    std::shared_ptr<int> alive;
    long most_alive = 0;
    Promise<int> from(int left) {
      return resolved(loop).then([this, left, counted = alive]() -> Promise<int> {
        most_alive = std::max(most_alive, alive.use_count());
        if (left == 0) return resolved(loop, 42);
        return from(left - 1);
      });
    }
  };
  Countdown countdown{loop, alive};
  int seen = 0;
  const auto done = countdown.from(10'000).then([&](int value) { seen = value; });
  turn();
  EXPECT_EQ(seen, 42);
  EXPECT_LT(countdown.most_alive, 8);
}

// --- the resolver ---

TEST_F(PromiseTest, ThrowsAtASecondSettlingAndNamesTheId) {
  auto [promise, resolver] = make_promise<int>(loop, CorrelationId("client-7/42"));
  resolver.resolve(1);
  const auto error = thrown_by([&resolver = resolver] { resolver.resolve(2); });
  EXPECT_EQ(code_of(error), Errc::AlreadySettled);
  EXPECT_THAT(describe(error), HasSubstr("client-7/42"));
  EXPECT_EQ(code_of(thrown_by([&resolver = resolver] { resolver.reject(Errc::IdleTimeout); })), Errc::AlreadySettled);
}

TEST_F(PromiseTest, ThrowsAtASecondSettlingThoughNobodyWaits) {
  auto [promise, resolver] = make_promise<int>(loop, CorrelationId("client-7/42"));
  promise = Promise<int>();
  EXPECT_NO_THROW(resolver.resolve(1));
  const auto error = thrown_by([&resolver = resolver] { resolver.resolve(2); });
  EXPECT_EQ(code_of(error), Errc::AlreadySettled);
  EXPECT_THAT(describe(error), HasSubstr("client-7/42"));
}

TEST_F(PromiseTest, RejectsWhenItsResolverIsDestroyedUnsettled) {
  std::exception_ptr error;
  Promise<void> done;
  {
    auto [promise, resolver] = make_promise<int>(loop, CorrelationId("client-7/42"));
    done = std::move(promise).then([](int) {}).otherwise([&](const std::exception_ptr& seen) { error = seen; });
  }
  turn();
  EXPECT_EQ(code_of(error), Errc::PromiseBroken);
  EXPECT_THAT(describe(error), HasSubstr("client-7/42"));
}

TEST_F(PromiseTest, IsSettledByAResolverThatWasMoved) {
  auto [promise, resolver] = make_promise<int>(loop);
  int seen = 0;
  const auto done = std::move(promise).then([&](int value) { seen = value; });
  Resolver<int> second = std::move(resolver);
  Resolver<int> third;
  third = std::move(second);
  third.resolve(6);
  turn();
  EXPECT_EQ(seen, 6);
}

TEST_F(PromiseTest, TellsTheProducerOnceThatItWasDropped) {
  auto [promise, resolver] = make_promise<int>(loop);
  int cancelled = 0;
  resolver.on_cancel([&] { ++cancelled; });
  Resolver<int> moved = std::move(resolver);
  EXPECT_EQ(cancelled, 0);
  promise = Promise<int>();
  EXPECT_EQ(cancelled, 1);
  moved.resolve(1);
  EXPECT_EQ(cancelled, 1);
}

TEST_F(PromiseTest, TellsTheProducerNothingOnceItIsSettled) {
  auto [promise, resolver] = make_promise<int>(loop);
  bool cancelled = false;
  resolver.on_cancel([&] { cancelled = true; });
  resolver.resolve(1);
  promise = Promise<int>();
  EXPECT_FALSE(cancelled);
}

TEST_F(PromiseTest, StaysUnsettledIfMakingItsValueThrows) {
  struct Picky {
    explicit Picky(int value) {
      if (value < 0) throw std::invalid_argument("negative");
    }
  };
  auto [promise, resolver] = make_promise<Picky>(loop);
  EXPECT_THROW(resolver.resolve(-1), std::invalid_argument);
  EXPECT_FALSE(promise.settled());
  resolver.resolve(1);
  EXPECT_TRUE(promise.settled());
}

// --- nobody waits ---

TEST_F(PromiseTest, RunsADetachedChainToItsEnd) {
  auto [promise, resolver] = make_promise<int>(loop);
  auto captured = std::make_shared<int>();
  int seen = 0;
  std::move(promise).then([&, captured](int value) { seen = value; }).detach();
  resolver.resolve(8);
  turn();
  EXPECT_EQ(seen, 8);
  EXPECT_EQ(captured.use_count(), 1);
  EXPECT_TRUE(sink.lines.empty());
}

TEST_F(PromiseTest, LogsAndCountsARejectionThatNobodyHandles) {
  auto [promise, resolver] = make_promise<int>(loop, CorrelationId("client-7/42"));
  std::move(promise).then([](int) {}).detach();
  resolver.reject(std::runtime_error("no luck"));
  turn();
  EXPECT_EQ(loop.counters().unhandled_rejections, 1);
  ASSERT_EQ(sink.lines.size(), 1);
  EXPECT_EQ(sink.lines[0].level, LogLevel::Error);
  EXPECT_EQ(sink.lines[0].fields["error"], "no luck");
  EXPECT_EQ(sink.lines[0].correlation_id, "client-7/42");
}

TEST_F(PromiseTest, DetachesAPromiseThatIsSettled) {
  auto value = std::make_shared<int>();
  resolved(loop, value).detach();
  EXPECT_EQ(value.use_count(), 1);
  rejected<int>(loop, Errc::IdleTimeout).detach();
  EXPECT_EQ(loop.counters().unhandled_rejections, 1);
}

TEST_F(PromiseTest, CountsNothingWhenADroppedPromiseIsRejected) {
  auto [promise, resolver] = make_promise<int>(loop);
  resolver.reject(std::runtime_error("no luck"));
  promise = Promise<int>();
  turn();
  EXPECT_EQ(loop.counters().unhandled_rejections, 0);
}

// Goal: nobody but the loop can end what nobody waits for.
TEST_F(PromiseTest, GoesWithTheLoopIfItIsDetachedAndUnsettled) {
  auto captured = std::make_shared<int>();
  bool called = false;
  Resolver<int> waiting;
  Resolver<int> queued;
  {
    ManualLoop other;
    auto [one, one_resolver] = make_promise<int>(other.loop);
    auto [two, two_resolver] = make_promise<int>(other.loop);
    waiting = std::move(one_resolver);
    queued = std::move(two_resolver);
    std::move(one).then([&, captured](int) { called = true; }).then([captured] {}).detach();
    std::move(two).then([&, captured](int) { called = true; }).then([captured] {}).detach();
    queued.resolve(1);
  }
  EXPECT_FALSE(waiting.wanted());
  EXPECT_EQ(captured.use_count(), 1);
  EXPECT_FALSE(called);
}

TEST_F(PromiseTest, EndsTheLoopByCleanExitThoughSomebodyHandlesTheRejection) {
  bool handled = false;
  const auto done =
      resolved(loop).then([] { throw CleanExit(); }).otherwise([&](const std::exception_ptr&) { handled = true; });
  EXPECT_EQ(loop.run(), 0);
  EXPECT_TRUE(loop.stopping());
  EXPECT_TRUE(handled);
  EXPECT_EQ(loop.counters().unhandled_rejections, 0);
}

TEST_F(PromiseTest, EndsTheLoopWithACriticalLineByAbortError) {
  resolved(loop).then([] { throw AbortError("disk full"); }).then([] {}).detach();
  EXPECT_EQ(loop.run(), 1);
  ASSERT_EQ(sink.lines.size(), 1);
  EXPECT_EQ(sink.lines[0].level, LogLevel::Critical);
  EXPECT_EQ(sink.lines[0].fields["error"], "disk full");
  EXPECT_EQ(loop.counters().unhandled_rejections, 0);
}

TEST_F(PromiseTest, EndsTheLoopByACleanExitThatNobodyHandles) {
  auto [promise, resolver] = make_promise<void>(loop);
  std::move(promise).detach();
  resolver.reject(CleanExit());
  EXPECT_TRUE(loop.stopping());
}

}  // namespace
}  // namespace snowfox
