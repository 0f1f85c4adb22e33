#include <snowfox/core/trail.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <exception>
#include <utility>

#include <snowfox/core/loop_manager.h>

namespace snowfox {
namespace {

/// Of messages that wait for the kernel so many are followed, the newest; of the others the flush is not told.
constexpr std::size_t kMostUnflushed = 1024;
/// To find the steps of one request all are looked through: of requests that time out so many a second have them told.
constexpr unsigned kReportsPerSecond = 10;

}  // namespace

Trail::Trail(LoopManager& loop, std::size_t steps)
    : loop_(loop),
      ring_(steps, Step{{}, StepKind::Received}),
      on_step_(loop.lifecycle().step.add([this](const Step& step) { note(step); })),
      on_event_(loop.lifecycle().event_initialise.add([this](Event& event) {
        if (!event.correlation_id().empty()) note({event.correlation_id(), StepKind::Received, event.name()});
      })),
      on_error_(loop.lifecycle().event_error.add([this](Event& event, const std::exception_ptr&) {
        if (!event.correlation_id().empty()) note({event.correlation_id(), StepKind::Failed, event.name()});
      })),
      on_done_(loop.lifecycle().event_done.add([this](Event& event) {
        if (!event.correlation_id().empty()) note({event.correlation_id(), StepKind::Handled, event.name()});
      })),
      on_flush_(loop.lifecycle().drain_flush.add(
          [this](EventDrain& drain, std::size_t) { gone_from(drain, StepKind::Flushed); })),
      on_drop_(loop.lifecycle().drain_drop.add(
          [this](EventDrain& drain, std::size_t) { gone_from(drain, StepKind::Dropped); })),
      on_explain_(loop.lifecycle().explain.add([this](Explanation& explanation) { explain(explanation); })) {
  assert(steps > 0);
  unflushed_.reserve(kMostUnflushed);
}

void Trail::note(Step step) noexcept {
  step.at = loop_.now();
  ring_[noted_++ % ring_.size()] = step;
  if (step.kind == StepKind::TimedOut) report_time_out(step);
  if (step.kind != StepKind::Enqueued) return;
  const EventDrain* drain = loop_.drain(step.drain);
  if (drain == nullptr) return;
  if (unflushed_.size() == kMostUnflushed)
    unflushed_.erase(unflushed_.begin(), unflushed_.begin() + kMostUnflushed / 2);
  unflushed_.push_back({drain, drain->flushed_bytes() + drain->pending_bytes(), step});
}

void Trail::gone_from(const EventDrain& drain, StepKind kind) noexcept {
  const auto through = [&](const Unflushed& one) {
    return one.drain == &drain && (kind == StepKind::Dropped || one.position <= drain.flushed_bytes());
  };
  for (const Unflushed& one : unflushed_) {
    if (through(one)) note({one.step.id, kind, one.step.what, one.step.drain, one.step.bytes});
  }
  std::erase_if(unflushed_, through);
}

void Trail::report_time_out(const Step& step) noexcept try {
  if (step.at - reporting_since_ >= std::chrono::seconds(1)) {
    reporting_since_ = step.at;
    reports_ = 0;
  }
  Explanation explanation(step.id, step.at);
  if (reports_++ < kReportsPerSecond) explain(explanation);
  loop_.log().warning("trail", "request timed out", {{"waited_for", step.what}, {"steps", explanation.str()}}, step.id);
} catch (...) {
  // Without memory there is no line.
}

void Trail::explain(Explanation& explanation) const {
  if (explanation.id().empty()) return;
  const std::size_t known = std::min(noted_, ring_.size());
  for (std::size_t i = noted_ - known; i != noted_; ++i) {
    const Step& step = ring_[i % ring_.size()];
    if (step.id == explanation.id()) explanation.add(step);
  }
}

}  // namespace snowfox
