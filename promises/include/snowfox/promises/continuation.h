#pragma once

#include <exception>
#include <functional>
#include <type_traits>
#include <utility>

#include <snowfox/promises/promise_state.h>

namespace snowfox {

/// How a promise is made of what a continuation returned: a value is its value. Promise and Task specialise it: what
/// they end with is its outcome, and `state` gives it; `kDispensable` is as in PromiseState::follow.
template <typename R>
struct Returned {
  using Value = R;
  static constexpr bool kIsPromise = false;
};
template <typename R>
using ReturnedValue = typename Returned<std::remove_cvref_t<R>>::Value;

/// Calls `function` with the value of a T's state; with nothing if T is void.
template <typename T, typename F>
decltype(auto) invoke_with(F& function, ValueState<T>& source) {
  if constexpr (std::is_void_v<T>) {
    return std::invoke(function);
  } else {
    return std::invoke(function, std::move(source.value()));
  }
}
template <typename T, typename F>
using ResultOfThen = decltype(invoke_with<T>(std::declval<F&>(), std::declval<ValueState<T>&>()));

/// The state of a promise that a function makes when another promise is settled.
template <typename T>
class Continuation : public ValueState<T> {
 public:
  using Result = T;

  /// Takes over `source`.
  explicit Continuation(PromiseState& source) noexcept : ValueState<T>(source.loop(), source.id()) {}

 protected:
  /// Settles with what `call` returns, follows the promise that it returns, or rejects with what it throws.
  template <typename Call>
  void settle_by(Call&& call) noexcept {
    using R = std::remove_cvref_t<decltype(call())>;
    try {
      if constexpr (Returned<R>::kIsPromise) {
        static_assert(std::is_same_v<typename Returned<R>::Value, T>, "a promise of the same type is to be returned");
        this->follow(Returned<R>::state(call()), Returned<R>::kDispensable);
      } else if constexpr (std::is_void_v<R>) {
        call();
        this->emplace();
      } else {
        this->emplace(call());
      }
    } catch (...) {
      this->fail(std::current_exception());
    }
  }
  /// Settles as `source` did.
  void settle_as(ValueState<T>& source) noexcept {
    try {
      this->take_outcome(source);
    } catch (...) {
      this->fail(std::current_exception());
    }
  }
  void settle_as_followed() noexcept { settle_as(static_cast<ValueState<T>&>(*this->upstream())); }
};

/// Promise::then: calls with the value; lets a rejection pass.
template <typename T, typename F>
class ThenState final : public Continuation<ReturnedValue<ResultOfThen<T, F>>> {
 public:
  template <typename G>
  ThenState(ValueState<T>& source, G&& function)
      : Continuation<ReturnedValue<ResultOfThen<T, F>>>(source), function_(std::forward<G>(function)) {
    this->wait_for(source);
  }

 private:
  void run() noexcept override {
    this->begin();
    auto* source = this->upstream();
    if (this->following()) {
      this->settle_as_followed();
    } else if (source->rejected()) {
      this->store_error(source->error());
    } else {
      this->settle_by(
          [&]() -> decltype(auto) { return invoke_with<T>(function_, static_cast<ValueState<T>&>(*source)); });
    }
    this->end();
  }

  [[no_unique_address]] F function_;
};

/// Promise::otherwise: calls with the error; lets a value pass.
template <typename T, typename F>
class OtherwiseState final : public Continuation<T> {
 public:
  template <typename G>
  OtherwiseState(ValueState<T>& source, G&& function) : Continuation<T>(source), function_(std::forward<G>(function)) {
    this->wait_for(source);
  }

 private:
  void run() noexcept override {
    this->begin();
    if (this->following() || !this->upstream()->rejected()) {
      this->settle_as_followed();
    } else {
      this->settle_by([&]() -> decltype(auto) { return std::invoke(function_, this->upstream()->error()); });
    }
    this->end();
  }

  [[no_unique_address]] F function_;
};

/// Promise::finally: calls, and settles as its source did; if the function returned a promise, when that is settled.
template <typename T, typename F>
class FinallyState final : public Continuation<T> {
 public:
  template <typename G>
  FinallyState(ValueState<T>& source, G&& function) : Continuation<T>(source), function_(std::forward<G>(function)) {
    this->wait_for(source);
  }
  ~FinallyState() override { PromiseState::release(source_); }

 private:
  using R = std::remove_cvref_t<std::invoke_result_t<F&>>;

  void run() noexcept override {
    this->begin();
    if (source_ != nullptr) {
      settle();
    } else {
      try {
        call();
      } catch (...) {
        this->fail(std::current_exception());
      }
    }
    this->end();
  }

  void call() {
    if constexpr (Returned<R>::kIsPromise) {
      PromiseState& waited_for = Returned<R>::state(std::invoke(function_));
      source_ = static_cast<ValueState<T>*>(this->take_upstream());
      this->wait_for(waited_for);
    } else {
      std::invoke(function_);
      this->take_outcome(static_cast<ValueState<T>&>(*this->upstream()));
    }
  }

  void settle() noexcept {
    if (this->upstream()->rejected()) {
      this->store_error(this->upstream()->error());
    } else {
      this->settle_as(*source_);
    }
  }

  [[no_unique_address]] F function_;
  ValueState<T>* source_ = nullptr;  // owned; what we settle as, while we wait for what the function returned
};

}  // namespace snowfox
