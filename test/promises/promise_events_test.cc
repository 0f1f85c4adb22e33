#include <snowfox/promises/promise_events.h>

#include <exception>
#include <string>

#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "support/manual_loop.h"

#include "thrown.h"

namespace snowfox {
namespace {

class PromiseEventsTest : public ::testing::Test, protected ManualLoop {
 protected:
  const CorrelationId id{"client-7/42"};
  PromiseKeeper keeper{loop};
};

TEST_F(PromiseEventsTest, FulfillsWhenItIsHandled) {
  std::string seen;
  const auto done = keeper.keep<std::string>(id).then([&](const std::string& text) { seen = text; });
  loop.dispatch(std::make_unique<PromiseFulfill<std::string>>(keeper, id, "answer"));
  turn();
  EXPECT_EQ(seen, "answer");
}

TEST_F(PromiseEventsTest, FulfillsAPromiseOfNothing) {
  const auto kept = keeper.keep<void>(id);
  loop.dispatch(std::make_unique<PromiseFulfill<void>>(keeper, id));
  EXPECT_TRUE(kept.settled());
}

TEST_F(PromiseEventsTest, RejectsWhenItIsHandled) {
  std::exception_ptr error;
  const auto done = keeper.keep<void>(id).otherwise([&](const std::exception_ptr& seen) { error = seen; });
  loop.dispatch(std::make_unique<PromiseReject>(keeper, id, Errc::EndOfStream));
  turn();
  EXPECT_EQ(code_of(error), Errc::EndOfStream);
}

TEST_F(PromiseEventsTest, IsReportedWithItsIdIfTheTypesDiffer) {
  const auto kept = keeper.keep<int>(id);
  loop.dispatch(std::make_unique<PromiseFulfill<std::string>>(keeper, id, "answer"));
  EXPECT_EQ(loop.counters().failed, 1);
  ASSERT_EQ(sink.lines.size(), 1);
  EXPECT_EQ(sink.lines[0].correlation_id, "client-7/42");
  EXPECT_FALSE(kept.settled());
}

TEST_F(PromiseEventsTest, CountsAnOrphanIfNobodyWaits) {
  loop.dispatch(std::make_unique<PromiseFulfill<int>>(keeper, id, 1));
  loop.dispatch(std::make_unique<PromiseReject>(keeper, id, Errc::EndOfStream));
  EXPECT_EQ(keeper.counters().orphans, 2);
  EXPECT_EQ(loop.counters().failed, 0);
}

}  // namespace
}  // namespace snowfox
