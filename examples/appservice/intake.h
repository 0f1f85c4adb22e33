#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>
#include <snowfox/promises/task.h>

#include "appservice/client_event.h"
#include "appservice/rooms.h"
#include "appservice/scheduler.h"
#include "appservice/wake_up.h"

namespace snowfox::appservice {

struct IntakeOptions {
  ClientEventLimits events{};
  /// Submissions that may wait, to be read or for what is known of their rooms; more are refused with
  /// Errc::LimitReached.
  std::size_t most_waiting = 10'000;
  std::size_t most_waiting_bytes = 64U << 20;
};

struct IntakeCounters {
  std::uint64_t submissions = 0;  ///< accepted
  std::uint64_t events = 0;       ///< accepted, of which …
  std::uint64_t known = 0;        ///< … had been accepted before
  std::uint64_t ignored = 0;      ///< … are for no service
  std::uint64_t refused = 0;      ///< submissions that were not accepted
};

/// Takes events in: reads what was submitted, decides whose the events are, and has them stored. Submissions are read,
/// decided and stored in the order in which they come, those that wait together as far as they are short; a long one is
/// read a piece at a time, while the loop goes on.
class Intake {
 public:
  /// All must outlive it.
  Intake(LoopManager& loop, Scheduler& scheduler, Rooms& rooms, IntakeOptions options = {});
  Intake(const Intake&) = delete;
  Intake& operator=(const Intake&) = delete;

  /// What there is to be known before anything can be decided is there: the scheduler has been started.
  void begin();
  void set_limits(const ClientEventLimits& limits) noexcept { options_.events = limits; }

  /// JSON: an event or a list of them. `text` must be there as long as `keeper` is. Fulfilled with the events' ids when
  /// all of them are durable. Rejected with ClientEventError if it is none; otherwise none is accepted, or it is not
  /// known whether, and it may be submitted again. What cannot be stored may take others down that came with it.
  Promise<std::vector<std::string>> submit(std::string_view text, std::shared_ptr<const void> keeper,
                                           const CorrelationId& id);

  const IntakeCounters& counters() const noexcept { return counters_; }
  std::size_t waiting() const noexcept { return waiting_.size(); }
  std::size_t waiting_bytes() const noexcept { return waiting_bytes_; }

 private:
  struct Submitted {
    std::string_view text;
    std::shared_ptr<const void> keeper;
    Resolver<std::vector<std::string>> resolver;
    CorrelationId id;
  };
  struct Batch;

  Task<> supervise();
  Task<> work();
  Task<> take(std::shared_ptr<Batch> batch);
  Task<> read(Batch& batch);
  Task<> read(Batch& batch, const Submitted& submitted);
  Task<> decide(Batch& batch);
  void refuse_unloaded(Batch& batch);
  Task<> find_known(Batch& batch);
  bool all_stored(const std::vector<std::string>& event_ids) const;
  void prepare(Batch& batch);
  void store(const std::shared_ptr<Batch>& batch);
  void stored(Batch& batch, const std::vector<bool>& known);
  void not_stored(Batch& batch, const std::exception_ptr& error);
  void forget_rooms(const Batch& batch);
  void end(Batch& batch);

  LoopManager& loop_;
  Scheduler& scheduler_;
  Rooms& rooms_;
  IntakeOptions options_;
  IntakeCounters counters_;
  std::deque<Submitted> waiting_;
  std::size_t waiting_bytes_ = 0;
  JsonCheck json_check_;
  std::multiset<std::string> on_their_way_;  // events that concern rooms and are being stored: their ids
  WakeUp wake_up_;
  WakeUp something_stored_;
  Task<> task_;
};

}  // namespace snowfox::appservice
