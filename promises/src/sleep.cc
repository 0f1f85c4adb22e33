#include <snowfox/promises/sleep.h>

#include <system_error>

#include <snowfox/core/error.h>

#include "promise_name.h"

namespace snowfox {
namespace {

class SleepState final : public ValueState<void>, private Timer {
 public:
  SleepState(LoopManager& loop, TimePoint deadline) : ValueState<void>(&loop) { loop.arm(*this, deadline); }

 private:
  void expire() noexcept override {
    emplace();
    notify();
  }
};

}  // namespace

Promise<void> sleep(LoopManager& loop, Duration duration) {
  return sleep_until(loop, deadline_after(loop.now(), duration));
}

Promise<void> sleep_until(LoopManager& loop, TimePoint time) { return Promise<void>(new SleepState(loop, time)); }

std::exception_ptr deadline_exceeded(const CorrelationId& id, Duration waited) noexcept {
  return make_error(Errc::DeadlineExceeded,
                    [&] { return "no answer to " + promise_name(id) + " within " + readable(waited); });
}

}  // namespace snowfox
