// ticker: says once a second how long it has been running, until SIGINT or SIGTERM.
#include <chrono>
#include <csignal>
#include <cstdio>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/scheduler_source.h>
#include <snowfox/sources/signal_source.h>

int main() {
  snowfox::LoopManager loop;
  snowfox::SignalSource quit(loop, {SIGINT, SIGTERM}, [](int) { throw snowfox::CleanExit(); });
  snowfox::SchedulerSource timers(loop);
  int seconds = 0;
  timers.every(std::chrono::seconds(1), [&] {
    std::printf("%d s\n", ++seconds);
    std::fflush(stdout);
  });
  return loop.run();
}
