#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>
#include <snowfox/http/http_responder.h>

#include "appservice/overview.h"

namespace snowfox::appservice {

/// Those who are told by server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) whenever
/// something has changed. It is looked for once a second, as long as anybody is there. Who does not read as fast as it
/// changes is left out, and told how things are once it has.
class Watchers final : private Timer {
 public:
  static constexpr std::size_t kMost = 32;

  /// Both must outlive it.
  Watchers(LoopManager& loop, Overview& overview) noexcept : loop_(loop), overview_(overview) {}

  /// Who asks by `responder` is told from now on, at once for the first time. False, and nothing was answered: there
  /// are too many, or close() was called.
  bool add(HttpResponder& responder, OverviewQuery query);
  std::size_t size() const noexcept { return watchers_.size(); }
  /// Ends all answers; nobody watches any more.
  void close();

 private:
  struct Watcher {
    HttpResponder responder;
    OverviewQuery query;
    std::uint64_t seen;  // a fingerprint
    TimePoint told;
  };
  void expire() noexcept override;
  void look();
  void forget_gone() noexcept;

  LoopManager& loop_;
  Overview& overview_;
  std::vector<Watcher> watchers_;
  bool closed_ = false;
};

}  // namespace snowfox::appservice
