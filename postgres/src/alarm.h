#pragma once

#include <functional>
#include <utility>

#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>

namespace snowfox {

/// Calls a function when its time has come.
class Alarm final : public Timer {
 public:
  explicit Alarm(std::function<void()> ring) : ring_(std::move(ring)) {}

 private:
  void expire() noexcept override { ring_(); }
  std::function<void()> ring_;
};

/// Calls a function right after what the loop does now.
class Later final : public Deferred {
 public:
  Later(LoopManager& loop, std::function<void()> function) : loop_(loop), function_(std::move(function)) {}
  void call() noexcept {
    if (!linked()) loop_.defer(*this);
  }

 private:
  void run() noexcept override { function_(); }
  LoopManager& loop_;
  std::function<void()> function_;
};

}  // namespace snowfox
