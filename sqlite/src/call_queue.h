#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string_view>
#include <system_error>

#include <snowfox/core/explanation.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/sqlite/sqlite_call.h>
#include <snowfox/sqlite/sqlite_status.h>

namespace snowfox {

using CallList = IntrusiveList<SqliteCall, SqliteCall>;

/// The calls of a lane: those that wait, and the books of all until they are gone. As long as there is one the loop
/// goes on.
class SqliteCallQueue {
 public:
  /// `what` is what errors call one of them: a literal.
  SqliteCallQueue(LoopManager& loop, std::string_view what, std::size_t most, Duration default_deadline) noexcept
      : loop_(loop), what_(what), most_(most), default_deadline_(default_deadline) {}
  SqliteCallQueue(const SqliteCallQueue&) = delete;
  SqliteCallQueue& operator=(const SqliteCallQueue&) = delete;

  /// Takes `call`: it waits. Or rejects it, if there are too many, the queue is closed, or there is no room elsewhere.
  bool add(std::unique_ptr<SqliteCall> call, bool room) noexcept;
  /// Moves the one that waits the longest, which must exist, to the end of `under_way`.
  SqliteCall& begin(CallList& under_way) noexcept;
  /// It is back from its thread, and is given as a result next.
  void end(SqliteCall& call) noexcept;
  /// It could not be brought there.
  void end(SqliteCall& call, std::exception_ptr error) noexcept;
  /// Nothing is taken any more.
  void close() noexcept { closed_ = true; }
  /// Rejects all that wait with Errc::ShuttingDown.
  void reject_waiting() noexcept;
  /// The database goes: these are rejected, too, and on their own from now on.
  void abandon(CallList& under_way) noexcept;

  bool closed() const noexcept { return closed_; }
  std::size_t waiting() const noexcept { return waiting_count_; }
  /// Not gone yet.
  std::size_t outstanding() const noexcept { return outstanding_; }
  SqliteStatus::Lane status(CallList& under_way) const noexcept;
  void explain(Explanation& explanation, CallList& under_way) const noexcept;
  void audit(Audit& audit) const;

 protected:
  ~SqliteCallQueue() = default;

  /// `call` is destroyed.
  virtual void on_gone(std::size_t bytes) noexcept = 0;
  /// Nobody waits for it any more, though it is under way.
  virtual void on_given_up(SqliteCall& call) noexcept = 0;
  static std::size_t bytes_of(const SqliteCall& call) noexcept { return call.bytes_; }
  static TimePoint since(const SqliteCall& call) noexcept { return call.since_; }

 private:
  friend class SqliteCall;

  void settle(SqliteCall& call) noexcept;
  void time_out(SqliteCall& call) noexcept;
  void drop(SqliteCall& call) noexcept;
  void give_up(SqliteCall& call) noexcept;
  void reject(SqliteCall& call, std::error_code error, std::string_view why) noexcept;
  void gone(SqliteCall& call) noexcept;
  void tell(const CorrelationId& id, StepKind kind, const SqliteCall& call) const noexcept;

  LoopManager& loop_;
  const std::string_view what_;
  const std::size_t most_;
  const Duration default_deadline_;
  mutable CallList waiting_;  // owned
  std::size_t waiting_count_ = 0;
  std::size_t under_way_count_ = 0;
  std::size_t outstanding_ = 0;
  std::size_t unsettled_ = 0;
  SqliteCounters counters_;
  bool closed_ = false;
};

}  // namespace snowfox
