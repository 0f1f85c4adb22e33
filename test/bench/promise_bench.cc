// What a promise costs from its making to its continuation, alone and kept among many others.
#include <benchmark/benchmark.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include <snowfox/core/id_map.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>
#include <snowfox/promises/promise_keeper.h>
#include <snowfox/promises/task.h>

namespace snowfox {
namespace {

using namespace std::chrono_literals;

/// So many steps are queued before the loop runs: what a turn costs is not asked here.
constexpr int kBatch = 64;

void run_queued(LoopManager& loop) { loop.wait(Duration::zero()); }

void BM_PromiseSettleAndThen(benchmark::State& state) {
  LoopManager loop;
  std::vector<Promise<void>> done(kBatch);
  std::int64_t sum = 0;
  for (auto _ : state) {
    for (Promise<void>& place : done) {
      auto [promise, resolver] = make_promise<int>(loop);
      place = std::move(promise).then([&sum](int value) { sum += value; });
      resolver.resolve(1);
    }
    run_queued(loop);
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_PromiseSettleAndThen);

void BM_PromiseChainOfThree(benchmark::State& state) {
  LoopManager loop;
  std::vector<Promise<void>> done(kBatch);
  std::int64_t sum = 0;
  for (auto _ : state) {
    for (Promise<void>& place : done) {
      auto [promise, resolver] = make_promise<int>(loop);
      place = std::move(promise)
                  .then([](int value) { return value + 1; })
                  .then([&sum](int value) { sum += value; })
                  .finally([&sum] { ++sum; });
      resolver.resolve(1);
    }
    run_queued(loop);
  }
  benchmark::DoNotOptimize(sum);
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_PromiseChainOfThree);

/// A keeper in which so many wait, and the ids of them.
struct FullKeeper {
  explicit FullKeeper(std::size_t count) {
    kept.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      kept.emplace_back(ids.next(), Promise<void>());
      keep(kept.back());
    }
  }
  using Kept = std::pair<CorrelationId, Promise<void>>;
  void keep(Kept& place) {
    place.second = keeper.keep<int>(place.first).then([this](int value) { sum += value; });
  }

  LoopManager loop;
  CorrelationIdGenerator ids{"client"};
  PromiseKeeper keeper{loop, {.max_kept = 2'000'000}};
  std::int64_t sum = 0;
  std::vector<Kept> kept;
};

// One more is kept and answered at once: what a quick request costs while others wait.
void BM_KeeperKeepAndFulfill(benchmark::State& state) {
  FullKeeper full(static_cast<std::size_t>(state.range(0)));
  std::vector<FullKeeper::Kept> asked(kBatch);
  for (auto _ : state) {
    for (auto& place : asked) {
      place.first = full.ids.next();
      full.keep(place);
    }
    for (auto& place : asked) full.keeper.fulfill(place.first, 1);
    run_queued(full.loop);
  }
  benchmark::DoNotOptimize(full.sum);
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_KeeperKeepAndFulfill)->Arg(0)->Arg(100'000)->Arg(1'000'000);

// Any one of those that wait is answered, and another takes its place: hardly anything of it is in a cache.
void BM_KeeperFulfillAnyAndKeep(benchmark::State& state) {
  FullKeeper full(static_cast<std::size_t>(state.range(0)));
  std::mt19937 random(42);
  std::vector<std::uint32_t> order(1 << 20);
  for (auto& which : order) which = static_cast<std::uint32_t>(random() % full.kept.size());
  std::size_t next = 0;
  for (auto _ : state) {
    const std::size_t begin = next;
    for (int i = 0; i < kBatch; ++i) full.keeper.fulfill(full.kept[order[next++ % order.size()]].first, 1);
    run_queued(full.loop);
    for (std::size_t i = begin; i < next; ++i) {
      auto& place = full.kept[order[i % order.size()]];
      if (full.keeper.contains(place.first)) continue;
      place.first = full.ids.next();
      full.keep(place);
    }
  }
  benchmark::DoNotOptimize(full.sum);
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_KeeperFulfillAnyAndKeep)->Arg(100'000)->Arg(1'000'000);

Task<int> await(Promise<int> promise) { co_return co_await std::move(promise) + 1; }

void BM_TaskAwait(benchmark::State& state) {
  LoopManager loop;
  std::vector<Task<int>> tasks(kBatch);
  for (auto _ : state) {
    for (Task<int>& task : tasks) {
      auto [promise, resolver] = make_promise<int>(loop);
      task = await(std::move(promise));
      resolver.resolve(1);
    }
    run_queued(loop);
  }
  state.SetItemsProcessed(state.iterations() * kBatch);
}
BENCHMARK(BM_TaskAwait);

void BM_IdMapFind(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  IdMap<std::size_t> map;
  CorrelationIdGenerator ids("client");
  std::vector<CorrelationId> all(count);
  for (std::size_t i = 0; i < count; ++i) map.insert(all[i] = ids.next(), i);
  std::mt19937 random(42);
  std::vector<std::uint32_t> order(1 << 20);
  for (auto& which : order) which = static_cast<std::uint32_t>(random() % count);
  std::size_t next = 0;
  for (auto _ : state) benchmark::DoNotOptimize(map.find(all[order[next++ % order.size()]]));
}
BENCHMARK(BM_IdMapFind)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);

}  // namespace
}  // namespace snowfox
