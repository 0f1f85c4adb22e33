#include <snowfox/promises/promise_state.h>

#include <snowfox/core/error.h>

namespace snowfox {
namespace {

constexpr std::string_view kComponent = "promise";

/// True if `error` is one of those that end the loop: it is ending then.
bool ends_loop(LoopManager& loop, const std::exception_ptr& error, const CorrelationId& id) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const CleanExit&) {
    loop.stop(0);
    return true;
  } catch (const AbortError& abort) {
    // It may pass here several times, once for each promise of a chain.
    if (!loop.stopping()) loop.log().critical(kComponent, "aborted", {{"error", abort.what()}}, id);
    loop.stop(1);
    return true;
  } catch (...) {
    return false;
  }
}

}  // namespace

PromiseState::~PromiseState() {
  assert(upstream_ == nullptr);
  if (producer_ == nullptr) return;
  producer_->state_ = nullptr;
  producer_->on_abandoned(id_);
}

// A continuation may refer to what the one before it left, and a coroutine to the frame of the one that waits for it:
// so the far end goes first.
void PromiseState::release(PromiseState* state) noexcept {
  if (state == nullptr) return;
  PromiseState* first = state;
  while (!first->running_ && first->upstream_ != nullptr) first = first->upstream_;
  bool keep_first = first->running_;
  for (;;) {
    PromiseState* next = first == state ? nullptr : static_cast<PromiseState*>(first->downstream_);
    first->downstream_ = nullptr;
    if (next != nullptr) next->upstream_ = nullptr;
    if (keep_first) {
      first->abandoned_ = true;
      keep_first = false;
    } else {
      first->destroy();
    }
    if (next == nullptr) return;
    first = next;
  }
}

void PromiseState::detach(LoopManager& loop) noexcept {
  assert(downstream_ == nullptr && !detached_);
  set_loop(loop);
  detached_ = true;
  if (settled()) {
    finish_detached();
  } else if (!linked()) {
    loop_->park(*this);
  }
}

void PromiseState::on_loop_gone() noexcept {
  if (detached_) release(this);
}

void PromiseState::finish_detached() noexcept {
  if (rejected()) report_unhandled(*loop_, error_, id_);
  release(this);
}

void PromiseState::wait_for(PromiseState& upstream) noexcept {
  assert(upstream_ == nullptr);
  if (loop_ == nullptr) loop_ = upstream.loop_;
  assert(loop_ != nullptr);  // else it is a Task's that never waited, not made a promise by Task::promise
  if (id_.empty()) id_ = upstream.id_;
  upstream_ = &upstream;
  upstream.connect(*this, *loop_);
}

void PromiseState::follow(PromiseState& source, bool dispensable) noexcept {
  drop_upstream();
  following_ = true;
  dispensable_ = dispensable;
  source.followed_ = true;
  wait_for(source);
}

void PromiseState::end() noexcept {
  // What goes with the upstream state may be all that held the promise of this one.
  if (settled()) drop_upstream();
  running_ = false;
  if (abandoned_) {
    release(this);
  } else if (settled()) {
    notify();
  } else if (following_ && followed_ && dispensable_) {
    step_aside();
  } else if (detached_ && !linked()) {
    loop_->park(*this);
  }
}

void PromiseState::step_aside() noexcept {
  auto* consumer = static_cast<PromiseState*>(downstream_);
  PromiseState* source = take_upstream();
  source->downstream_ = downstream_ = nullptr;
  consumer->upstream_ = nullptr;
  consumer->wait_for(*source);
  release(this);
}

void PromiseState::fail(const std::exception_ptr& error) noexcept {
  store_error(error);
  if (loop_ != nullptr) ends_loop(*loop_, error, id_);
}

void report_unhandled(LoopManager& loop, const std::exception_ptr& error, const CorrelationId& id) noexcept {
  if (ends_loop(loop, error, id)) return;
  ++loop.counters().unhandled_rejections;
  try {
    loop.log().error(kComponent, "rejection not handled", {{"error", describe(error)}}, id);
  } catch (...) {
  }
}

}  // namespace snowfox
