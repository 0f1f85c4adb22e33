#pragma once

#include <cstdint>

#include <snowfox/core/event_drain.h>

namespace snowfox {

/// Takes and forgets: where the answer goes that nobody waits for. In core because an event without a drain has this
/// one.
class NullDrain : public EventDrain {
 public:
  explicit NullDrain(LoopManager& loop) : EventDrain(loop) {}

  using EventDrain::enqueue;
  void enqueue(std::span<const std::byte> bytes) override { forgotten_bytes_ += bytes.size(); }
  bool flush() override { return true; }
  std::string name() const override { return "null"; }

  /// All that it ever took.
  std::uint64_t forgotten_bytes() const noexcept { return forgotten_bytes_; }

 private:
  std::uint64_t forgotten_bytes_ = 0;
};

}  // namespace snowfox
