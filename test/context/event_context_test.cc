#include <snowfox/context/event_context.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/manual_loop.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class EventContextTest : public ::testing::Test, protected ManualLoop {
 protected:
  const CorrelationId id{"client-7/42"};
  const CorrelationId other{"client-7/43"};
};

TEST_F(EventContextTest, GivesBackWhatWasStored) {
  EventContext<std::unique_ptr<int>> context(loop);
  ASSERT_NE(context.store(id, std::make_unique<int>(5)), nullptr);
  ASSERT_NE(context.find(id), nullptr);
  EXPECT_EQ(**context.find(id), 5);
  const auto taken = context.pop(id);
  ASSERT_TRUE(taken);
  EXPECT_EQ(**taken, 5);
  EXPECT_FALSE(context.pop(id));
  EXPECT_EQ(context.find(id), nullptr);
  EXPECT_TRUE(context.empty());
}

TEST_F(EventContextTest, StoresOneValueUnderAnId) {
  EventContext<int> context(loop);
  ASSERT_NE(context.store(id, 1), nullptr);
  EXPECT_EQ(context.store(id, 2), nullptr);
  EXPECT_EQ(*context.find(id), 1);
}

TEST_F(EventContextTest, RefusesMoreThanItsLimitUntilOneIsTaken) {
  EventContext<int> context(loop, {.max_entries = 1});
  ASSERT_NE(context.store(id, 1), nullptr);
  EXPECT_EQ(context.store(other, 2), nullptr);
  context.pop(id);
  EXPECT_NE(context.store(other, 2), nullptr);
}

TEST_F(EventContextTest, ForgetsWhatIsNotTakenInItsLifetimeAndSaysSo) {
  std::vector<std::string> expired;
  EventContext<int> context(loop, {.lifetime = 10s}, [&](const CorrelationId& gone, int value) {
    expired.push_back(gone.str() + "=" + std::to_string(value));
  });
  context.store(id, 1);
  context.store(other, 2, 20s);
  pass(9s);
  EXPECT_EQ(context.size(), 2);
  pass(2s);
  EXPECT_THAT(expired, ElementsAre("client-7/42=1"));
  EXPECT_EQ(context.find(id), nullptr);
  pass(10s);
  EXPECT_THAT(expired, ElementsAre("client-7/42=1", "client-7/43=2"));
  EXPECT_EQ(context.expired(), 2);
}

TEST_F(EventContextTest, KeepsAValueForEverIfAskedTo) {
  EventContext<int> context(loop, {.lifetime = Duration::max()});
  context.store(id, 1);
  pass(24h * 365);
  EXPECT_NE(context.find(id), nullptr);
}

TEST_F(EventContextTest, DoesNotExpireWhatWasTaken) {
  bool expired = false;
  EventContext<int> context(loop, {}, [&](const CorrelationId&, int) { expired = true; });
  context.store(id, 1);
  context.pop(id);
  pass(24h);
  EXPECT_FALSE(expired);
}

TEST_F(EventContextTest, ProlongsALife) {
  EventContext<int> context(loop, {.lifetime = 10s});
  context.store(id, 1);
  pass(9s);
  EXPECT_TRUE(context.prolong(id, 10s));
  EXPECT_FALSE(context.prolong(other, 10s));
  pass(9s);
  EXPECT_NE(context.find(id), nullptr);
  pass(2s);
  EXPECT_EQ(context.find(id), nullptr);
}

TEST_F(EventContextTest, MayStoreAgainWhatHasExpired) {
  EventContext<int>* itself = nullptr;
  EventContext<int> context(loop, {.lifetime = 10s},
                            [&](const CorrelationId& gone, int value) { itself->store(gone, value + 1); });
  itself = &context;
  context.store(id, 1);
  pass(11s);
  ASSERT_NE(context.find(id), nullptr);
  EXPECT_EQ(*context.find(id), 2);
}

TEST_F(EventContextTest, LogsWhatTheCallOnExpiryThrows) {
  EventContext<int> context(loop, {}, [](const CorrelationId&, int) { throw std::runtime_error("no luck"); });
  context.store(id, 1);
  pass(1h);
  ASSERT_EQ(sink.lines.size(), 1);
  EXPECT_EQ(sink.lines[0].fields["error"], "no luck");
  EXPECT_EQ(sink.lines[0].correlation_id, "client-7/42");
}

TEST_F(EventContextTest, VisitsEachValue) {
  EventContext<int> context(loop);
  context.store(id, 1);
  context.store(other, 2);
  int sum = 0;
  context.for_each([&](const CorrelationId&, int value) { sum += value; });
  EXPECT_EQ(sum, 3);
}

}  // namespace
}  // namespace snowfox
