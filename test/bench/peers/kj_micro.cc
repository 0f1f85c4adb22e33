// What posting, timers and promises cost with KJ.
#include <string>
#include <utility>
#include <kj/async-io.h>
#include <kj/map.h>

#include "micro.h"

namespace snowfox::peers {
namespace {

class Post {
 public:
  void run_chain(std::uint64_t count) { step(count).wait(io_.waitScope); }
  void run_batch(std::uint64_t count) {
    auto all = kj::heapArrayBuilder<kj::Promise<void>>(count);
    for (std::uint64_t i = 0; i < count; ++i) all.add(kj::evalLater([this] { ++handled_; }));
    kj::joinPromises(all.finish()).wait(io_.waitScope);
  }
  std::uint64_t handled() const noexcept { return handled_; }

 private:
  kj::Promise<void> step(std::uint64_t left) {
    return kj::evalLater([this, left]() -> kj::Promise<void> {
      ++handled_;
      if (left == 1) return kj::READY_NOW;
      return step(left - 1);
    });
  }

  kj::AsyncIoContext io_ = kj::setupAsyncIo();
  std::uint64_t handled_ = 0;
};

class Timers {
 public:
  explicit Timers(std::size_t count) : timers_(kj::heapArray<kj::Maybe<kj::Promise<void>>>(count)) {}
  void arm(std::size_t i, std::chrono::nanoseconds wait) {
    timers_[i] = io_.provider->getTimer()
                     .afterDelay(wait.count() * kj::NANOSECONDS)
                     .then([this] { ++expired_; })
                     .eagerlyEvaluate(nullptr);
  }
  void run_due() {
    io_.waitScope.poll();
    // poll() alone does not look at the clock unless there is something to wait for.
    kj::Promise<void>(kj::READY_NOW).wait(io_.waitScope);
  }
  std::size_t expired() const noexcept { return expired_; }

 private:
  kj::AsyncIoContext io_ = kj::setupAsyncIo();
  std::size_t expired_ = 0;
  kj::Array<kj::Maybe<kj::Promise<void>>> timers_;
};

void promise_and_continuation(benchmark::State& state) {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  std::uint64_t sum = 0;
  Operations operations(state);
  for (auto _ : state) {
    auto all = kj::heapArrayBuilder<kj::Promise<void>>(kBatch);
    for (std::uint64_t i = 0; i < kBatch; ++i) {
      auto pair = kj::newPromiseAndFulfiller<int>();
      all.add(pair.promise.then([&sum](int value) { sum += static_cast<unsigned>(value); }));
      pair.fulfiller->fulfill(1);
    }
    kj::joinPromises(all.finish()).wait(io.waitScope);
    operations.done(kBatch);
  }
  if (sum != static_cast<std::uint64_t>(state.iterations()) * kBatch) state.SkipWithError("some were lost");
}

void keep_and_settle(benchmark::State& state, std::size_t count) {
  kj::AsyncIoContext io = kj::setupAsyncIo();
  kj::Timer& timer = io.provider->getTimer();
  kj::HashMap<kj::String, kj::Own<kj::PromiseFulfiller<int>>> kept;
  std::uint64_t sum = 0;
  std::uint64_t next = 0;
  const auto next_id = [&next] { return "client/" + std::to_string(next++); };
  const auto keep = [&](const std::string& id) {
    auto pair = kj::newPromiseAndFulfiller<int>();
    kept.insert(kj::heapString(id.data(), id.size()), kj::mv(pair.fulfiller));
    return timer.timeoutAfter(30 * kj::SECONDS, kj::mv(pair.promise)).then([&sum](int value) {
      sum += static_cast<unsigned>(value);
    });
  };
  kj::Vector<kj::Promise<void>> others;
  for (std::size_t i = 0; i < count; ++i) others.add(keep(next_id()).eagerlyEvaluate(nullptr));
  std::vector<std::string> ids(kBatch);
  Operations operations(state);
  for (auto _ : state) {
    auto all = kj::heapArrayBuilder<kj::Promise<void>>(kBatch);
    for (std::string& id : ids) {
      id = next_id();
      all.add(keep(id));
    }
    for (const std::string& id : ids) {
      KJ_IF_MAYBE (entry, kept.findEntry(kj::StringPtr(id.c_str(), id.size()))) {
        entry->value->fulfill(1);
        kept.erase(*entry);
      }
    }
    kj::joinPromises(all.finish()).wait(io.waitScope);
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
