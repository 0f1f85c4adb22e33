#include "call_queue.h"

#include <string>
#include <utility>

#include <snowfox/core/audit.h>
#include <snowfox/core/error.h>
#include <snowfox/core/type_name.h>

namespace snowfox {

bool SqliteCallQueue::add(std::unique_ptr<SqliteCall> call, bool room) noexcept {
  if (closed_ || !room || outstanding_ >= most_) {
    ++counters_.refused;
    reject(*call, closed_ ? Errc::ShuttingDown : Errc::LimitReached, "not taken");
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
  tell(call->correlation_id(), StepKind::Kept, *call);
  waiting_.push_back(*call.release());
  ++waiting_count_;
  return true;
}

SqliteCall& SqliteCallQueue::begin(CallList& under_way) noexcept {
  SqliteCall& call = waiting_.pop_front();
  --waiting_count_;
  ++under_way_count_;
  call.place_ = SqliteCall::Place::UnderWay;
  under_way.push_back(call);
  return call;
}

void SqliteCallQueue::end(SqliteCall& call) noexcept {
  --under_way_count_;
  call.place_ = SqliteCall::Place::Back;
  static_cast<Timer&>(call).disarm();
}

void SqliteCallQueue::end(SqliteCall& call, std::exception_ptr error) noexcept {
  call.fail(std::move(error));
  end(call);
}

// --- how a call ends ---

void SqliteCallQueue::settle(SqliteCall& call) noexcept {
  PromiseState& state = *std::exchange(call.state_, nullptr);
  state.set_producer(nullptr);
  try {
    if (!call.failed()) call.store(state);
  } catch (...) {
    call.error_ = std::current_exception();
  }
  --unsettled_;
  ++(call.failed() ? counters_.failed : counters_.done);
  const StepKind kind = call.failed() ? StepKind::Rejected : StepKind::Fulfilled;
  if (call.failed()) state.store_error(std::move(call.error_));
  state.notify();
  // Last: whoever is told may drop the promise.
  tell(call.correlation_id(), kind, call);
}

void SqliteCallQueue::reject(SqliteCall& call, std::error_code error, std::string_view why) noexcept {
  PromiseState* state = std::exchange(call.state_, nullptr);
  if (state == nullptr) return;
  state->set_producer(nullptr);
  state->reject(make_error(error, [&] {
    std::string text = std::string(what_) + " " + std::string(why);
    if (!state->id().empty()) text += ", id " + state->id().str();
    return text;
  }));
}

void SqliteCallQueue::time_out(SqliteCall& call) noexcept {
  --unsettled_;
  ++counters_.timed_out;
  reject(call, Errc::DeadlineExceeded, call.place_ == SqliteCall::Place::Waiting ? "not begun" : "under way still");
  tell(call.correlation_id(), StepKind::TimedOut, call);
  give_up(call);
}

void SqliteCallQueue::drop(SqliteCall& call) noexcept {
  --unsettled_;
  ++counters_.dropped;
  tell(call.correlation_id(), StepKind::Abandoned, call);
  static_cast<Timer&>(call).disarm();
  give_up(call);
}

void SqliteCallQueue::give_up(SqliteCall& call) noexcept {
  switch (call.place_) {
    case SqliteCall::Place::Waiting: delete &call; return;
    case SqliteCall::Place::UnderWay:
      call.wanted_.store(false, std::memory_order_relaxed);
      on_given_up(call);
      return;
    case SqliteCall::Place::Back: return;
  }
}

void SqliteCallQueue::gone(SqliteCall& call) noexcept {
  if (call.place_ == SqliteCall::Place::Waiting) --waiting_count_;
  --outstanding_;
  loop_.release();
  on_gone(call.bytes_);
}

void SqliteCallQueue::reject_waiting() noexcept {
  while (!waiting_.empty()) {
    const std::unique_ptr<SqliteCall> call(&waiting_.front());
    --unsettled_;
    ++counters_.failed;
    reject(*call, Errc::ShuttingDown, "not begun");
    tell(call->correlation_id(), StepKind::Rejected, *call);
  }
}

void SqliteCallQueue::abandon(CallList& under_way) noexcept {
  close();
  reject_waiting();
  if (under_way.empty()) return;
  for (SqliteCall* call = &under_way.front(); call != nullptr; call = under_way.after(*call)) {
    static_cast<Timer&>(*call).disarm();
    call->wanted_.store(false, std::memory_order_relaxed);
    const bool wanted = call->state_ != nullptr;
    reject(*call, Errc::ShuttingDown, "under way still");
    if (wanted) tell(call->correlation_id(), StepKind::Rejected, *call);
    gone(*call);
    call->queue_ = nullptr;
  }
}

// --- what others ask ---

void SqliteCallQueue::tell(const CorrelationId& id, StepKind kind, const SqliteCall& call) const noexcept {
  if (id.empty() || loop_.lifecycle().step.empty()) return;
  loop_.lifecycle().step({.id = id, .kind = kind, .what = type_name(call.result_type())});
}

SqliteStatus::Lane SqliteCallQueue::status(CallList& under_way) const noexcept {
  SqliteStatus::Lane lane{
      .waiting = waiting_count_, .under_way = under_way_count_, .oldest = {}, .counters = counters_};
  // They are taken in the order in which they came.
  if (!under_way.empty()) {
    lane.oldest = loop_.now() - under_way.front().since_;
  } else if (!waiting_.empty()) {
    lane.oldest = loop_.now() - waiting_.front().since_;
  }
  return lane;
}

void SqliteCallQueue::explain(Explanation& explanation, CallList& under_way) const noexcept {
  for (CallList* list : {&under_way, &waiting_}) {
    for (SqliteCall* call = list->empty() ? nullptr : &list->front(); call != nullptr; call = list->after(*call)) {
      if (call->state_ == nullptr || !explanation.is_about(call->correlation_id())) continue;
      const Timer& timer = *call;
      explanation.add({call->correlation_id(), type_name(call->result_type()), call->since_,
                       timer.armed() ? timer.deadline() : kNever});
    }
  }
}

void SqliteCallQueue::audit(Audit& audit) const {
  const std::uint64_t ended = counters_.done + counters_.failed + counters_.timed_out + counters_.dropped;
  audit.expect(counters_.submitted == ended + unsettled_, [&] {
    return "a database has taken " + std::to_string(counters_.submitted) + " calls to " + std::string(what_) + "; " +
           std::to_string(ended) + " have ended and " + std::to_string(unsettled_) + " have not";
  });
}

}  // namespace snowfox
