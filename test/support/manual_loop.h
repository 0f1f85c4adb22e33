#pragma once

#include <memory>
#include <utility>

#include <snowfox/core/loop_manager.h>

#include "support/manual_poller.h"
#include "support/recording_sink.h"
#include "support/run_until.h"

namespace snowfox {

/// A loop whose clock is turned by hand, and what it logs.
class ManualLoop {
 public:
  explicit ManualLoop(LoopOptions options = {}, Io& io = Io::system())
      : ManualLoop(std::make_unique<ManualPoller>(), options, io) {}
  ManualLoop(std::unique_ptr<ManualPoller> own, LoopOptions options, Io& io)
      : poller(*own), loop(std::move(own), io, log, options) {}

  LoopManager& operator*() noexcept { return loop; }
  LoopManager* operator->() noexcept { return &loop; }

  /// Handles what has already happened, and what comes of it.
  void turn() {
    std::size_t tells = 0;
    do {
      tells = poller.tells();
      loop.run_for(Duration::zero());
    } while (poller.tells() != tells);
  }
  /// Lets `time` pass, handling what comes meanwhile.
  void pass(Duration time) {
    const TimePoint end = poller.now() + time;
    loop.run_for(time);
    // The loop does not wait when it has nothing to wait for.
    if (poller.now() < end) poller.advance(end - poller.now());
    turn();
  }

  RecordingSink sink;
  Log log{sink, LogLevel::Debug};
  ManualPoller& poller;
  LoopManager loop;
};

}  // namespace snowfox
