#include <snowfox/promises/promise.h>

#include <cstddef>
#include <cstdlib>
#include <new>

#include <gtest/gtest.h>

#include <snowfox/promises/promise_keeper.h>
#include <snowfox/promises/sleep.h>
#include <snowfox/promises/task.h>

#include "support/manual_loop.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SNOWFOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SNOWFOX_SANITIZED 1
#endif
#endif

// Under a sanitizer the pool takes each block from the heap, and operator new is the sanitizer's.
#ifndef SNOWFOX_SANITIZED

namespace {
thread_local std::size_t allocations = 0;

void* counted(std::size_t bytes) {
  ++allocations;
  if (void* block = std::malloc(bytes == 0 ? 1 : bytes)) return block;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void operator delete(void* block) noexcept { std::free(block); }
void operator delete[](void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete[](void* block, std::size_t) noexcept { std::free(block); }

namespace snowfox {
namespace {

using namespace std::chrono_literals;

class PromiseAllocationTest : public ::testing::Test, protected ManualLoop {
 protected:
  /// How many allocations a thousand calls of `step` make when it has been called as often before.
  template <typename Step>
  std::size_t allocations_of(Step step) {
    for (int i = 0; i < 1000; ++i) step();
    const std::size_t before = allocations;
    for (int i = 0; i < 1000; ++i) step();
    return allocations - before;
  }
};

TEST_F(PromiseAllocationTest, MakesNoneForAPromiseItsContinuationAndItsValue) {
  long sum = 0;
  EXPECT_EQ(allocations_of([&] {
              auto [promise, resolver] = make_promise<int>(loop);
              const auto done = std::move(promise).then([&](int value) { sum += value; }).finally([&] { ++sum; });
              resolver.resolve(1);
              turn();
            }),
            0);
  EXPECT_EQ(sum, 4000);
}

TEST_F(PromiseAllocationTest, MakesNoneForAPromiseThatIsKept) {
  PromiseKeeper keeper(loop);
  CorrelationIdGenerator ids("client");
  long sum = 0;
  EXPECT_EQ(allocations_of([&] {
              const CorrelationId id = ids.next();
              const auto done = keeper.keep<int>(id).then([&](int value) { sum += value; });
              keeper.fulfill(id, 1);
              turn();
            }),
            0);
  EXPECT_EQ(sum, 2000);
}

Task<int> sleep_and_count(LoopManager& loop, int& sum) {
  co_await sleep(loop, 1ms);
  co_return ++sum;
}

TEST_F(PromiseAllocationTest, MakesNoneForATask) {
  int sum = 0;
  EXPECT_EQ(allocations_of([&] {
              sleep_and_count(loop, sum).detach(loop);
              pass(2ms);
            }),
            0);
  EXPECT_EQ(sum, 2000);
}

}  // namespace
}  // namespace snowfox

#endif
