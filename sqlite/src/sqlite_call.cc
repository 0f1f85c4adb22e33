#include <snowfox/sqlite/sqlite_call.h>

#include <utility>

#include "call_queue.h"

namespace snowfox {

SqliteCall::SqliteCall(PromiseState& state, const SqliteCallOptions& options, std::size_t bytes) noexcept
    : Event(options.id), deadline_(options.deadline), bytes_(bytes) {
  state_ = &state;
  state.set_producer(this);
}

SqliteCall::~SqliteCall() {
  // It could not be made to the end: the promise goes with what was thrown.
  if (state_ != nullptr) state_->set_producer(nullptr);
  if (queue_ != nullptr) queue_->gone(*this);
}

void SqliteCall::handle() {
  if (queue_ == nullptr) return;
  if (state_ != nullptr) queue_->settle(*this);
  // What comes of it may destroy the database, while the loop holds this still.
  std::exchange(queue_, nullptr)->gone(*this);
}

void SqliteCall::expire() noexcept { queue_->time_out(*this); }

void SqliteCall::on_abandoned(const CorrelationId&) noexcept {
  if (queue_ != nullptr) queue_->drop(*this);
}

}  // namespace snowfox
