#include <snowfox/promises/promise.h>

#include <snowfox/core/error.h>
#include <snowfox/core/fault_point.h>

#include "promise_name.h"

namespace snowfox {

Settlement::Settlement(PromiseState& state) noexcept {
  state_ = &state;
  state.set_producer(this);
}

Settlement::Settlement(Settlement&& other) noexcept
    : settled_(std::exchange(other.settled_, false)), on_cancel_(std::move(other.on_cancel_)), id_(other.id_) {
  state_ = std::exchange(other.state_, nullptr);
  if (state_ != nullptr) state_->set_producer(this);
}

Settlement& Settlement::operator=(Settlement&& other) noexcept {
  if (this == &other) return *this;
  break_promise();
  settled_ = std::exchange(other.settled_, false);
  on_cancel_ = std::move(other.on_cancel_);
  id_ = other.id_;
  state_ = std::exchange(other.state_, nullptr);
  if (state_ != nullptr) state_->set_producer(this);
  return *this;
}

Settlement::~Settlement() { break_promise(); }

void Settlement::break_promise() noexcept {
  if (state_ == nullptr) return;
  PromiseState& state = *state_;
  state.store_error(make_error(Errc::PromiseBroken, [&] { return promise_name(state.id()); }));
  finish(state);
}

void Settlement::on_cancel(std::function<void()> function) {
  on_cancel_ = std::make_unique<std::function<void()>>(std::move(function));
}

void Settlement::on_abandoned(const CorrelationId& id) noexcept {
  id_ = id;
  // The function may destroy this.
  if (const auto function = std::move(on_cancel_)) (*function)();
}

PromiseState* Settlement::begin() {
  if (settled_) {
    throw std::system_error(make_error_code(Errc::AlreadySettled), "settle " + promise_name(id_));
  }
  // Nobody waits any more, but that this was the first time still counts.
  if (state_ == nullptr) settled_ = true;
  return state_;
}

void Settlement::finish(PromiseState& state) noexcept {
  settled_ = true;
  id_ = state.id();
  if (!SNOWFOX_MUTANT(DoubleSettle)) {
    state_ = nullptr;
    state.set_producer(nullptr);
  }
  state.notify();
}

void Settlement::reject(std::exception_ptr error) {
  PromiseState* state = begin();
  if (state == nullptr) return;
  state->store_error(std::move(error));
  finish(*state);
}

void Settlement::reject(std::error_code error) { reject(std::make_exception_ptr(std::system_error(error))); }

}  // namespace snowfox
