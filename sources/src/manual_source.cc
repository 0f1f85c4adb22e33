#include <snowfox/sources/manual_source.h>

namespace snowfox {

ManualSource::ManualSource(LoopManager& loop, std::size_t limit)
    : EventSource(loop, own_), thread_(this_thread()), limit_(limit) {}

bool ManualSource::post_from_elsewhere(EventRef event) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    if (size() >= limit_) return false;
    first = remote_.empty();
    remote_.push(std::move(event));
  }
  // One wake-up for all that come until the loop has looked.
  if (first) ready_from_any_thread();
  return true;
}

EventRef ManualSource::parse() {
  if (remote_.size() != 0) {
    const std::lock_guard lock(mutex_);
    own_.take(remote_);
  }
  return own_.pop();
}

}  // namespace snowfox
