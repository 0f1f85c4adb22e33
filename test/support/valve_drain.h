#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include <snowfox/core/event_drain.h>

namespace snowfox {

/// A drain without a descriptor: how much flows out at each flush is for the test to say.
class ValveDrain : public EventDrain {
 public:
  explicit ValveDrain(LoopManager& loop, const Watermarks* watermarks = nullptr) : EventDrain(loop, watermarks) {}
  ~ValveDrain() override {
    if (on_destroyed) on_destroyed();
  }

  using EventDrain::enqueue;
  void enqueue(std::span<const std::byte> bytes) override {
    waiting_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    added(bytes.size());
  }
  bool flush() override {
    ++flushes;
    if (on_flush) on_flush();
    const std::size_t flowing = std::min(opening_bytes, waiting_.size());
    flown.append(waiting_, 0, flowing);
    waiting_.erase(0, flowing);
    EventDrain::removed(flowing);
    return waiting_.empty();
  }
  std::string name() const override { return "valve"; }

  /// From now on so much flows at a flush, the first of them at the end of this turn.
  void open(std::size_t bytes = SIZE_MAX) {
    opening_bytes = bytes;
    added(0);
  }

  std::size_t opening_bytes = SIZE_MAX;
  std::string flown;
  std::size_t flushes = 0;
  bool was_removed = false;
  std::function<void()> on_flush;
  std::function<void()> on_destroyed;

 private:
  void on_removed() noexcept override { was_removed = true; }

  std::string waiting_;
};

}  // namespace snowfox
