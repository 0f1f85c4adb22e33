// How the loop ends: nobody is asked for events any more, drains are flushed, and what was sent arrives.
#include <snowfox/core/loop_manager.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace snowfox {
namespace {

constexpr std::string_view kComponent = "loop";
/// So often it looks whether what was sent has arrived.
constexpr Duration kDeliveryCheck = std::chrono::milliseconds(10);

}  // namespace

void LoopManager::stop(int exit_code) noexcept {
  if (std::exchange(stopping_, true)) return;
  share_end_ = 0;
  exit_code_ = exit_code;
  if (!in_turn_) poller_->wake();
}

void LoopManager::announce_stop() noexcept {
  if (std::exchange(stop_announced_, true)) return;
  flush_deadline_ = deadline_after(now(), options_.flush_timeout);
  for (std::size_t i = 0; i < sources_.slots.size(); ++i) {
    if (EventSource* source = sources_.slots[i].item()) source->on_stopping();
  }
  lifecycle_.process_exit(*this, exit_code_);
}

// A turn without events, after the last of those. True if nothing is left to do, or no time to do it in.
bool LoopManager::finished() noexcept {
  if (!aborted_ && !deferred_.empty()) run_deferred();
  hush_ready();
  end_turn();
  const bool done = deferred_.empty() && all_delivered();
  if (!aborted_ && !done && now() < flush_deadline_) return false;
  if (!aborted_ && !all_delivered())
    log_.warning(kComponent, "ended with output that its readers did not take in time");
  for (const auto& slot : sources_.slots) {
    EventSource* source = slot.item();
    if (source == nullptr || !std::exchange(source->hushed_, false)) continue;
    source->resume();
    if (source->ready_ && !source->paused() && !source->linked()) ready_.push_back(*source);
  }
  end_turn();
  return true;
}

// That something has arrived at the other end no descriptor tells: it must be asked.
TimePoint LoopManager::next_look_at_end() const noexcept {
  if (work_left()) return TimePoint::min();
  return all_flushed() ? std::min(flush_deadline_, deadline_after(now(), kDeliveryCheck)) : flush_deadline_;
}

// Nobody is asked for events any more: a descriptor that can be read must not end each wait at once.
void LoopManager::hush_ready() noexcept {
  ready_.take(turn_);
  while (!ready_.empty()) {
    EventSource& hushed = ready_.pop_front();
    if (!std::exchange(hushed.hushed_, true)) hushed.pause();
  }
}

bool LoopManager::all_delivered() const noexcept {
  return std::all_of(drains_.slots.begin(), drains_.slots.end(),
                     [](const auto& slot) { return slot.item() == nullptr || slot.item()->delivered(); });
}

}  // namespace snowfox
