#include <snowfox/promises/task.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>
#include <snowfox/promises/promise_keeper.h>
#include <snowfox/promises/request.h>
#include <snowfox/promises/run_on_worker.h>
#include <snowfox/promises/sleep.h>

#include "support/manual_loop.h"

#include "thrown.h"

namespace snowfox {
namespace {

using ::testing::ElementsAre;

class TaskTest : public ::testing::Test, protected ManualLoop {};

/// Counts how often one of it is made and destroyed.
struct Counted {
  struct Balance {
    int made = 0;
    int destroyed = 0;
  };
  explicit Counted(Balance& balance) : balance_(&balance) { ++balance_->made; }
  Counted(const Counted& other) : balance_(other.balance_) { ++balance_->made; }
  Counted& operator=(const Counted&) = delete;
  ~Counted() { ++balance_->destroyed; }

 private:
  Balance* balance_;
};

Task<int> answer() { co_return 42; }

Task<int> sum(Promise<int> left, Promise<int> right) {
  const int first = co_await std::move(left);
  co_return first + co_await std::move(right);
}

Task<void> note(Promise<void> until, std::vector<std::string>& notes) {
  notes.emplace_back("begun");
  co_await std::move(until);
  notes.emplace_back("resumed");
}

TEST_F(TaskTest, RunsAtOnceToItsEndIfItWaitsForNothing) {
  Task<int> task = answer();
  EXPECT_TRUE(task.done());
  int seen = 0;
  const auto done = std::move(task).promise(loop).then([&](int value) { seen = value; });
  turn();
  EXPECT_EQ(seen, 42);
}

TEST_F(TaskTest, RunsAtOnceToItsFirstWaitAndIsResumedByTheLoop) {
  std::vector<std::string> notes;
  auto [promise, resolver] = make_promise<void>(loop);
  const Task<void> task = note(std::move(promise), notes);
  EXPECT_THAT(notes, ElementsAre("begun"));
  resolver.resolve();
  EXPECT_THAT(notes, ElementsAre("begun"));
  turn();
  EXPECT_THAT(notes, ElementsAre("begun", "resumed"));
  EXPECT_TRUE(task.done());
}

TEST_F(TaskTest, WaitsForEachPromiseInTurn) {
  auto [left, left_resolver] = make_promise<int>(loop);
  auto [right, right_resolver] = make_promise<int>(loop);
  const Task<int> task = sum(std::move(left), std::move(right));
  right_resolver.resolve(2);
  turn();
  EXPECT_FALSE(task.done());
  left_resolver.resolve(1);
  turn();
  EXPECT_TRUE(task.done());
}

TEST_F(TaskTest, DoesNotSuspendForWhatIsSettled) { EXPECT_TRUE(sum(resolved(loop, 1), resolved(loop, 2)).done()); }

Task<int> add_one(Task<int> inner) { co_return 1 + co_await std::move(inner); }

TEST_F(TaskTest, WaitsForAnotherTask) {
  auto [left, left_resolver] = make_promise<int>(loop);
  int seen = 0;
  const auto done =
      add_one(add_one(sum(std::move(left), resolved(loop, 10)))).promise(loop).then([&](int value) { seen = value; });
  left_resolver.resolve(1);
  turn();
  EXPECT_EQ(seen, 13);
}

Task<std::string> error_of(Promise<int> promise) {
  try {
    co_await std::move(promise);
  } catch (const std::exception& error) {
    co_return error.what();
  }
  co_return "none";
}

TEST_F(TaskTest, ThrowsARejectionWhereItIsAwaited) {
  auto [promise, resolver] = make_promise<int>(loop);
  std::string seen;
  const auto done = error_of(std::move(promise)).promise(loop).then([&](const std::string& text) { seen = text; });
  resolver.reject(std::runtime_error("no luck"));
  turn();
  EXPECT_EQ(seen, "no luck");
}

TEST_F(TaskTest, RejectsWithWhatTheCoroutineThrows) {
  auto [promise, resolver] = make_promise<int>(loop);
  std::string seen;
  const auto done = add_one(sum(std::move(promise), resolved(loop, 1)))
                        .promise(loop)
                        .then([](int) {})
                        .otherwise([&](const std::exception_ptr& error) { seen = describe(error); });
  resolver.reject(std::runtime_error("no luck"));
  turn();
  EXPECT_EQ(seen, "no luck");
}

// --- cancelling ---

Task<void> hold_and_wait(Promise<void> promise, std::shared_ptr<int> held, bool& resumed) {
  const std::weak_ptr<int> watched = held;
  const std::shared_ptr<int> local = watched.lock();
  co_await std::move(promise);
  resumed = true;
}

TEST_F(TaskTest, DestroysItsVariablesAndDropsWhatItWaitsForWhenItIsDestroyed) {
  auto [promise, resolver] = make_promise<void>(loop);
  const auto held = std::make_shared<int>();
  bool resumed = false;
  {
    const Task<void> task = hold_and_wait(std::move(promise), held, resumed);
    EXPECT_TRUE(resolver.wanted());
    EXPECT_EQ(held.use_count(), 3);
  }
  EXPECT_FALSE(resolver.wanted());
  EXPECT_EQ(held.use_count(), 1);
  resolver.resolve();
  turn();
  EXPECT_FALSE(resumed);
}

TEST_F(TaskTest, IsNotResumedIfItIsDestroyedWhileQueued) {
  auto [promise, resolver] = make_promise<void>(loop);
  const auto held = std::make_shared<int>();
  bool resumed = false;
  {
    const Task<void> task = hold_and_wait(std::move(promise), held, resumed);
    resolver.resolve();
  }
  turn();
  EXPECT_FALSE(resumed);
  EXPECT_EQ(held.use_count(), 1);
}

struct NotesItsEnd {
  std::vector<std::string>& notes;
  std::string name;
  ~NotesItsEnd() { notes.push_back(name); }
};

Task<void> inner_task(Promise<void> promise, std::vector<std::string>& notes) {
  const NotesItsEnd local{notes, "inner"};
  co_await std::move(promise);
}
Task<void> outer_task(Promise<void> promise, std::vector<std::string>& notes) {
  const NotesItsEnd local{notes, "outer"};
  co_await inner_task(std::move(promise), notes);
}

// Goal: an inner coroutine may refer to variables of the one that awaits it, also while both are cancelled.
TEST_F(TaskTest, IsDestroyedAfterTheTaskThatItWaitsFor) {
  std::vector<std::string> notes;
  auto [promise, resolver] = make_promise<void>(loop);
  { const Task<void> task = outer_task(std::move(promise), notes); }
  EXPECT_THAT(notes, ElementsAre("inner", "outer"));
}

Task<void> drop_itself(Promise<void> promise, Task<void>& itself, std::shared_ptr<int> held, bool& went_on) {
  co_await std::move(promise);
  itself = Task<void>();
  went_on = held.use_count() > 1;
}

TEST_F(TaskTest, MayBeDestroyedByItself) {
  auto [promise, resolver] = make_promise<void>(loop);
  const auto held = std::make_shared<int>();
  Task<void> task;
  bool went_on = false;
  task = drop_itself(std::move(promise), task, held, went_on);
  resolver.resolve();
  turn();
  EXPECT_TRUE(went_on);
  EXPECT_EQ(held.use_count(), 1);
}

Task<int> deeper(Task<int> inner) { co_return 1 + co_await std::move(inner); }

TEST_F(TaskTest, EndsAHundredThousandWaitingForEachOtherWithoutRecursion) {
  auto [promise, resolver] = make_promise<int>(loop);
  Task<int> task = sum(std::move(promise), resolved(loop, 0));
  for (int i = 0; i < 100'000; ++i) task = deeper(std::move(task));
  resolver.resolve(0);
  int seen = 0;
  const auto done = std::move(task).promise(loop).then([&](int value) { seen = value; });
  turn();
  EXPECT_EQ(seen, 100'000);
}

TEST_F(TaskTest, DestroysAHundredThousandWaitingForEachOtherWithoutRecursion) {
  auto [promise, resolver] = make_promise<int>(loop);
  {
    Task<int> task = sum(std::move(promise), resolved(loop, 0));
    for (int i = 0; i < 100'000; ++i) task = deeper(std::move(task));
  }
  EXPECT_FALSE(resolver.wanted());
}

// --- nobody waits ---

TEST_F(TaskTest, RunsToItsEndWhenDetached) {
  auto [promise, resolver] = make_promise<void>(loop);
  const auto held = std::make_shared<int>();
  bool resumed = false;
  hold_and_wait(std::move(promise), held, resumed).detach(loop);
  resolver.resolve();
  turn();
  EXPECT_TRUE(resumed);
  EXPECT_EQ(held.use_count(), 1);
}

Task<void> sleep_twice(LoopManager& loop, std::shared_ptr<int>) {
  co_await sleep(loop, std::chrono::seconds(1));
  co_await sleep(loop, std::chrono::hours(1));
}

TEST_F(TaskTest, GoesWithTheLoopIfItIsDetachedAndUnfinished) {
  const auto held = std::make_shared<int>();
  {
    ManualLoop other;
    sleep_twice(other.loop, held).detach(other.loop);
    other.pass(std::chrono::seconds(2));
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
}

/// Fails without having waited.
Task<void> throw_at_once(std::exception_ptr error) {
  if (error != nullptr) std::rethrow_exception(error);
  co_return;
}

TEST_F(TaskTest, LogsWhatLeavesItWhenDetached) {
  throw_at_once(std::make_exception_ptr(std::runtime_error("no luck"))).detach(loop, CorrelationId("client-7/42"));
  EXPECT_EQ(loop.counters().unhandled_rejections, 1);
  ASSERT_EQ(sink.lines.size(), 1);
  EXPECT_EQ(sink.lines[0].fields["error"], "no luck");
  EXPECT_EQ(sink.lines[0].correlation_id, "client-7/42");
}

TEST_F(TaskTest, HasTheIdOfWhatItWaitedForFirst) {
  auto [promise, resolver] = make_promise<int>(loop, CorrelationId("client-7/42"));
  const auto done = sum(std::move(promise), resolved(loop, 0)).promise(loop);
  EXPECT_EQ(done.id().text(), "client-7/42");
}

Task<void> exit_after(Promise<void> promise) {
  co_await std::move(promise);
  throw CleanExit();
}

TEST_F(TaskTest, EndsTheLoopByCleanExitThoughItIsOwned) {
  auto [promise, resolver] = make_promise<void>(loop);
  const Task<void> task = exit_after(std::move(promise));
  resolver.resolve();
  turn();
  EXPECT_TRUE(loop.stopping());
}

TEST_F(TaskTest, EndsTheLoopByCleanExitBeforeItsFirstWait) {
  throw_at_once(std::make_exception_ptr(CleanExit())).detach(loop);
  EXPECT_TRUE(loop.stopping());
}

// --- with continuations ---

TEST_F(TaskTest, IsWaitedForWhenAContinuationReturnsIt) {
  auto [promise, resolver] = make_promise<int>(loop);
  int seen = 0;
  const auto done = resolved(loop)
                        .then([&promise = promise, this] { return sum(std::move(promise), resolved(loop, 1)); })
                        .then([&](int value) { seen = value; });
  turn();
  EXPECT_EQ(seen, 0);
  resolver.resolve(1);
  turn();
  EXPECT_EQ(seen, 2);
}

// Goal: `then` with a lambda that is a coroutine is what one writes first. Its captures live in the lambda, not in the
// coroutine, so the lambda must be kept.
TEST_F(TaskTest, MayUseWhatALambdaGivenToThenHasCaptured) {
  auto [promise, resolver] = make_promise<void>(loop);
  std::string seen;
  const auto done = resolved(loop)
                        .then([&promise = promise,
                               text = std::string("a text too long to be held inside of it")]() -> Task<std::string> {
                          co_await std::move(promise);
                          co_return text;
                        })
                        .then([&](const std::string& text) { seen = text; });
  turn();
  resolver.resolve();
  turn();
  EXPECT_EQ(seen, "a text too long to be held inside of it");
}

TEST_F(TaskTest, KeepsALambdaThoughItsPromiseIsFollowed) {
  auto [promise, resolver] = make_promise<void>(loop);
  std::string seen;
  const auto done =
      resolved(loop)
          .then([this, &promise = promise] {
            return resolved(loop).then(
                [&promise, text = std::string("a text too long to be held inside of it")]() -> Task<std::string> {
                  co_await std::move(promise);
                  co_return text;
                });
          })
          .then([&](const std::string& text) { seen = text; });
  turn();
  resolver.resolve();
  turn();
  EXPECT_EQ(seen, "a text too long to be held inside of it");
}

// --- what a compiler may get wrong ---

struct Message {
  explicit Message(Counted::Balance& balance) : counted(balance) {}
  void set_correlation_id(const std::string& text) { id = CorrelationId(text); }
  Counted counted;
  CorrelationId id;
};
struct KeepsLast {
  void enqueue(const Message& message) { last = message.id; }
  CorrelationId last;
};

Task<void> await_what_temporaries_make(LoopManager& loop, PromiseKeeper& keeper, KeepsLast& drain,
                                       Counted::Balance& balance) {
  co_await resolved(loop, Counted(balance));
  const Counted received = co_await resolved(loop).then([&balance] { return Counted(balance); });
  const CorrelationId id("client-7/42");
  co_await request<Counted>(keeper, drain, Message(balance), {.deadline = std::chrono::seconds(5), .id = id});
  auto named = [counted = Counted(balance)] {};
  co_await resolved(loop).then(std::move(named));
  co_await with_deadline(resolved(loop, Counted(balance)), std::chrono::seconds(5));
}

// Goal: g++ 12 destroys some temporaries of a co_await expression twice; none that our functions take or make.
TEST_F(TaskTest, DestroysWhatIsMadeInAnAwaitExpressionOnce) {
  Counted::Balance balance;
  PromiseKeeper keeper(loop);
  KeepsLast drain;
  {
    const Task<void> task = await_what_temporaries_make(loop, keeper, drain, balance);
    turn();
    ASSERT_EQ(drain.last.text(), "client-7/42");
    keeper.fulfill(drain.last, Counted(balance));
    turn();
    EXPECT_TRUE(task.done());
  }
  EXPECT_GT(balance.made, 0);
  EXPECT_EQ(balance.made, balance.destroyed);
}

Task<int> await_worker(LoopManager& loop, Counted::Balance& balance) {
  co_return co_await run_on_worker(
      loop, [](const Counted&, int value) { return value + 1; }, Counted(balance), 41);
}

TEST_F(TaskTest, DestroysTheArgumentsOfAWorkerOnce) {
  LoopManager threaded;
  Counted::Balance balance;
  int seen = 0;
  {
    const auto done = await_worker(threaded, balance).promise(threaded).then([&](int value) { seen = value; });
    threaded.run();
  }
  EXPECT_EQ(seen, 42);
  EXPECT_GT(balance.made, 0);
  EXPECT_EQ(balance.made, balance.destroyed);
}

struct Place {
  std::array<std::byte, 4096> bytes{};
};
Task<int> read_first(Place* place) { co_return std::to_integer<int>(place->bytes[0]); }

// Goal: a placement operator new in scope would be taken for the frame of a coroutine whose only argument is a pointer.
TEST_F(TaskTest, DoesNotBuildItsFrameWhereAPointerArgumentPointsTo) {
  auto place = std::make_unique<Place>();
  EXPECT_TRUE(read_first(place.get()).done());
  EXPECT_EQ(place->bytes, Place().bytes);
}

}  // namespace
}  // namespace snowfox
