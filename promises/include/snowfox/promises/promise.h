#pragma once

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>

#include <snowfox/core/correlation_id.h>
#include <snowfox/promises/continuation.h>
#include <snowfox/promises/promise_state.h>

namespace snowfox {

/// A value of type T (or void: nothing but the fact) that will be there later, or an error in its place.
///
/// It has one consumer: then, otherwise, finally and co_await take it over and give a new one in its stead. What they
/// are given is called by the loop, right after the event being handled; never inside the call that settles. Dropping a
/// promise cancels what hangs on it: nothing of it is called any more, and who should have settled it can tell
/// (Resolver::wanted). A promise must not outlive its loop.
///
/// A continuation may return a value, nothing, or a promise or task, whose outcome is then waited for. What it throws
/// rejects the promise that stands for it; CleanExit and AbortError moreover end the loop. It is kept until a task that
/// it returned is done, so a lambda that is a coroutine may use what it has captured.
template <typename T>
class [[nodiscard]] Promise {
 public:
  using Value = T;

  /// No promise: may only be assigned to.
  Promise() = default;
  /// Takes over `state`.
  explicit Promise(ValueState<T>* state) noexcept : state_(state) {}
  Promise(Promise&& other) noexcept : state_(other.take_state()) {}
  Promise& operator=(Promise&& other) noexcept {
    PromiseState::release(std::exchange(state_, other.take_state()));
    return *this;
  }
  ~Promise() { PromiseState::release(state_); }

  /// False for one that was taken over, or never was any.
  bool valid() const noexcept { return state_ != nullptr; }
  bool settled() const noexcept { return valid() && state_->settled(); }
  /// What its errors and log lines name; empty if it was made without one.
  const CorrelationId& id() const noexcept { return state_->id(); }

  /// Calls `function(T)` with the value, or `function()` if T is void. A rejection passes by.
  template <typename F>
  auto then(F&& function) && {
    using State = ThenState<T, std::decay_t<F>>;
    return Promise<typename State::Result>(follow_up<State>(std::forward<F>(function)));
  }
  /// Calls `function(std::exception_ptr)` with the error: it returns a T in place of the missing one, or throws. A
  /// value passes by.
  template <typename F>
  Promise<T> otherwise(F&& function) && {
    using State = OtherwiseState<T, std::decay_t<F>>;
    return Promise<T>(follow_up<State>(std::forward<F>(function)));
  }
  /// Calls `function()` in either case; then value or error pass on. Only what it throws, or a promise that it returned
  /// and that is rejected, takes their place.
  template <typename F>
  Promise<T> finally(F&& function) && {
    using State = FinallyState<T, std::decay_t<F>>;
    return Promise<T>(follow_up<State>(std::forward<F>(function)));
  }

  /// Lets the chain run with nobody waiting for its end. A rejection that nothing in it has handled is logged as an
  /// error and counted in LoopCounters::unhandled_rejections; CleanExit and AbortError end the loop. What has not come
  /// to its end when the loop is destroyed is dropped.
  void detach() && noexcept {
    ValueState<T>* state = take_state();
    state->detach(*state->loop());
  }

  /// Gives up the state, for what makes promises of new kinds.
  ValueState<T>* take_state() noexcept { return std::exchange(state_, nullptr); }
  ValueState<T>* state() const noexcept { return state_; }

 private:
  template <typename State, typename F>
  State* follow_up(F&& function) {
    auto* next = new State(*state_, std::forward<F>(function));
    state_ = nullptr;
    return next;
  }

  ValueState<T>* state_ = nullptr;
};

template <typename T>
struct Returned<Promise<T>> {
  using Value = T;
  static constexpr bool kIsPromise = true;
  static constexpr bool kDispensable = true;
  static PromiseState& state(Promise<T>&& promise) {
    if (!promise.valid()) throw std::logic_error("a continuation returned an empty promise");
    return *promise.take_state();
  }
};

/// The one right to settle a promise, whatever its type.
class Settlement : public PromiseProducer {
 public:
  /// Somebody waits: the promise is neither settled nor dropped.
  bool wanted() const noexcept { return state_ != nullptr; }
  /// `function` is called, once, if the promise is dropped unsettled: inside the call that drops it. Must not throw.
  void on_cancel(std::function<void()> function);
  /// The id that the promise was made with.
  const CorrelationId& id() const noexcept { return state_ != nullptr ? state_->id() : id_; }

