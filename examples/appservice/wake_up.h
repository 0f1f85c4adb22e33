#pragma once

#include <utility>

#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>
#include <snowfox/promises/promise.h>

namespace snowfox::appservice {

/// What one coroutine waits with until it is woken, or a time has come: `co_await wake_up.at(time)`.
class WakeUp final : private Timer {
 public:
  explicit WakeUp(LoopManager& loop) noexcept : loop_(loop) {}

  /// kNever: until ring(). One at a time.
  Promise<void> at(TimePoint time) {
    auto [promise, resolver] = make_promise<void>(loop_);
    resolver_ = std::move(resolver);
    loop_.arm(*this, time);
    return std::move(promise);
  }
  /// Wakes who waits; nobody does: nothing happens.
  void ring() {
    disarm();
    if (resolver_.wanted()) std::exchange(resolver_, {}).resolve();
  }
  bool awaited() const noexcept { return resolver_.wanted(); }
  /// kNever if there is none.
  TimePoint time() const noexcept { return armed() ? deadline() : kNever; }

 private:
  void expire() noexcept override { ring(); }

  LoopManager& loop_;
  Resolver<void> resolver_;
};

}  // namespace snowfox::appservice
