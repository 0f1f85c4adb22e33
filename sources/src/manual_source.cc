#include <snowfox/sources/manual_source.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <new>

#include <snowfox/core/fault_point.h>

namespace snowfox {

void ManualSource::Ring::reserve(std::size_t count) {
  if (count <= places_.size()) return;
  constexpr std::size_t kFirst = 64;
  std::vector<EventRef> larger(std::bit_ceil(std::max(kFirst, count)));
  for (std::size_t i = 0; i < count_; ++i) larger[i] = std::move(places_[(first_ + i) & (places_.size() - 1)]);
  places_.swap(larger);
  first_ = 0;
}

void ManualSource::Ring::push(EventRef event) {
  reserve(count_ + 1);
  places_[(first_ + count_) & (places_.size() - 1)] = std::move(event);
  ++count_;
}

EventRef ManualSource::Ring::pop() noexcept {
  EventRef event = std::move(places_[first_]);
  first_ = (first_ + 1) & (places_.size() - 1);
  --count_;
  return event;
}

ManualSource::ManualSource(LoopManager& loop, std::size_t limit) : EventSource(loop), limit_(limit) {}

bool ManualSource::post(EventRef event) {
  assert(event != nullptr);
  if (SNOWFOX_FAULT(ManualPost)) throw std::bad_alloc();
  if (std::this_thread::get_id() == thread_) {
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
    remote_.push_back(std::move(event));
    remote_size_.store(remote_.size(), std::memory_order_release);
  }
  // One wake-up for all that come until the loop has looked.
  if (first) ready_from_any_thread();
  return true;
}

EventRef ManualSource::parse() {
  if (remote_size_.load(std::memory_order_acquire) != 0) {
    {
      const std::lock_guard lock(mutex_);
      own_.reserve(own_.size() + remote_.size());
      taken_.swap(remote_);
      // Those that were taken still wait: whoever posts next must not see them gone.
      own_size_.store(own_.size() + taken_.size(), std::memory_order_relaxed);
      remote_size_.store(0, std::memory_order_release);
    }
    for (EventRef& event : taken_) own_.push(std::move(event));
    taken_.clear();
  }
  if (own_.empty()) return nullptr;
  EventRef event = own_.pop();
  own_size_.store(own_.size(), std::memory_order_relaxed);
  return event;
}

}  // namespace snowfox
