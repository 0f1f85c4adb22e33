#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>

#include <snowfox/core/audit.h>
#include <snowfox/core/event.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/explanation.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/postgres/postgres_status.h>

#include "postgres_call.h"

namespace snowfox {

using CallList = IntrusiveList<PostgresCall, PostgresCall>;

/// Gives an event for each call that was settled: whoever waits for events learns of each, and who is told of many
/// shares the turn with others.
class Announcer final : public EventSource {
 public:
  Announcer(LoopManager& loop, std::string_view what) : EventSource(loop), what_(what) { set_background(true); }
  void announce() noexcept {
    ++pending_;
    ready();
  }
  EventRef parse() override {
    if (pending_ == 0) return nullptr;
    EventRef event = make_event([] {}, {.name = "PostgresResult"});
    --pending_;
    return event;
  }
  std::string name() const override { return "postgres, results of each " + std::string(what_); }

 private:
  const std::string_view what_;
  std::size_t pending_ = 0;
};

/// The calls of a lane: those that wait, those under way, and the books of all until they are gone. As long as there is
/// one the loop goes on.
class CallQueue {
 public:
  /// `what` is what errors call one of them: a literal.
  CallQueue(LoopManager& loop, std::string_view what, std::size_t most, Duration default_deadline)
      : loop_(loop), announcer_(loop, what), what_(what), most_(most), default_deadline_(default_deadline) {}
  CallQueue(const CallQueue&) = delete;
  CallQueue& operator=(const CallQueue&) = delete;

  /// Takes `call`: it waits. Or rejects it: if there are too many, the queue is closed, there is no `room` elsewhere,
  /// or `error` says why.
  bool add(std::unique_ptr<PostgresCall> call, bool room, const std::exception_ptr& error) noexcept;
  /// Nothing is taken any more.
  void close() noexcept { closed_ = true; }
  /// Rejects all that wait.
  void reject_waiting(const std::exception_ptr& error) noexcept;
  void reject_waiting_to_shut_down() noexcept;

  bool closed() const noexcept { return closed_; }
  std::size_t waiting() const noexcept { return waiting_count_; }
  std::size_t under_way() const noexcept { return under_way_count_; }
  /// Not gone yet.
  std::size_t outstanding() const noexcept { return outstanding_; }
  PostgresStatus::Lane status() const noexcept;
  void explain(Explanation& explanation) const noexcept;
  void audit(Audit& audit) const;

 protected:
  ~CallQueue() = default;

  PostgresCall& first_waiting() const noexcept { return waiting_.front(); }
  CallList& calls_under_way() const noexcept { return under_way_; }
  /// Moves the one that waits the longest, which must exist, to the end of those under way.
  PostgresCall& begin() noexcept;
  /// All under way are the first of those that wait again, in their order; those that nobody wants are gone.
  void put_back() noexcept;
  /// The same for one of several readers' calls.
  void put_back(PostgresCall& call) noexcept;
  /// It is through, and gone.
  void settle(PostgresCall& call, PostgresResults&& results) noexcept;
  void settle(PostgresCall& call, const std::exception_ptr& error) noexcept;

 private:
  friend class PostgresCall;

  /// A call is no more.
  virtual void on_gone(std::size_t bytes) noexcept = 0;
  /// Nobody waits any more for one that is under way.
  virtual void on_given_up(PostgresCall& call) noexcept = 0;
  /// Why it has come to nothing so far, to be added to an error.
  virtual std::string_view hindrance() const noexcept = 0;

  void time_out(PostgresCall& call) noexcept;
  void drop(PostgresCall& call, const CorrelationId& id) noexcept;
  void give_up(PostgresCall& call) noexcept;
  void reject(PostgresCall& call, const std::exception_ptr& error) noexcept;
  std::exception_ptr error(const PostgresCall& call, std::error_code code, std::string_view why) const noexcept;
  void gone(PostgresCall& call) noexcept;
  void tell(const CorrelationId& id, StepKind kind, const PostgresCall& call) const noexcept;

  LoopManager& loop_;
  Announcer announcer_;
  const std::string_view what_;
  const std::size_t most_;
  const Duration default_deadline_;
  mutable CallList waiting_;    // owned
  mutable CallList under_way_;  // owned
  std::size_t waiting_count_ = 0;
  std::size_t under_way_count_ = 0;
  std::size_t outstanding_ = 0;
  std::size_t unsettled_ = 0;
  PostgresCounters counters_;
  bool closed_ = false;
};

}  // namespace snowfox
