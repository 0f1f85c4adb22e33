#pragma once

#include <functional>
#include <string>
#include <utility>

#include <snowfox/core/event.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/loop_manager.h>

#include "alarm.h"

namespace snowfox {

/// Calls a function in its turn among the loop's sources, and gives an event each time: whoever waits for events learns
/// that something has happened. Once the loop ends no source is asked any more, and the function is called without.
class Wakeup final : public EventSource {
 public:
  Wakeup(LoopManager& loop, std::string name, std::function<void()> function)
      : EventSource(loop),
        name_(std::move(name)),
        function_(std::move(function)),
        at_the_end_(loop, [this] { function_(); }) {
    // Calls under way keep the loop going, this does not.
    set_background(true);
  }

  void call() noexcept {
    if (loop().stopping()) return at_the_end_.call();
    called_ = true;
    ready();
  }
  void forget() noexcept {
    called_ = false;
    at_the_end_.unlink();
  }

  EventRef parse() override {
    if (!called_) return nullptr;
    EventRef event = make_event([] {}, {.name = "PostgresAnswer"});
    called_ = false;
    function_();
    return event;
  }
  std::string name() const override { return name_; }

 private:
  void on_stopping() noexcept override {
    if (std::exchange(called_, false)) at_the_end_.call();
  }

  std::string name_;
  std::function<void()> function_;
  Later at_the_end_;
  bool called_ = false;
};

}  // namespace snowfox
