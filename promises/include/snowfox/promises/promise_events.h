#pragma once

#include <exception>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>

#include <snowfox/core/event.h>
#include <snowfox/promises/promise_keeper.h>

namespace snowfox {

/// Fulfills, when it is handled, the promise of a T (or void) that is kept under its correlation id: the way for an
/// answer that arrives on another thread, which posts it. The keeper must outlive the event.
template <typename T = void>
class PromiseFulfill final : public Event {
 public:
  PromiseFulfill(PromiseKeeper& keeper, const CorrelationId& id, T value)
      : Event(id), keeper_(keeper), value_(std::move(value)) {}
  /// Throws Errc::TypeMismatch, which the loop then logs, if the promise is one of another type.
  void handle() override { keeper_.fulfill<T>(correlation_id(), std::move(value_)); }

 private:
  PromiseKeeper& keeper_;
  T value_;
};

template <>
class PromiseFulfill<void> final : public Event {
 public:
  PromiseFulfill(PromiseKeeper& keeper, const CorrelationId& id) : Event(id), keeper_(keeper) {}
  void handle() override { keeper_.fulfill<void>(correlation_id()); }

 private:
  PromiseKeeper& keeper_;
};

/// Rejects, when it is handled, the promise that is kept under its correlation id.
class PromiseReject final : public Event {
 public:
  PromiseReject(PromiseKeeper& keeper, const CorrelationId& id, std::exception_ptr error)
      : Event(id), keeper_(keeper), error_(std::move(error)) {}
  PromiseReject(PromiseKeeper& keeper, const CorrelationId& id, std::error_code error)
      : PromiseReject(keeper, id, std::make_exception_ptr(std::system_error(error))) {}
  void handle() override { keeper_.reject(correlation_id(), std::move(error_)); }

 private:
  PromiseKeeper& keeper_;
  std::exception_ptr error_;
};

}  // namespace snowfox
