// What a timer costs with many others outstanding.
#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>
#include <random>

#include <snowfox/core/timer.h>

namespace snowfox {
namespace {

using namespace std::chrono_literals;

class CountingTimer final : public Timer {
 public:
  static inline std::uint64_t expired = 0;

 private:
  void expire() noexcept override { ++expired; }
};

struct Outstanding {
  explicit Outstanding(std::size_t count) : timers(std::make_unique<CountingTimer[]>(count)), size(count) {
    std::uniform_int_distribution<std::int64_t> within(1, Duration(60s).count());
    for (std::size_t i = 0; i < count; ++i) wheel.arm(timers[i], now + Duration(within(random)));
  }
  std::mt19937_64 random{42};
  TimePoint now{1h};
  TimerWheel wheel{now};
  std::unique_ptr<CountingTimer[]> timers;
  std::size_t size;
};

void BM_TimerCancelAndArm(benchmark::State& state) {
  Outstanding outstanding(static_cast<std::size_t>(state.range(0)));
  std::uniform_int_distribution<std::int64_t> within(1, Duration(60s).count());
  std::uniform_int_distribution<std::size_t> which(0, outstanding.size - 1);
  std::vector<std::pair<std::size_t, Duration>> steps(1 << 16);
  for (auto& step : steps) step = {which(outstanding.random), Duration(within(outstanding.random))};
  std::size_t i = 0;
  for (auto _ : state) {
    const auto& [index, wait] = steps[i++ & (steps.size() - 1)];
    outstanding.timers[index].disarm();
    outstanding.wheel.arm(outstanding.timers[index], outstanding.now + wait);
  }
}
BENCHMARK(BM_TimerCancelAndArm)->Arg(100'000)->Arg(1'000'000);

// All expire, within a minute that is gone through in steps of a millisecond; what is told is the time for one.
void BM_TimerExpiry(benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    auto outstanding = std::make_unique<Outstanding>(count);
    CountingTimer::expired = 0;
    state.ResumeTiming();
    for (TimePoint now = outstanding->now; CountingTimer::expired < count; now += 1ms) {
      outstanding->wheel.expire(now, count);
    }
    state.PauseTiming();
    outstanding.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_TimerExpiry)->Arg(100'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace snowfox
