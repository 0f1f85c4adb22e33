#include <snowfox/promises/sleep.h>

#include <exception>
#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "support/manual_loop.h"

#include "thrown.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

class SleepTest : public ::testing::Test, protected ManualLoop {};

TEST_F(SleepTest, EndsWhenItsTimeHasCome) {
  const TimePoint begun = loop.now();
  std::optional<TimePoint> woken;
  const auto done = sleep(loop, 250ms).then([&] { woken = loop.now(); });
  pass(249ms);
  EXPECT_FALSE(woken);
  pass(2ms);
  ASSERT_TRUE(woken);
  EXPECT_GE(*woken, begun + 250ms);
}

TEST_F(SleepTest, EndsSoonIfItsTimeHasPassed) {
  bool woken = false;
  const auto done = sleep_until(loop, loop.now() - 1s).then([&] { woken = true; });
  EXPECT_FALSE(woken);
  pass(1ms);
  EXPECT_TRUE(woken);
}

TEST_F(SleepTest, LeavesNoTimerBehindWhenItIsDropped) {
  { const auto dropped = sleep(loop, 1h); }
  const TimePoint begun = loop.now();
  loop.run();
  EXPECT_EQ(loop.now(), begun);
}

class WithDeadlineTest : public ::testing::Test, protected ManualLoop {};

TEST_F(WithDeadlineTest, PassesOnWhatComesInTime) {
  auto [promise, resolver] = make_promise<int>(loop);
  int seen = 0;
  const auto done = with_deadline(std::move(promise), 1s).then([&](int value) { seen = value; });
  resolver.resolve(5);
  turn();
  EXPECT_EQ(seen, 5);
}

TEST_F(WithDeadlineTest, PassesOnARejectionThatComesInTime) {
  auto [promise, resolver] = make_promise<int>(loop);
  std::exception_ptr error;
  const auto done =
      with_deadline(std::move(promise), 1s).then([](int) {}).otherwise([&](const std::exception_ptr& seen) {
        error = seen;
      });
  resolver.reject(Errc::EndOfStream);
  turn();
  EXPECT_EQ(code_of(error), Errc::EndOfStream);
}

TEST_F(WithDeadlineTest, DropsWhatDoesNotComeInTimeAndNamesIt) {
  auto [promise, resolver] = make_promise<int>(loop, CorrelationId("client-7/42"));
  std::exception_ptr error;
  const auto done =
      with_deadline(std::move(promise), 250ms).then([](int) {}).otherwise([&](const std::exception_ptr& seen) {
        error = seen;
      });
  pass(251ms);
  EXPECT_FALSE(resolver.wanted());
  EXPECT_EQ(code_of(error), Errc::DeadlineExceeded);
  EXPECT_THAT(describe(error), HasSubstr("client-7/42"));
  EXPECT_THAT(describe(error), HasSubstr("250 ms"));
}

TEST_F(WithDeadlineTest, DropsWhatItWaitsForWhenItIsDropped) {
  auto [promise, resolver] = make_promise<int>(loop);
  { const auto dropped = with_deadline(std::move(promise), 1s); }
  EXPECT_FALSE(resolver.wanted());
  pass(2s);
}

TEST_F(WithDeadlineTest, RejectsADetachedPromise) {
  auto [promise, resolver] = make_promise<int>(loop);
  with_deadline(std::move(promise), 1s).detach();
  pass(2s);
  EXPECT_EQ(loop.counters().unhandled_rejections, 1);
}

}  // namespace
}  // namespace snowfox
