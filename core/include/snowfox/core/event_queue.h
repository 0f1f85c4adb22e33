#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

#include <snowfox/core/event.h>

namespace snowfox {

/// Events that wait, first in, first out. They carry their own links, so that nothing is allocated. It owns them.
class EventQueue {
 public:
  EventQueue() = default;
  ~EventQueue() {
    while (pop() != nullptr) {
    }
  }
  EventQueue(const EventQueue&) = delete;
  EventQueue& operator=(const EventQueue&) = delete;

  bool empty() const noexcept { return first_ == nullptr; }
  /// May be called from any thread as long as the queue lives; about so many while another one uses it.
  std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }

  /// `event` must not be null.
  void push(EventRef event) noexcept {
    Event* last = event.release();
    last->next_ = nullptr;
    *end_ = last;
    end_ = &last->next_;
    set_size(size() + 1);
  }
  /// Null if it is empty.
  EventRef pop() noexcept {
    Event* first = first_;
    if (first == nullptr) return nullptr;
    first_ = first->next_;
    if (first_ == nullptr) end_ = &first_;
    __builtin_prefetch(first_, 1);  // while this one is handled
    set_size(size() - 1);
    return EventRef(first);
  }
  /// Takes all of `others`, behind its own.
  void take(EventQueue& others) noexcept {
    if (others.empty()) return;
    *end_ = std::exchange(others.first_, nullptr);
    end_ = std::exchange(others.end_, &others.first_);
    set_size(size() + others.size());
    others.set_size(0);
  }

 private:
  void set_size(std::size_t size) noexcept { size_.store(size, std::memory_order_relaxed); }

  Event* first_ = nullptr;
  Event** end_ = &first_;             // where the next one is linked
  std::atomic<std::size_t> size_{0};  // atomic only for those who ask on other threads
};

}  // namespace snowfox
