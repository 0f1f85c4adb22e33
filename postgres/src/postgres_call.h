#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>

#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/pool.h>
#include <snowfox/core/timer.h>
#include <snowfox/postgres/postgres_database.h>

namespace snowfox {

class CallQueue;

/// A unit or a read on its way to the server and back, and who is to be told.
class PostgresCall final : public ListNode<PostgresCall>, public Pooled, private PromiseProducer, private Timer {
 public:
  PostgresCall(ValueState<PostgresResults>& state, const PostgresCallOptions& options, PostgresUnit unit) noexcept;
  /// A read: `unit` has its one statement.
  PostgresCall(ValueState<PostgresResult>& state, const PostgresCallOptions& options, PostgresUnit unit) noexcept;
  ~PostgresCall();
  // In a list of calls, not of timers.
  using ListNode<PostgresCall>::linked;
  using ListNode<PostgresCall>::unlink;

  const PostgresUnit& unit() const noexcept { return unit_; }
  std::size_t bytes() const noexcept { return sizeof(PostgresCall) + unit_.bytes(); }
  TimePoint since() const noexcept { return since_; }
  /// Somebody waits for it.
  bool wanted() const noexcept { return state_ != nullptr; }
  /// It was the server that failed, not it: once more, if that has not happened too often.
  bool another_try() noexcept { return ++tries_ < kTries; }

 private:
  friend class CallQueue;
  static constexpr unsigned kTries = 3;

  void store(PostgresResults&& results);
  const char* result_name() const noexcept { return read_ ? "PostgresResult" : "PostgresResults"; }
  void expire() noexcept override;
  void on_abandoned(const CorrelationId& id) noexcept override;

  PostgresUnit unit_;
  CallQueue* queue_ = nullptr;  // null before it is submitted
  Duration deadline_;
  TimePoint since_{};
  unsigned tries_ = 0;
  bool read_;
  bool under_way_ = false;
};

}  // namespace snowfox
