#include <snowfox/core/event_drain.h>

#include <algorithm>
#include <cassert>
#include <utility>

#include <snowfox/core/explanation.h>
#include <snowfox/core/fault_point.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/type_name.h>

namespace snowfox {

EventDrain::EventDrain(LoopManager& loop, const Watermarks* watermarks)
    : loop_(loop), watermarks_(watermarks != nullptr ? watermarks : &loop.options().watermarks) {
  loop_.attach_drain(*this);
}

EventDrain::~EventDrain() {
  dropped();
  loop_.detach_drain(*this);
  if (has_several_bound_) delete several_bound_;
}

std::span<const SourceId> EventDrain::bound() const noexcept {
  if (has_several_bound_) return *several_bound_;
  return {&bound_, 1};
}

void EventDrain::bind(SourceId source) {
  const auto all = bound();
  if (std::find(all.begin(), all.end(), source) != all.end()) return;
  if (has_several_bound_) {
    std::erase_if(*several_bound_, [this](SourceId id) { return loop_.source(id) == nullptr; });
    several_bound_->push_back(source);
  } else if (bound_ == kNoSource || loop_.source(bound_) == nullptr) {
    bound_ = source;
  } else {
    several_bound_ = new std::vector<SourceId>{bound_, source};
    has_several_bound_ = true;
  }
  if (!congested_) return;
  if (EventSource* bound = loop_.source(source)) bound->pause_for_drain();
}

void EventDrain::unbind(SourceId source) noexcept {
  if (has_several_bound_) {
    if (std::erase(*several_bound_, source) == 0) return;
  } else {
    if (bound_ != source) return;
    bound_ = kNoSource;
  }
  if (!congested_) return;
  if (EventSource* bound = loop_.source(source)) bound->resume_for_drain();
}

void EventDrain::added(std::size_t bytes) noexcept {
  pending_bytes_ += bytes;
  loop_.counters().enqueued_bytes += bytes;
  loop_.lifecycle().drain_enqueue(*this, bytes);
  loop_.drain_dirty(*this);
  if (pending_bytes_ > watermarks_->high && !congested_) set_congested(true);
}

void EventDrain::added_message(const CorrelationId& id, std::size_t bytes) noexcept {
  loop_.lifecycle().step(
      {.id = id, .kind = StepKind::Enqueued, .what = type_name(typeid(*this)), .drain = id_, .bytes = bytes});
}

void EventDrain::removed(std::size_t bytes) noexcept {
  pending_bytes_ -= bytes;
  flushed_bytes_ += bytes;
  loop_.counters().flushed_bytes += bytes;
  loop_.lifecycle().drain_flush(*this, bytes);
}

void EventDrain::dropped() noexcept {
  if (pending_bytes_ == 0) return;
  const std::size_t bytes = std::exchange(pending_bytes_, 0);
  loop_.counters().dropped_bytes += bytes;
  loop_.lifecycle().drain_drop(*this, bytes);
}

void EventDrain::refused(std::size_t bytes) noexcept {
  loop_.counters().enqueued_bytes += bytes;
  loop_.counters().dropped_bytes += bytes;
}

void EventDrain::set_congested(bool congested) noexcept {
  congested_ = congested;
  if (!congested && SNOWFOX_MUTANT(ForgottenResume)) return;
  for (const SourceId id : bound()) {
    EventSource* source = loop_.source(id);
    if (source == nullptr) continue;
    if (congested) {
      source->pause_for_drain();
    } else {
      source->resume_for_drain();
    }
  }
}

void EventDrain::close_when_empty() noexcept {
  closing_ = true;
  loop_.drain_dirty(*this);
}

void EventDrain::on_writable() noexcept { loop_.drain_dirty(*this); }

void EventDrain::fail(std::error_code) noexcept { loop_.remove(id_); }

DrainLease::DrainLease(EventDrain& drain) noexcept : loop_(&drain.loop()), id_(drain.id()) {
  ++drain.leases_;
  assert(drain.leases_ != 0);
}

DrainLease::~DrainLease() {
  EventDrain* held = drain();
  if (held != nullptr && --held->leases_ == 0 && held->closing_) loop_->drain_dirty(*held);
}

EventDrain* DrainLease::drain() const noexcept { return loop_ == nullptr ? nullptr : loop_->drain(id_); }

}  // namespace snowfox
