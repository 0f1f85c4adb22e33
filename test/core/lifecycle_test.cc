#include <snowfox/core/lifecycle.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace snowfox {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

using TestHook = Hook<int>;

TEST(HookTest, CallsNobodyWhenNobodyListens) {
  TestHook hook;
  EXPECT_TRUE(hook.empty());
  hook(1);
}

TEST(HookTest, CallsEachInTheOrderAdded) {
  TestHook hook;
  std::vector<std::string> calls;
  const auto first = hook.add([&](int value) { calls.push_back("first " + std::to_string(value)); });
  const auto second = hook.add([&](int value) { calls.push_back("second " + std::to_string(value)); });
  EXPECT_FALSE(hook.empty());
  hook(7);
  EXPECT_THAT(calls, ElementsAre("first 7", "second 7"));
}

TEST(HookTest, StopsCallingWhenTheTokenGoes) {
  TestHook hook;
  int calls = 0;
  {
    const auto token = hook.add([&](int) { ++calls; });
    hook(1);
  }
  hook(2);
  EXPECT_EQ(calls, 1);
  EXPECT_TRUE(hook.empty());
}

TEST(HookTest, MayGoBeforeItsTokens) {
  TestHook::Token token;
  {
    TestHook hook;
    token = hook.add([](int) {});
  }
  token = {};
}

TEST(HookTest, CallsAFunctionAddedMeanwhileFromTheNextTimeOn) {
  TestHook hook;
  std::vector<int> calls;
  std::vector<TestHook::Token> tokens;
  tokens.push_back(hook.add([&](int value) {
    calls.push_back(value);
    if (value == 1) {
      for (int i = 0; i < 100; ++i) tokens.push_back(hook.add([&](int later) { calls.push_back(-later); }));
    }
  }));
  hook(1);
  EXPECT_THAT(calls, ElementsAre(1));
  hook(2);
  EXPECT_EQ(calls.size(), 102U);
}

TEST(HookTest, LetsAFunctionDropItsOwnToken) {
  TestHook hook;
  auto captured = std::make_shared<std::string>("still here");
  std::string seen;
  std::optional<TestHook::Token> token;
  token = hook.add([&, captured](int) {
    token.reset();
    seen = *captured;
  });
  hook(1);
  hook(2);
  EXPECT_EQ(seen, "still here");
  EXPECT_EQ(captured.use_count(), 1);
}

TEST(HookTest, DoesNotCallOneThatAnEarlierOneDropped) {
  TestHook hook;
  int calls = 0;
  std::optional<TestHook::Token> second;
  const auto first = hook.add([&](int) { second.reset(); });
  second = hook.add([&](int) { ++calls; });
  hook(1);
  EXPECT_EQ(calls, 0);
}

// Goal: what comes and goes leaves nothing behind, though the hook is not called: a keeper of promises waits for the
// end of the loop, and a daemon makes one for each connection.
TEST(HookTest, ForgetsThoseWhoHaveGoneThoughItIsNotCalled) {
  TestHook hook;
  const auto first = hook.add([](int) {});
  std::size_t most = 0;
  for (int i = 0; i < 10'000; ++i) {
    const auto gone = hook.add([](int) {});
    most = std::max(most, hook.size());
  }
  EXPECT_LT(most, 10);
}

// Goal: a hook that is called again from within, as by a function that enqueues while it is told of an enqueue, still
// calls the rest of its functions after one of them was dropped there.
TEST(HookTest, MayBeCalledFromWithinWhileTokensAreDropped) {
  TestHook hook;
  std::vector<int> calls;
  std::optional<TestHook::Token> dropped = hook.add([](int) {});
  const auto nesting = hook.add([&](int value) {
    if (value == 0) return;
    dropped.reset();
    hook(value - 1);
  });
  const auto last = hook.add([&](int value) { calls.push_back(value); });
  hook(2);
  EXPECT_THAT(calls, ElementsAre(0, 1, 2));
}

}  // namespace
}  // namespace snowfox
