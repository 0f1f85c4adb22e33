#pragma once

#include <random>

#include <snowfox/promises/promise_keeper.h>
#include <snowfox/sources/scheduler_source.h>

#include "soak/activity.h"

namespace snowfox::soak {

/// What a program does without any peer: timers, promises that are kept and others that nobody keeps, children that end
/// and others that are ended, work on other threads.
class LocalActivity final : public Activity {
 public:
  LocalActivity(LoopManager& loop, Tally& tally);
  ~LocalActivity() override { drop_tasks(); }

 private:
  Task<> set_timers();
  Task<> keep_promises();
  Task<> start_children();
  Task<> submit_work();

  std::minstd_rand random_;
  SchedulerSource scheduler_;
  PromiseKeeper keeper_;
};

}  // namespace snowfox::soak
