#pragma once

#include <cstdint>
#include <exception>

#include <snowfox/core/poller.h>
#include <snowfox/sqlite/sqlite_options.h>
#include <snowfox/sqlite/sqlite_transaction.h>

#include "call_queue.h"
#include "sqlite_connection.h"

namespace snowfox {

class SqliteWriteLane;

/// Puts a group of units into the database by one commit, on a thread of the poller's pool. It is alone in writing, so
/// that is one thread at a time; a thread of its own would be one that mostly sleeps, and that a simulation could not
/// run in its own order.
class GroupWriter final : public Work {
 public:
  explicit GroupWriter(const SqliteOptions& options)
      : options_(options), connection_(options_, SqliteConnection::Kind::Writing) {}

  SqliteConnection& connection() noexcept { return connection_; }
  const SqliteOptions& options() const noexcept { return options_; }

  // --- on the loop ---

  /// Back on the loop it says so to `lane`.
  void set_lane(SqliteWriteLane* lane) noexcept { lane_ = lane; }
  /// The units of the next commit; of the one under way while it is.
  CallList& group() noexcept { return group_; }
  /// It could not be started.
  void refuse(const std::exception_ptr& error) noexcept;
  /// Whether the unit was committed; not if nobody wanted it any more before it was begun.
  bool in_database(const SqliteCall& call) const noexcept { return call.began_ && !call.failed(); }
  /// How many transactions of the last group were committed, and how many were not.
  std::uint64_t commits() const noexcept { return commits_; }
  std::uint64_t failed_commits() const noexcept { return failed_commits_; }
  /// Why the last of those was not; null if all were.
  const std::exception_ptr& commit_error() const noexcept { return commit_error_; }

  void run() noexcept override;
  void done() noexcept override;

 private:
  SqliteCall* commit_from(SqliteCall& first) noexcept;
  void attempt(SqliteCall& call) noexcept;
  void undo() noexcept;
  void fail(SqliteCall& first, const SqliteCall* end, std::exception_ptr error) noexcept;

  const SqliteOptions options_;
  SqliteConnection connection_;
  SqliteTransaction transaction_{connection_};
  SqliteWriteLane* lane_ = nullptr;
  CallList group_;
  std::uint64_t commits_ = 0;
  std::uint64_t failed_commits_ = 0;
  std::exception_ptr commit_error_;
};

}  // namespace snowfox
