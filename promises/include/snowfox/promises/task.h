#pragma once

#include <cassert>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <type_traits>
#include <utility>

#include <snowfox/promises/promise.h>

namespace snowfox {

/// What a coroutine's frame holds besides its variables: the state of the promise that the task stands for.
template <typename T>
class TaskFrame : public ValueState<T> {
 public:
  TaskFrame() noexcept : ValueState<T>(nullptr) {}

  // No other: by Pooled's placement form a coroutine that takes a pointer would build its frame in what that points to.
  static void* operator new(std::size_t bytes) { return pool_allocate(bytes); }
  static void operator delete(void* block, std::size_t bytes) noexcept { pool_free(block, bytes); }

  std::suspend_never initial_suspend() const noexcept { return {}; }
  std::suspend_always final_suspend() const noexcept { return {}; }
  void unhandled_exception() noexcept {
    this->forget_value();  // there is one if a variable's destructor has thrown after co_return
    this->fail(std::current_exception());
  }

 protected:
  void resume(std::coroutine_handle<> coroutine) noexcept {
    this->begin();
    coroutine.resume();
    this->end();
  }
};

/// A coroutine that computes a T (or void) and may wait on the way: for a promise or another task, by
/// `co_await std::move(promise)` or `co_await make_one()`. It begins at once, inside the call, and runs to its first
/// wait; the loop resumes it, right after the event being handled, never the call that settles what it waits for. If
/// that is settled already, it does not wait.
///
/// The task owns the coroutine: destroying it unfinished destroys the coroutine's variables, after what it waits for,
/// and nothing of it runs any more. Parameters by reference, and `this` and what is captured if it is a member or
/// lambda, must outlive it. An exception that leaves the coroutine is thrown where it is awaited; CleanExit and
/// AbortError moreover end the loop.
///
/// g++ 12 destroys a lambda that has captured something, and an aggregate, twice if they are made inside a
/// co_await expression, however they are passed. Give such a lambda a name first; or let it capture nothing that has a
/// destructor, and pass what it needs as arguments (see run_on_worker). Nothing else that SnowFox takes is affected.
template <typename T = void>
class [[nodiscard]] Task {
 public:
  class promise_type;
  using Value = T;

  /// No task: may only be assigned to.
  Task() = default;
  Task(Task&&) noexcept = default;
  Task& operator=(Task&&) noexcept = default;

  bool valid() const noexcept { return promise_.valid(); }
  /// It has run to its end.
  bool done() const noexcept { return promise_.settled(); }

  /// The task as a promise, which owns the coroutine from now on. Its errors and log lines name `id`; without one, the
  /// id of the first promise that the task waited for.
  Promise<T> promise(LoopManager& loop, const CorrelationId& id = {}) && {
    promise_.state()->set_loop(loop);
    if (!id.empty()) promise_.state()->set_id(id);
    return std::move(promise_);
  }
  /// Lets the task run with nobody waiting for its end; see Promise::detach.
  void detach(LoopManager& loop, const CorrelationId& id = {}) && { std::move(*this).promise(loop, id).detach(); }

  /// The same, without giving it up: for co_await, which knows the loop.
  Promise<T>& as_promise() noexcept { return promise_; }

 private:
  explicit Task(ValueState<T>& frame) noexcept : promise_(&frame) {}

  Promise<T> promise_;
};

template <typename T>
class Task<T>::promise_type final : public TaskFrame<T> {
 public:
  Task get_return_object() noexcept { return Task(*this); }

  template <typename V = T>
  requires std::constructible_from<T, V&&>
  void return_value(V&& value) { this->emplace(std::forward<V>(value)); }

 private:
  using Handle = std::coroutine_handle<promise_type>;
  void run() noexcept override { this->resume(Handle::from_promise(*this)); }
  void destroy() noexcept override { Handle::from_promise(*this).destroy(); }
};

template <>
class Task<void>::promise_type final : public TaskFrame<void> {
 public:
  Task get_return_object() noexcept { return Task(*this); }
  void return_void() noexcept { emplace(); }

 private:
  using Handle = std::coroutine_handle<promise_type>;
  void run() noexcept override { resume(Handle::from_promise(*this)); }
  void destroy() noexcept override { Handle::from_promise(*this).destroy(); }
};

template <typename T>
struct Returned<Task<T>> {
  using Value = T;
  static constexpr bool kIsPromise = true;
  static constexpr bool kDispensable = false;  // a lambda that is a coroutine lives in the continuation's state
  static PromiseState& state(Task<T>&& task) { return Returned<Promise<T>>::state(std::move(task.as_promise())); }
};

/// What co_await does with a promise. It has nothing to destroy: the promise stays where it is until it must be waited
/// for, and then belongs to the coroutine's frame.
template <typename T>
class PromiseAwaiter {
 public:
  explicit PromiseAwaiter(Promise<T>& promise) noexcept : promise_(promise) { assert(promise.valid()); }

  bool await_ready() const noexcept { return promise_.settled(); }
  template <std::derived_from<PromiseState> Frame>
  void await_suspend(std::coroutine_handle<Frame> coroutine) noexcept {
    frame_ = &coroutine.promise();
    frame_->wait_for(*promise_.take_state());
  }
  T await_resume() {
    const Promise<T> done(frame_ == nullptr ? promise_.take_state()
                                            : static_cast<ValueState<T>*>(frame_->take_upstream()));
    ValueState<T>& state = *done.state();
    if (state.rejected()) std::rethrow_exception(state.error());
    if constexpr (!std::is_void_v<T>) return std::move(state.value());
  }

 private:
  Promise<T>& promise_;
  PromiseState* frame_ = nullptr;
};

template <typename T>
PromiseAwaiter<T> operator co_await(Promise<T>&& promise) noexcept {
  return PromiseAwaiter<T>(promise);
}
template <typename T>
PromiseAwaiter<T> operator co_await(Task<T>&& task) noexcept {
  return PromiseAwaiter<T>(task.as_promise());
}

}  // namespace snowfox
