#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "allocations.h"

/// What the micro-benchmarks of all libraries do alike. Each library has a program of its own, with two classes:
///
/// - Post: `run_chain(n)` posts a handler that posts the next, and so on, n in all; `run_batch(n)` posts n handlers.
/// Both
///   return when all have been called. `handled()` is how many have been in all.
/// - Timers, so many: `arm(i, wait)`, also one that is armed; `run_due()` lets those expire whose time has come;
///   `expired()` is how many have in all.
namespace snowfox::peers {

inline constexpr std::uint64_t kBatch = 1000;

/// One after the other: each handler posts the next.
template <typename Post>
void post_and_handle_chain(benchmark::State& state) {
  Post post;
  Operations operations(state);
  for (auto _ : state) {
    post.run_chain(kBatch);
    operations.done(kBatch);
  }
  if (post.handled() != static_cast<std::uint64_t>(state.iterations()) * kBatch) state.SkipWithError("some were lost");
}

/// So many are posted before the first is handled.
template <typename Post>
void post_and_handle_batch(benchmark::State& state) {
  Post post;
  Operations operations(state);
  for (auto _ : state) {
    post.run_batch(kBatch);
    operations.done(kBatch);
  }
  if (post.handled() != static_cast<std::uint64_t>(state.iterations()) * kBatch) state.SkipWithError("some were lost");
}

/// A timer that is armed, any of so many, is disarmed and armed anew.
template <typename Timers>
void timer_cancel_and_arm(benchmark::State& state, std::size_t count) {
  constexpr std::size_t kSteps = 1 << 16;
  constexpr std::int64_t kMost = 600'000'000'000;
  std::mt19937_64 random(42);
  std::uniform_int_distribution<std::int64_t> within(60'000'000'000, kMost);
  Timers timers(count);
  for (std::size_t i = 0; i < count; ++i) timers.arm(i, std::chrono::nanoseconds(within(random)));
  timers.run_due();
  std::vector<std::pair<std::size_t, std::chrono::nanoseconds>> steps(kSteps);
  for (auto& step : steps) step = {random() % count, std::chrono::nanoseconds(within(random))};
  std::size_t i = 0;
  Operations operations(state);
  for (auto _ : state) {
    const auto& [which, wait] = steps[i++ % kSteps];
    timers.arm(which, wait);
    // What a library does later because of a timer that was disarmed is part of the cost.
    if (i % 64 == 0) timers.run_due();
    operations.done(1);
  }
}

/// So many, all of them due: what it costs until each has called its handler.
template <typename Timers>
void timer_expiry(benchmark::State& state, std::size_t count) {
  std::mt19937_64 random(42);
  std::uniform_int_distribution<std::int64_t> within(0, 20'000'000);
  const auto arm_all = [&](Timers& timers, std::chrono::nanoseconds not_before) {
    const auto began = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < count; ++i) timers.arm(i, not_before + std::chrono::nanoseconds(within(random)));
    timers.run_due();
    return std::chrono::steady_clock::now() - began;
  };
  // None is to expire while the others are being armed, so how long that takes is tried.
  std::chrono::nanoseconds arming = std::chrono::milliseconds(20);
  {
    Timers timers(count);
    arming += 3 * arm_all(timers, std::chrono::hours(1));
  }
  Operations operations(state);
  for (auto _ : state) {
    operations.pause();
    {
      Timers timers(count);
      const auto took = arm_all(timers, arming);
      const std::size_t early = timers.expired();
      // The last was armed when `took` was over.
      std::this_thread::sleep_for(std::max<std::chrono::nanoseconds>(arming, took) + std::chrono::milliseconds(30));
      operations.resume();
      while (timers.expired() < count) timers.run_due();
      operations.pause();
      operations.done(count - early);
    }
    operations.resume();
  }
}

template <typename Post>
void register_posts() {
  benchmark::RegisterBenchmark("post and handle, one after another", post_and_handle_chain<Post>);
  benchmark::RegisterBenchmark("post and handle, batch of 1000", post_and_handle_batch<Post>);
}

template <typename Timers>
void register_timers() {
  constexpr std::size_t kMany = 100'000;
  constexpr std::size_t kMillion = 1'000'000;
  using benchmark::RegisterBenchmark;
  RegisterBenchmark("timer disarmed and armed, among 100k", timer_cancel_and_arm<Timers>, kMany);
  RegisterBenchmark("timer disarmed and armed, among 1M", timer_cancel_and_arm<Timers>, kMillion);
  RegisterBenchmark("timer expires, of 100k", timer_expiry<Timers>, kMany)->Iterations(2);
  RegisterBenchmark("timer expires, of 1M", timer_expiry<Timers>, kMillion)->Iterations(1);
}

inline int run_benchmarks(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace snowfox::peers
