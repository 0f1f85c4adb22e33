#pragma once

#include <exception>
#include <type_traits>
#include <utility>
#include <variant>

namespace snowfox {

/// How something ended that was done elsewhere: with a value, or with an exception. Result<void> has no value to tell.
template <typename T>
class Result {
 public:
  using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

  Result() requires std::is_void_v<T>
  = default;
  Result(Value value) : outcome_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: meant to convert
  /// What was thrown; must not be null.
  explicit Result(std::exception_ptr error) : outcome_(std::in_place_index<1>, std::move(error)) {}

  explicit operator bool() const noexcept { return outcome_.index() == 0; }
  /// What was thrown, or null.
  std::exception_ptr error() const noexcept { return *this ? nullptr : std::get<1>(outcome_); }

  /// The value, or throws what was thrown.
  decltype(auto) value() const& {
    check();
    if constexpr (!std::is_void_v<T>) return (std::get<0>(outcome_));
  }
  T value() && {
    check();
    if constexpr (!std::is_void_v<T>) return std::move(std::get<0>(outcome_));
  }

 private:
  void check() const {
    if (!*this) std::rethrow_exception(std::get<1>(outcome_));
  }

  std::variant<Value, std::exception_ptr> outcome_;
};

}  // namespace snowfox
