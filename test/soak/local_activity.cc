#include "soak/local_activity.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <snowfox/promises/run_on_worker.h>
#include <snowfox/promises/sleep.h>
#include <snowfox/sources/process_source.h>

namespace snowfox::soak {

using namespace std::chrono_literals;

LocalActivity::LocalActivity(LoopManager& loop, Tally& tally) : Activity(loop, tally), scheduler_(loop), keeper_(loop) {
  run("timers", set_timers());
  run("promises", keep_promises());
  run("children", start_children());
  run("work on other threads", submit_work());
}

Task<> LocalActivity::set_timers() {
  while (!finishing()) {
    std::vector<TimerId> to_cancel;
    for (int i = 0; i < 100; ++i) {
      const TimePoint deadline = loop().now() + std::chrono::microseconds(random_() % 400'000);
      const TimerId id = scheduler_.at(deadline, make_event([this, deadline] {
                                         if (loop().now() < deadline) tally().failed("timers", "one came too early");
                                         tally().done("timers");
                                       }));
      if (i % 2 == 0) to_cancel.push_back(id);
    }
    co_await sleep(loop(), 100ms);
    for (const TimerId id : to_cancel) {
      if (scheduler_.cancel(id)) tally().done("timers cancelled");
    }
    if (scheduler_.size() > 1000) tally().failed("timers", "they do not come");
  }
}

Task<> LocalActivity::keep_promises() {
  while (!finishing()) {
    std::vector<CorrelationId> kept_ids;
    std::vector<Promise<int>> kept;
    std::vector<Promise<int>> broken;
    for (int i = 0; i < 20; ++i) {
      kept_ids.push_back(loop().ids().next());
      kept.push_back(keeper_.keep<int>(kept_ids.back(), 30s));
      broken.push_back(keeper_.keep<int>(loop().ids().next(), 50ms));
    }
    co_await sleep(loop(), 5ms);
    for (int i = 0; i < 20; ++i) keeper_.fulfill<int>(kept_ids[static_cast<std::size_t>(i)], i);
    for (int i = 0; i < 20; ++i) {
      if (co_await std::move(kept[static_cast<std::size_t>(i)]) != i) tally().failed("promises", "a wrong value");
      tally().done("promises kept");
    }
    for (Promise<int>& promise : broken) {
      std::error_code reason;
      try {
        co_await std::move(promise);
      } catch (const std::system_error& error) {
        reason = error.code();
      }
      if (reason != Errc::DeadlineExceeded) tally().failed("promises", "no deadline: " + reason.message());
      tally().done("promises past their deadline");
    }
    if (keeper_.size() != 0) tally().failed("promises", "they stay");
  }
}

Task<> LocalActivity::start_children() {
  for (int round = 0; !finishing(); ++round) {
    if (round % 4 == 3) {
      ProcessOptions options;
      options.arguments = {"sleep", "1000"};
      const ProcessSource ended(loop(), options, [](const ProcessExit&) {});
      co_await sleep(loop(), 10ms);
      tally().done("children killed");
    } else {
      const int code = round % 100;
      ProcessOptions options;
      options.arguments = {"/bin/sh", "-c", "exit " + std::to_string(code)};
      auto [promise, resolver] = make_promise<int>(loop());
      // Shared only because a std::function must be one that can be copied.
      auto shared = std::make_shared<Resolver<int>>(std::move(resolver));
      const ProcessSource child(loop(), options,
                                [shared](const ProcessExit& exit) { shared->resolve(exit.code.value_or(-1)); });
      if (co_await with_deadline(std::move(promise), 30s) != code) tally().failed("children", "a wrong exit code");
      tally().done("children");
    }
    co_await sleep(loop(), 100ms);
  }
}

Task<> LocalActivity::submit_work() {
  const auto sum = [](std::uint64_t until) {
    std::uint64_t all = 0;
    for (std::uint64_t i = 1; i <= until; ++i) all += i;
    return all;
  };
  while (!finishing()) {
    const std::uint64_t until = random_() % 100'000;
    if (co_await run_on_worker(loop(), sum, until) != until * (until + 1) / 2) {
      tally().failed("work on other threads", "a wrong result");
    }
    tally().done("work on other threads");
    co_await sleep(loop(), 5ms);
  }
}

}  // namespace snowfox::soak
