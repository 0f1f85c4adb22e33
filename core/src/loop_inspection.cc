// What the loop tells about itself when it is asked.
#include <snowfox/core/loop_manager.h>

#include <algorithm>

#include <snowfox/core/explanation.h>

namespace snowfox {

Audit LoopManager::audit() {
  Audit audit;
  std::uint64_t pending = 0;
  std::vector<std::uint32_t> drain_pauses(sources_.slots.size());
  for (const auto& slot : drains_.slots) {
    const EventDrain* drain = slot.item();
    if (drain == nullptr) continue;
    pending += drain->pending_bytes_;
    audit.expect(drain->congested_ || drain->pending_bytes_ <= drain->watermarks_->high,
                 [&] { return drain->name() + " is above its high watermark and does not say so"; });
    if (!drain->congested_) continue;
    audit.expect(drain->pending_bytes_ > drain->watermarks_->low || drain->linked(),
                 [&] { return drain->name() + " is at its low watermark and still pauses its sources"; });
    const auto paused_by_it = [&](SourceId id) {
      if (source(id) != nullptr) ++drain_pauses[static_cast<std::uint32_t>(id)];
    };
    for (const SourceId id : drain->bound()) paused_by_it(id);
  }
  const LoopCounters& n = counters_;
  audit.expect(n.enqueued_bytes == n.flushed_bytes + n.dropped_bytes + pending, [&] {
    return "of " + std::to_string(n.enqueued_bytes) + " bytes enqueued " + std::to_string(n.flushed_bytes) +
           " were flushed, " + std::to_string(n.dropped_bytes) + " dropped, " + std::to_string(pending) +
           " are pending";
  });
  audit.expect(n.settled_twice == 0, "a promise was settled twice");
  for (std::size_t i = 0; i < sources_.slots.size(); ++i) {
    const EventSource* source = sources_.slots[i].item();
    if (source == nullptr) continue;
    audit.expect(source->drain_pauses_ == drain_pauses[i], [&] {
      return source->name() + " is paused by " + std::to_string(source->drain_pauses_) + " drains, of which " +
             std::to_string(drain_pauses[i]) + " are congested";
    });
    audit.expect(source->pauses_ >= source->drain_pauses_,
                 [&] { return source->name() + " was resumed more often than paused"; });
    audit.expect(!source->ready_ || source->paused() || source->linked() || stopping_,
                 [&] { return source->name() + " is ready and nobody will ask it"; });
    audit.expect(source->paused() == source->pause_announced_ || source->pause_listed_,
                 [&] { return source->name() + " was not told whether it is paused"; });
  }
  lifecycle_.audit(audit);
  return audit;
}

Explanation LoopManager::explain(const CorrelationId& id) {
  Explanation explanation(id, now());
  lifecycle_.explain(explanation);
  return explanation;
}

std::vector<LoopManager::Waiting> LoopManager::waiting() const {
  std::vector<Waiting> all;
  for (const auto& slot : sources_.slots) {
    if (slot.item() == nullptr) continue;
    all.push_back({slot.item()->name(),
                   slot.item()->paused() ? "paused"
                   : slot.item()->ready_ ? "ready"
                                         : "waiting",
                   0});
  }
  for (const auto& slot : drains_.slots) {
    if (slot.item() == nullptr || slot.item() == null_drain_.get()) continue;
    all.push_back({slot.item()->name(),
                   slot.item()->congested() ? "congested"
                   : slot.item()->empty()   ? "empty"
                                            : "pending",
                   slot.item()->pending_bytes()});
  }
  return all;
}

}  // namespace snowfox