  /// Ends the promise with an error. That nobody waits any more is no error; a second settling is: throws
  /// std::system_error (Errc::AlreadySettled), which names the id.
  void reject(std::exception_ptr error);
  void reject(std::error_code error);
  template <std::derived_from<std::exception> Error>
  void reject(Error error) {
    reject(std::make_exception_ptr(std::move(error)));
  }

 protected:
  Settlement() = default;
  explicit Settlement(PromiseState& state) noexcept;
  Settlement(Settlement&& other) noexcept;
  Settlement& operator=(Settlement&& other) noexcept;
  /// A promise that is still waited for is rejected with Errc::PromiseBroken.
  ~Settlement();

  /// What is to be settled; null if nobody waits for it. Throws as reject() does.
  PromiseState* begin();
  /// The outcome of `state` has been stored.
  void finish(PromiseState& state) noexcept;

 private:
  void on_abandoned(const CorrelationId& id) noexcept override;
  void break_promise() noexcept;

  bool settled_ = false;
  std::unique_ptr<std::function<void()>> on_cancel_;
  CorrelationId id_;
};

/// Settles one Promise<T>, once. Destroyed before it has, it rejects with Errc::PromiseBroken.
template <typename T>
class [[nodiscard]] Resolver final : public Settlement {
 public:
  /// Nobody waits.
  Resolver() = default;
  explicit Resolver(ValueState<T>& state) noexcept : Settlement(state) {}

  /// Ends the promise with a value. Otherwise as reject().
  template <typename V = T>
  requires std::constructible_from<T, V&&>
  void resolve(V&& value) { settle(std::forward<V>(value)); }
  void resolve() requires std::is_void_v<T> { settle(); }

 private:
  template <typename... V>
  void settle(V&&... value) {
    PromiseState* state = begin();
    if (state == nullptr) return;
    static_cast<ValueState<T>*>(state)->emplace(std::forward<V>(value)...);
    finish(*state);
  }
};

template <typename T>
struct PromiseAndResolver {
  Promise<T> promise;
  Resolver<T> resolver;
};

/// A promise and who settles it: `auto [promise, resolver] = make_promise<int>(loop);`. Errors name `id`.
template <typename T>
PromiseAndResolver<T> make_promise(LoopManager& loop, const CorrelationId& id = {}) {
  auto* state = new ValueState<T>(&loop, id);
  return {Promise<T>(state), Resolver<T>(*state)};
}

/// A promise that has its value already.
template <typename T>
Promise<std::decay_t<T>> resolved(LoopManager& loop, T&& value) {
  Promise<std::decay_t<T>> promise(new ValueState<std::decay_t<T>>(&loop));
  promise.state()->emplace(std::forward<T>(value));
  return promise;
}
template <typename T = void>
requires std::is_void_v<T> Promise<void> resolved(LoopManager& loop) {
  Promise<void> promise(new ValueState<void>(&loop));
  promise.state()->emplace();
  return promise;
}

/// A promise that is rejected already.
template <typename T>
Promise<T> rejected(LoopManager& loop, std::exception_ptr error, const CorrelationId& id = {}) {
  Promise<T> promise(new ValueState<T>(&loop, id));
  promise.state()->store_error(std::move(error));
  return promise;
}
template <typename T>
Promise<T> rejected(LoopManager& loop, std::error_code error, const CorrelationId& id = {}) {
  return rejected<T>(loop, std::make_exception_ptr(std::system_error(error)), id);
}
template <typename T, std::derived_from<std::exception> Error>
Promise<T> rejected(LoopManager& loop, Error error, const CorrelationId& id = {}) {
  return rejected<T>(loop, std::make_exception_ptr(std::move(error)), id);
}

}  // namespace snowfox
