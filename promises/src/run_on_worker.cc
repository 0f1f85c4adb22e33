#include <snowfox/promises/run_on_worker.h>

namespace snowfox {

WorkerJob::WorkerJob(LoopManager& loop, PromiseState& state) noexcept : loop_(loop) {
  state_ = &state;
  state.set_producer(this);
}

WorkerJob::~WorkerJob() {
  // It could not be started: the promise goes with what was thrown.
  if (state_ != nullptr) state_->set_producer(nullptr);
}

void WorkerJob::start(std::unique_ptr<WorkerJob> call, WorkerLimit* limit) {
  LoopManager& loop = call->loop_;
  loop.poller().submit(*call);
  loop.hold();
  if (limit != nullptr) {
    call->limit_ = limit;
    ++limit->outstanding_;
    limit->calls_.push_back(*call);
  }
  static_cast<void>(call.release());
}

void WorkerJob::run() noexcept {
  if (!wanted_.load(std::memory_order_relaxed)) return;
  try {
    compute();
  } catch (...) {
    error_ = std::current_exception();
  }
}

void WorkerJob::done() noexcept {
  loop_.release();
  if (linked()) --limit_->outstanding_;
  if (PromiseState* state = std::exchange(state_, nullptr)) {
    state->set_producer(nullptr);
    try {
      if (error_ == nullptr) store(*state);
    } catch (...) {
      error_ = std::current_exception();
    }
    if (error_ != nullptr) state->store_error(std::move(error_));
    state->notify();
  }
  delete this;
}

void WorkerJob::on_abandoned(const CorrelationId&) noexcept { wanted_.store(false, std::memory_order_relaxed); }

}  // namespace snowfox
