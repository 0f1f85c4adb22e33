#pragma once

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
  std::size_t size() const noexcept { return size_; }

  /// `event` must not be null.
  void push(EventRef event) noexcept {
    Event* last = event.release();
    last->next_ = nullptr;
    *end_ = last;
    end_ = &last->next_;
    ++size_;
  }
  /// Null if it is empty.
  EventRef pop() noexcept {
    Event* first = first_;
    if (first == nullptr) return nullptr;
    first_ = first->next_;
    if (first_ == nullptr) end_ = &first_;
    --size_;
    return EventRef(first);
  }
  /// Takes all of `others`, behind its own.
  void take(EventQueue& others) noexcept {
    if (others.empty()) return;
    *end_ = std::exchange(others.first_, nullptr);
    end_ = std::exchange(others.end_, &others.first_);
    size_ += std::exchange(others.size_, 0);
  }

 private:
  Event* first_ = nullptr;
  Event** end_ = &first_;  // where the next one is linked
  std::size_t size_ = 0;
};

}  // namespace snowfox
