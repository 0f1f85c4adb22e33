#include "call_queue.h"

#include <algorithm>
#include <string>
#include <utility>

#include <snowfox/core/error.h>

namespace snowfox {

bool CallQueue::add(std::unique_ptr<PostgresCall> call, bool room, const std::exception_ptr& refusal) noexcept {
  if (closed_ || !room || outstanding_ >= most_ || refusal != nullptr) {
    ++counters_.refused;
    const std::error_code code = closed_ ? Errc::ShuttingDown : Errc::LimitReached;
    reject(*call, refusal != nullptr && !closed_ ? refusal : error(*call, code, "not taken"));
    return false;
  }
  ++counters_.submitted;
  ++outstanding_;
  ++unsettled_;
  loop_.hold();
  call->queue_ = this;
  call->since_ = loop_.now();
  if (call->deadline_ == Duration::zero()) call->deadline_ = default_deadline_;
  loop_.arm(static_cast<Timer&>(*call), call->deadline_);
  tell(call->state_->id(), StepKind::Kept, *call);
  waiting_.push_back(*call.release());
  ++waiting_count_;
  return true;
}

PostgresCall& CallQueue::begin() noexcept {
  PostgresCall& call = waiting_.pop_front();
  --waiting_count_;
  ++under_way_count_;
  call.under_way_ = true;
  under_way_.push_back(call);
  return call;
}

void CallQueue::put_back() noexcept {
  CallList back;
  while (!under_way_.empty()) {
    PostgresCall& call = under_way_.pop_front();
    if (!call.wanted()) {
      delete &call;
      continue;
    }
    --under_way_count_;
    ++waiting_count_;
    call.under_way_ = false;
    back.push_back(call);
  }
  back.take(waiting_);
  waiting_.take(back);
}

void CallQueue::put_back(PostgresCall& call) noexcept {
  CallList others;
  others.take(under_way_);
  call.unlink();
  under_way_.push_back(call);
  put_back();
  under_way_.take(others);
}

// --- how a call ends ---

void CallQueue::settle(PostgresCall& call, PostgresResults&& results) noexcept {
  const std::unique_ptr<PostgresCall> end(&call);
  if (!call.wanted()) return;
  try {
    call.store(std::move(results));
  } catch (...) {
    --unsettled_;
    ++counters_.failed;
    return reject(call, std::current_exception());
  }
  --unsettled_;
  ++counters_.done;
  PromiseState& state = *std::exchange(call.state_, nullptr);
  state.set_producer(nullptr);
  // A copy, and last: whoever is told may drop the promise.
  const CorrelationId id = state.id();
  state.notify();
  tell(id, StepKind::Fulfilled, call);
  announcer_.announce();
}

void CallQueue::settle(PostgresCall& call, const std::exception_ptr& error) noexcept {
  const std::unique_ptr<PostgresCall> end(&call);
  if (!call.wanted()) return;
  --unsettled_;
  ++counters_.failed;
  const CorrelationId id = call.state_->id();
  reject(call, error);
  tell(id, StepKind::Rejected, call);
  announcer_.announce();
}

void CallQueue::reject(PostgresCall& call, const std::exception_ptr& error) noexcept {
  PromiseState* state = std::exchange(call.state_, nullptr);
  if (state == nullptr) return;
  state->set_producer(nullptr);
  state->reject(error);
}

std::exception_ptr CallQueue::error(const PostgresCall& call, std::error_code code,
                                    std::string_view why) const noexcept {
  return make_error(code, [&] {
    std::string text = std::string(what_) + " " + std::string(why);
    if (const std::string_view more = hindrance(); !more.empty()) text += "; " + std::string(more);
    if (call.state_ != nullptr && !call.state_->id().empty()) text += ", id " + call.state_->id().str();
    return text;
  });
}

void CallQueue::time_out(PostgresCall& call) noexcept {
  --unsettled_;
  ++counters_.timed_out;
  const CorrelationId id = call.state_->id();
  reject(call, error(call, Errc::DeadlineExceeded, call.under_way_ ? "under way still" : "not begun"));
  tell(id, StepKind::TimedOut, call);
  give_up(call);
}

void CallQueue::drop(PostgresCall& call, const CorrelationId& id) noexcept {
  --unsettled_;
  ++counters_.dropped;
  tell(id, StepKind::Abandoned, call);
  static_cast<Timer&>(call).disarm();
  give_up(call);
}

void CallQueue::give_up(PostgresCall& call) noexcept {
  if (call.under_way_) return on_given_up(call);
  delete &call;
}

void CallQueue::gone(PostgresCall& call) noexcept {
  --(call.under_way_ ? under_way_count_ : waiting_count_);
  --outstanding_;
  loop_.release();
  on_gone(call.bytes());
}

void CallQueue::reject_waiting(const std::exception_ptr& error) noexcept {
  while (!waiting_.empty()) settle(waiting_.pop_front(), error);
}

void CallQueue::reject_waiting_to_shut_down() noexcept {
  while (!waiting_.empty()) {
    PostgresCall& call = waiting_.pop_front();
    settle(call, error(call, Errc::ShuttingDown, "not begun"));
  }
}

// --- what others ask ---

void CallQueue::tell(const CorrelationId& id, StepKind kind, const PostgresCall& call) const noexcept {
  if (id.empty() || loop_.lifecycle().step.empty()) return;
  loop_.lifecycle().step({.id = id, .kind = kind, .what = call.result_name()});
}

PostgresStatus::Lane CallQueue::status() const noexcept {
  PostgresStatus::Lane lane{
      .waiting = waiting_count_, .under_way = under_way_count_, .oldest = {}, .counters = counters_};
  for (CallList* list : {&under_way_, &waiting_}) {
    if (!list->empty()) lane.oldest = std::max<Duration>(lane.oldest, loop_.now() - list->front().since_);
  }
  return lane;
}

void CallQueue::explain(Explanation& explanation) const noexcept {
  for (CallList* list : {&under_way_, &waiting_}) {
    for (PostgresCall* call = list->empty() ? nullptr : &list->front(); call != nullptr; call = list->after(*call)) {
      if (!call->wanted() || !explanation.is_about(call->state_->id())) continue;
      const Timer& timer = *call;
      explanation.add(
          {call->state_->id(), call->result_name(), call->since_, timer.armed() ? timer.deadline() : kNever});
    }
  }
}

void CallQueue::audit(Audit& audit) const {
  const std::uint64_t ended = counters_.done + counters_.failed + counters_.timed_out + counters_.dropped;
  audit.expect(counters_.submitted == ended + unsettled_, [&] {
    return "a database has taken " + std::to_string(counters_.submitted) + " calls to " + std::string(what_) + "; " +
           std::to_string(ended) + " have ended and " + std::to_string(unsettled_) + " have not";
  });
}

}  // namespace snowfox
