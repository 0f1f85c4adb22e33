// What posting, timers and promises cost with SnowFox.
#include <memory>
#include <utility>
#include <vector>

#include <snowfox/core/correlation_id.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>
#include <snowfox/promises/promise_keeper.h>
#include <snowfox/sources/manual_source.h>

#include "micro.h"

namespace snowfox::peers {
namespace {

class Post {
 public:
  void run_chain(std::uint64_t count) {
    left_ = count;
    source_.post(std::make_unique<Step>(*this));
    loop_.run();
  }
  void run_batch(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) source_.post(std::make_unique<Single>(handled_));
    source_.post([this] { loop_.stop(); });
    loop_.run();
  }
  std::uint64_t handled() const noexcept { return handled_; }

 private:
  class Step final : public Event {
   public:
    explicit Step(Post& post) noexcept : post_(post) {}
    void handle() override {
      ++post_.handled_;
      if (--post_.left_ == 0) return post_.loop_.stop();
      post_.source_.post(std::make_unique<Step>(post_));
    }

   private:
    Post& post_;
  };
  class Single final : public Event {
   public:
    explicit Single(std::uint64_t& handled) noexcept : handled_(handled) {}
    void handle() override { ++handled_; }

   private:
    std::uint64_t& handled_;
  };

  LoopManager loop_;
  ManualSource source_{loop_};
  std::uint64_t handled_ = 0;
  std::uint64_t left_ = 0;
};

class Timers {
 public:
  explicit Timers(std::size_t count) : timers_(std::make_unique<Counting[]>(count)) {
    for (std::size_t i = 0; i < count; ++i) timers_[i].expired = &expired_;
  }
  void arm(std::size_t i, Duration wait) { loop_.arm(timers_[i], wait); }
  void run_due() { loop_.wait(Duration::zero()); }
  std::size_t expired() const noexcept { return expired_; }

 private:
  struct Counting final : Timer {
    std::size_t* expired = nullptr;
    void expire() noexcept override { ++*expired; }
  };

  std::size_t expired_ = 0;
  LoopManager loop_;
  std::unique_ptr<Counting[]> timers_;
};

void promise_and_continuation(benchmark::State& state) {
  LoopManager loop;
  std::vector<Promise<void>> done(kBatch);
  std::uint64_t sum = 0;
  Operations operations(state);
  for (auto _ : state) {
    for (Promise<void>& place : done) {
      auto [promise, resolver] = make_promise<int>(loop);
      place = std::move(promise).then([&sum](int value) { sum += static_cast<unsigned>(value); });
      resolver.resolve(1);
    }
    loop.wait(Duration::zero());
    operations.done(kBatch);
  }
  if (sum != static_cast<std::uint64_t>(state.iterations()) * kBatch) state.SkipWithError("some were lost");
}

void keep_and_settle(benchmark::State& state, std::size_t count) {
  LoopManager loop;
  PromiseKeeper keeper(loop);
  CorrelationIdGenerator ids("client");
  std::uint64_t sum = 0;
  const auto keep = [&](const CorrelationId& id) {
    return keeper.keep<int>(id).then([&sum](int value) { sum += static_cast<unsigned>(value); });
  };
  std::vector<Promise<void>> others;
  for (std::size_t i = 0; i < count; ++i) others.push_back(keep(ids.next()));
  std::vector<std::pair<CorrelationId, Promise<void>>> asked(kBatch);
  Operations operations(state);
  for (auto _ : state) {
    for (auto& [id, promise] : asked) {
      id = ids.next();
      promise = keep(id);
    }
    for (auto& [id, promise] : asked) keeper.fulfill(id, 1);
    loop.wait(Duration::zero());
    operations.done(kBatch);
  }
  if (sum != static_cast<std::uint64_t>(state.iterations()) * kBatch) state.SkipWithError("some were lost");
}

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  register_posts<Post>();
  register_timers<Timers>();
  benchmark::RegisterBenchmark("promise, settled, continuation", promise_and_continuation);
  benchmark::RegisterBenchmark("kept by id, settled, continuation, beside 100k", keep_and_settle, std::size_t{100'000});
  return run_benchmarks(argc, argv);
}
