#include <snowfox/sources/manual_source.h>

namespace snowfox {

ManualSource::ManualSource(LoopManager& loop, std::size_t limit)
    : EventSource(loop), thread_(this_thread()), limit_(limit) {}

bool ManualSource::post_from_elsewhere(EventRef event) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    if (size() >= limit_) return false;
    first = remote_.empty();
    remote_.push(std::move(event));
  }
  // One wake-up for all that come until the loop has looked.
  if (first) bell_.ring();
  return true;
}

EventRef ManualSource::parse() {
  take_remote();
  return own_.pop();
}

void ManualSource::parse_all(EventSink& sink) {
  take_remote();
  while (const EventRef event = own_.pop()) {
    if (!sink.handle(*event)) return;
  }
}

void ManualSource::take_remote() {
  if (remote_.size() == 0) return;
  const std::lock_guard lock(mutex_);
  own_.take(remote_);
}

}  // namespace snowfox
