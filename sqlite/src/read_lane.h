#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <snowfox/core/poller.h>
#include <snowfox/sqlite/sqlite_options.h>
#include <snowfox/sqlite/sqlite_snapshot.h>
#include <snowfox/sqlite/sqlite_status.h>

#include "call_queue.h"
#include "results.h"
#include "sqlite_connection.h"

namespace snowfox {

class SqliteReadLane;

/// Does one read at a time, on a thread of the poller's pool, with a connection of its own: so it waits for no write.
class SqliteReader final : public Work {
 public:
  SqliteReader(const SqliteOptions& options, SqliteReadLane& lane)
      : options_(options), connection_(options_, SqliteConnection::Kind::Reading), lane_(&lane) {}

  // --- on the loop ---

  bool busy() const noexcept { return call_ != nullptr; }
  /// The one under way. It must be busy.
  SqliteCall& call() noexcept { return *call_; }
  /// Throws what Poller::submit throws; then it is not busy.
  void begin(Poller& poller, SqliteCall& call);
  SqliteCall& take_call() noexcept { return *std::exchange(call_, nullptr); }
  void interrupt() noexcept { connection_.stop(); }
  /// Interrupts, and owns itself and its call from now on, until it is back.
  void abandon() noexcept;

  void run() noexcept override;
  void done() noexcept override;

 private:
  const SqliteOptions options_;
  SqliteConnection connection_;
  SqliteSnapshot snapshot_{connection_};
  SqliteReadLane* lane_;
  SqliteCall* call_ = nullptr;
};

/// Where reads wait for a connection.
class SqliteReadLane final : public SqliteCallQueue {
 public:
  SqliteReadLane(LoopManager& loop, const SqliteOptions& options, Results& results, std::function<void()> on_back);
  ~SqliteReadLane();

  void submit(std::unique_ptr<SqliteCall> call) noexcept;
  void on_back(SqliteReader& reader) noexcept;
  bool idle() const noexcept { return under_way_.empty() && waiting() == 0; }
  CallList& under_way() noexcept { return under_way_; }
  void interrupt_all() noexcept;
  /// Only while idle. Nothing may be submitted after.
  std::vector<std::unique_ptr<SqliteReader>> take_readers() noexcept { return std::move(readers_); }

 private:
  void begin_some() noexcept;
  void on_gone(std::size_t) noexcept override {}
  void on_given_up(SqliteCall& call) noexcept override;

  LoopManager& loop_;
  Results& results_;
  std::function<void()> on_back_;
  std::vector<std::unique_ptr<SqliteReader>> readers_;
  CallList under_way_;
};

}  // namespace snowfox
