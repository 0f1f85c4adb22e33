#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

namespace snowfox::peers {

/// Calls of malloc() and its kin so far, whoever made them: libraries in C have no operator new.
std::uint64_t allocations() noexcept;

/// Tells what one operation of a benchmark takes: time ("ns", in seconds as Google Benchmark has it) and allocations.
class Operations {
 public:
  explicit Operations(benchmark::State& state) noexcept : state_(state), before_(allocations()) {}
  ~Operations() {
    using benchmark::Counter;
    state_.counters["ns"] = Counter(static_cast<double>(count_), Counter::kIsRate | Counter::kInvert);
    state_.counters["allocations"] =
        count_ == 0 ? 0 : static_cast<double>(allocations() - before_ - not_counted_) / static_cast<double>(count_);
  }
  Operations(const Operations&) = delete;
  Operations& operator=(const Operations&) = delete;

  void done(std::uint64_t count) noexcept { count_ += count; }
  /// What is done between the two is not counted.
  void pause() {
    state_.PauseTiming();
    paused_at_ = allocations();
  }
  void resume() {
    not_counted_ += allocations() - paused_at_;
    state_.ResumeTiming();
  }

 private:
  benchmark::State& state_;
  std::uint64_t before_;
  std::uint64_t paused_at_ = 0;
  std::uint64_t not_counted_ = 0;
  std::uint64_t count_ = 0;
};

}  // namespace snowfox::peers
