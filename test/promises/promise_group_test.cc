#include <snowfox/promises/promise_group.h>

#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "support/manual_loop.h"

namespace snowfox {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class PromiseGroupTest : public ::testing::Test, protected ManualLoop {
 protected:
  /// So many promises, and who settles them.
  std::vector<Promise<int>> make(std::size_t count) {
    std::vector<Promise<int>> promises;
    for (std::size_t i = 0; i < count; ++i) {
      auto [promise, resolver] = make_promise<int>(loop);
      promises.push_back(std::move(promise));
      resolvers.push_back(std::move(resolver));
    }
    return promises;
  }
  void settle(std::size_t which) {
    if (which % 2 == 0) {
      resolvers[which].resolve(static_cast<int>(which));
    } else {
      resolvers[which].reject(std::runtime_error("error " + std::to_string(which)));
    }
  }
  template <typename T>
  Promise<void> watch(Promise<T> promise) {
    return std::move(promise)
        .then([this](int seen) { value = seen; })
        .otherwise([this](const std::exception_ptr& seen) { error = describe(seen); });
  }

  std::vector<Resolver<int>> resolvers;
  int value = -1;
  std::string error;
};

TEST_F(PromiseGroupTest, GivesAllValuesInTheirOrder) {
  std::vector<int> seen;
  const auto done = all(loop, make(3)).then([&](std::vector<int> values) { seen = std::move(values); });
  resolvers[2].resolve(3);
  resolvers[0].resolve(1);
  turn();
  EXPECT_FALSE(done.settled());
  resolvers[1].resolve(2);
  turn();
  EXPECT_THAT(seen, ElementsAre(1, 2, 3));
}

TEST_F(PromiseGroupTest, GivesAllOfNothingAtOnce) {
  std::vector<int> seen{1};
  const auto done = all(loop, make(0)).then([&](std::vector<int> values) { seen = std::move(values); });
  turn();
  EXPECT_THAT(seen, IsEmpty());
}

TEST_F(PromiseGroupTest, WaitsForAllPromisesOfNothing) {
  auto [one, one_resolver] = make_promise<void>(loop);
  std::vector<Promise<void>> promises;
  promises.push_back(std::move(one));
  promises.push_back(resolved(loop));
  bool called = false;
  const auto done = all(loop, std::move(promises)).then([&] { called = true; });
  turn();
  EXPECT_FALSE(called);
  one_resolver.resolve();
  turn();
  EXPECT_TRUE(called);
}

TEST_F(PromiseGroupTest, RejectsAllAtTheFirstRejectionAndDropsTheOthers) {
  const auto done = watch(all(loop, make(3)).then([](const std::vector<int>&) { return 0; }));
  settle(1);
  turn();
  EXPECT_EQ(error, "error 1");
  EXPECT_FALSE(resolvers[0].wanted());
  EXPECT_FALSE(resolvers[2].wanted());
}

TEST_F(PromiseGroupTest, GivesTheFirstValueOfAnyAndDropsTheOthers) {
  const auto done = watch(any(loop, make(4)));
  settle(1);
  turn();
  EXPECT_EQ(value, -1);
  settle(2);
  turn();
  EXPECT_EQ(value, 2);
  EXPECT_FALSE(resolvers[0].wanted());
  EXPECT_FALSE(resolvers[3].wanted());
}

TEST_F(PromiseGroupTest, GivesTheLastErrorIfThereIsNoValueOfAny) {
  const auto done = watch(any(loop, make(2)));
  settle(1);
  resolvers[0].reject(std::runtime_error("error 0"));
  turn();
  EXPECT_EQ(error, "error 0");
}

TEST_F(PromiseGroupTest, EndsARaceAsTheFirstDoes) {
  const auto done = watch(race(loop, make(3)));
  settle(1);
  turn();
  EXPECT_EQ(error, "error 1");
  EXPECT_FALSE(resolvers[0].wanted());
}

TEST_F(PromiseGroupTest, EndsARaceOnceThoughSeveralAreSettledTogether) {
  const auto done = watch(race(loop, make(3)));
  settle(2);
  settle(0);
  settle(1);
  turn();
  EXPECT_EQ(value, 2);
  EXPECT_EQ(error, "");
}

TEST_F(PromiseGroupTest, RefusesToChooseFromNothing) {
  EXPECT_THROW(any(loop, make(0)).detach(), std::invalid_argument);
  EXPECT_THROW(race(loop, make(0)).detach(), std::invalid_argument);
}

TEST_F(PromiseGroupTest, DropsAllWhenItIsDropped) {
  { const auto dropped = all(loop, make(2)); }
  EXPECT_FALSE(resolvers[0].wanted());
  EXPECT_FALSE(resolvers[1].wanted());
}

TEST_F(PromiseGroupTest, LetsWhatItsPromisesHoldOwnIt) {
  auto owner = std::make_shared<Promise<int>>();
  std::vector<Promise<int>> promises = make(2);
  for (auto& promise : promises) promise = std::move(promise).then([owner](int seen) { return seen; });
  *owner = race(loop, std::move(promises));
  const std::weak_ptr<Promise<int>> gone = owner;
  owner.reset();
  settle(0);
  turn();
  EXPECT_TRUE(gone.expired());
}

}  // namespace
}  // namespace snowfox
