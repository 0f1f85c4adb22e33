#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/poller.h>
#include <snowfox/core/pool.h>
#include <snowfox/promises/promise.h>

namespace snowfox {

class WorkerJob;

/// How many functions may be on their way to, on, or on their way back from the worker threads at a time.
class WorkerLimit {
 public:
  explicit WorkerLimit(std::size_t most) noexcept : most_(most) {}
  WorkerLimit(const WorkerLimit&) = delete;
  WorkerLimit& operator=(const WorkerLimit&) = delete;

  std::size_t outstanding() const noexcept { return outstanding_; }
  bool reached() const noexcept { return outstanding_ >= most_; }

 private:
  friend class WorkerJob;
  std::size_t most_;
  std::size_t outstanding_ = 0;
  IntrusiveList<WorkerJob, WorkerJob> calls_;  // so that they may outlive the limit
};

/// A function on its way over a worker thread. It owns itself from start() until it is back on the loop, whether its
/// promise is still wanted then or not.
class WorkerJob : public Work, public ListNode<WorkerJob>, public PromiseProducer, public Pooled {
 public:
  /// Throws what Poller::submit throws.
  static void start(std::unique_ptr<WorkerJob> call, WorkerLimit* limit);
  ~WorkerJob() override;

 protected:
  WorkerJob(LoopManager& loop, PromiseState& state) noexcept;

 private:
  void run() noexcept final;
  void done() noexcept final;
  void on_abandoned(const CorrelationId& id) noexcept final;

  /// On the thread: computes the result, and keeps it.
  virtual void compute() = 0;
  /// On the loop: stores the result in the promise's state.
  virtual void store(PromiseState& state) = 0;

  LoopManager& loop_;
  WorkerLimit* limit_ = nullptr;
  std::exception_ptr error_;
  std::atomic<bool> wanted_ = true;
};

template <typename F, typename... Arguments>
class WorkerCall final : public WorkerJob {
 public:
  using Result = std::decay_t<std::invoke_result_t<F, Arguments...>>;

  template <typename G, typename... A>
  explicit WorkerCall(LoopManager& loop, ValueState<Result>& state, G&& function, A&&... arguments)
      : WorkerJob(loop, state), call_(std::forward<G>(function), std::forward<A>(arguments)...) {}

 private:
  static_assert(!Returned<Result>::kIsPromise, "promises belong to the loop's thread");

  void compute() override {
    if constexpr (std::is_void_v<Result>) {
      invoke();
    } else {
      result_.emplace(invoke());
    }
  }
  void store(PromiseState& state) override {
    auto& typed = static_cast<ValueState<Result>&>(state);
    if constexpr (std::is_void_v<Result>) {
      typed.emplace();
    } else {
      typed.emplace(std::move(*result_));
    }
  }
  decltype(auto) invoke() {
    return std::apply(
        [](F& function, Arguments&... arguments) -> decltype(auto) {
          return std::invoke(std::move(function), std::move(arguments)...);
        },
        call_);
  }

  std::tuple<F, Arguments...> call_;
  std::optional<typename ValueState<Result>::Value> result_;
};

/// Calls `function(arguments...)` on a thread of the poller's pool and gives what it returns or throws. Function and
/// arguments are moved or copied into the call and destroyed on the loop's thread, when the call is over. Dropping the
/// promise does not end a function that runs, but one that has not begun is not begun any more. Until it is back, run()
/// does not return. Throws what Poller::submit throws.
///
/// In a co_await expression, give what the function needs as arguments rather than captures; see Task.
template <typename F, typename... Arguments>
requires std::invocable<std::decay_t<F>, std::decay_t<Arguments>...>
auto run_on_worker(LoopManager& loop, F&& function, Arguments&&... arguments) {
  using Call = WorkerCall<std::decay_t<F>, std::decay_t<Arguments>...>;
  Promise<typename Call::Result> promise(new ValueState<typename Call::Result>(&loop));
  WorkerJob::start(
      std::make_unique<Call>(loop, *promise.state(), std::forward<F>(function), std::forward<Arguments>(arguments)...),
      nullptr);
  return promise;
}
/// The same, but when `limit` is reached the promise is rejected with Errc::LimitReached, and nothing is called.
template <typename F, typename... Arguments>
requires std::invocable<std::decay_t<F>, std::decay_t<Arguments>...>
auto run_on_worker(LoopManager& loop, WorkerLimit& limit, F&& function, Arguments&&... arguments) {
  using Call = WorkerCall<std::decay_t<F>, std::decay_t<Arguments>...>;
  Promise<typename Call::Result> promise(new ValueState<typename Call::Result>(&loop));
  if (limit.reached()) return rejected<typename Call::Result>(loop, make_error_code(Errc::LimitReached));
  WorkerJob::start(
      std::make_unique<Call>(loop, *promise.state(), std::forward<F>(function), std::forward<Arguments>(arguments)...),
      &limit);
  return promise;
}

}  // namespace snowfox
