#include <snowfox/sources/manual_source.h>

#include <cassert>
#include <new>

#include <snowfox/core/fault_point.h>

namespace snowfox {

namespace {

/// A place that each thread has of its own: what std::this_thread::get_id() tells, without a call.
const void* this_thread() noexcept {
  static constinit thread_local char place = 0;
  return &place;
}

}  // namespace

ManualSource::ManualSource(LoopManager& loop, std::size_t limit)
    : EventSource(loop), thread_(this_thread()), limit_(limit) {}

bool ManualSource::post(EventRef event) {
  assert(event != nullptr);
  if (SNOWFOX_FAULT(ManualPost)) throw std::bad_alloc();
  if (this_thread() == thread_) {
    if (size() >= limit_) return false;
    own_.push(std::move(event));
    own_size_.store(own_.size(), std::memory_order_relaxed);
    ready();
    return true;
  }
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    if (remote_.size() + own_size_.load(std::memory_order_relaxed) >= limit_) return false;
    first = remote_.empty();
    remote_.push(std::move(event));
    remote_size_.store(remote_.size(), std::memory_order_release);
  }
  // One wake-up for all that come until the loop has looked.
  if (first) bell_.ring();
  return true;
}

EventRef ManualSource::parse() {
  if (remote_size_.load(std::memory_order_acquire) != 0) {
    const std::lock_guard lock(mutex_);
    own_.take(remote_);
    own_size_.store(own_.size(), std::memory_order_relaxed);
    remote_size_.store(0, std::memory_order_release);
  }
  if (own_.empty()) return nullptr;
  EventRef event = own_.pop();
  own_size_.store(own_.size(), std::memory_order_relaxed);
  return event;
}

}  // namespace snowfox
