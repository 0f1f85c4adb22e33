#include "postgres_call.h"

#include "call_queue.h"

namespace snowfox {

PostgresCall::PostgresCall(ValueState<PostgresResults>& state, const PostgresCallOptions& options,
                           PostgresUnit unit) noexcept
    : unit_(std::move(unit)), deadline_(options.deadline), read_(false) {
  state_ = &state;
  state.set_producer(this);
}

PostgresCall::PostgresCall(ValueState<PostgresResult>& state, const PostgresCallOptions& options,
                           PostgresUnit unit) noexcept
    : unit_(std::move(unit)), deadline_(options.deadline), read_(true) {
  state_ = &state;
  state.set_producer(this);
}

PostgresCall::~PostgresCall() {
  if (state_ != nullptr) state_->set_producer(nullptr);
  if (queue_ != nullptr) queue_->gone(*this);
}

void PostgresCall::store(PostgresResults&& results) {
  if (read_) {
    static_cast<ValueState<PostgresResult>*>(state_)->emplace(std::move(results.at(0)));
  } else {
    static_cast<ValueState<PostgresResults>*>(state_)->emplace(std::move(results));
  }
}

void PostgresCall::expire() noexcept { queue_->time_out(*this); }

void PostgresCall::on_abandoned(const CorrelationId& id) noexcept {
  if (queue_ != nullptr) queue_->drop(*this, id);
}

}  // namespace snowfox
