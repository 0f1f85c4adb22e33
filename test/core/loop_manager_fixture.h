#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <snowfox/core/error.h>
#include <snowfox/core/event.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>

#include "support/manual_loop.h"
#include "support/scripted_source.h"

namespace snowfox {

class LoopManagerTest : public testing::Test {
 protected:
  /// `count` events that note `name` when they are handled.
  void fill(ScriptedSource& source, std::size_t count, const std::string& name) {
    for (std::size_t i = 0; i < count; ++i) source.give([this, name] { handled_.push_back(name); });
  }
  std::size_t place_of(const std::string& name) const {
    return static_cast<std::size_t>(std::find(handled_.begin(), handled_.end(), name) - handled_.begin());
  }

  ManualLoop loop_;
  std::vector<std::string> handled_;
};

/// Something to be done soon that is gone once it is done.
class DeferredCall final : public Deferred {
 public:
  explicit DeferredCall(std::function<void()> call) : call_(std::move(call)) {}

 private:
  void run() noexcept override {
    call_();
    delete this;
  }
  std::function<void()> call_;
};

inline void defer(LoopManager& loop, std::function<void()> call) { loop.defer(*new DeferredCall(std::move(call))); }

class CallTimer final : public Timer {
 public:
  explicit CallTimer(std::function<void()> call) : call_(std::move(call)) {}

 private:
  void expire() noexcept override { call_(); }
  std::function<void()> call_;
};

/// An event that throws what a test wants.
class ThrowingEvent final : public Event {
 public:
  using Thrower = std::function<void()>;
  explicit ThrowingEvent(Thrower in_handle, Thrower in_rescue = nullptr, const CorrelationId& id = {})
      : Event(id), in_handle_(std::move(in_handle)), in_rescue_(std::move(in_rescue)) {}
  void handle() override { in_handle_(); }
  void rescue(std::exception_ptr error) override {
    last_rescued = describe(error);
    if (in_rescue_) return in_rescue_();
    std::rethrow_exception(error);
  }
  std::string_view name() const noexcept override { return "throwing event"; }

  static inline std::string last_rescued;

 private:
  Thrower in_handle_;
  Thrower in_rescue_;
};

inline void throw_runtime_error() { throw std::runtime_error("handler's"); }
inline void do_nothing() {}

}  // namespace snowfox
