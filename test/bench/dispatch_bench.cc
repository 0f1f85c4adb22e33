// What an event costs from being posted to having been handled, and what a source costs that has nothing.
#include <benchmark/benchmark.h>

#include <snowfox/core/loop_manager.h>
#include <snowfox/core/null_drain.h>
#include <snowfox/sources/manual_source.h>

namespace snowfox {
namespace {

class CountingEvent final : public Event {
 public:
  explicit CountingEvent(std::uint64_t& count) : count_(count) {}
  void handle() override { ++count_; }

 private:
  std::uint64_t& count_;
};

// One event after another: post, then wait and dispatch, as handlers that post the next step do.
void BM_PostAndHandleSingle(benchmark::State& state) {
  LoopManager loop;
  ManualSource source(loop);
  std::uint64_t count = 0;
  for (auto _ : state) {
    source.post(std::make_unique<CountingEvent>(count));
    loop.dispatch(loop.wait(Duration::zero()));
  }
  if (count != static_cast<std::uint64_t>(state.iterations())) state.SkipWithError("events were lost");
}
BENCHMARK(BM_PostAndHandleSingle);

void BM_PostAndHandleBatch(benchmark::State& state) {
  LoopManager loop;
  ManualSource source(loop);
  std::uint64_t count = 0;
  const auto batch = static_cast<std::uint64_t>(state.range(0));
  for (auto _ : state) {
    for (std::uint64_t i = 0; i < batch; ++i) source.post(std::make_unique<CountingEvent>(count));
    for (std::uint64_t i = 0; i < batch; ++i) loop.dispatch(loop.wait(Duration::zero()));
  }
  const auto handled = static_cast<std::uint64_t>(state.iterations()) * batch;
  if (count != handled) state.SkipWithError("events were lost");
  state.SetItemsProcessed(static_cast<std::int64_t>(handled));
}
BENCHMARK(BM_PostAndHandleBatch)->Arg(1000);

// The same with so many other sources in the loop that wait for something: the cost must not grow with them.
void BM_PostAndHandleBesideIdle(benchmark::State& state) {
  LoopManager loop;
  std::vector<std::unique_ptr<ManualSource>> idle(static_cast<std::size_t>(state.range(0)));
  for (auto& one : idle) one = std::make_unique<ManualSource>(loop);
  ManualSource source(loop);
  std::uint64_t count = 0;
  for (auto _ : state) {
    source.post(std::make_unique<CountingEvent>(count));
    loop.dispatch(loop.wait(Duration::zero()));
  }
}
BENCHMARK(BM_PostAndHandleBesideIdle)->Arg(0)->Arg(10'000);

void BM_CorrelationIdNext(benchmark::State& state) {
  CorrelationIdGenerator ids;
  for (auto _ : state) benchmark::DoNotOptimize(ids.next());
}
BENCHMARK(BM_CorrelationIdNext);

}  // namespace
}  // namespace snowfox
