#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <snowfox/core/event_drain.h>
#include <snowfox/core/lifecycle.h>
#include <snowfox/sqlite/sqlite_status.h>

#include "call_queue.h"
#include "group_writer.h"
#include "results.h"

namespace snowfox {

/// Where units wait for their commit. It is a drain: what was submitted in a turn is flushed at its end, into one
/// commit, sources that bring too much are paused, and the loop does not end before it is empty.
class SqliteWriteLane final : public EventDrain, public SqliteCallQueue {
 public:
  SqliteWriteLane(LoopManager& loop, std::unique_ptr<GroupWriter> writer, Results& results,
                  std::function<void()> on_back);
  ~SqliteWriteLane() override;

  void submit(std::unique_ptr<SqliteCall> call) noexcept;
  /// The commit is through.
  void on_back() noexcept;
  /// All results of the last commit have been given.
  void on_all_given() noexcept;
  bool idle() const noexcept { return !committing_ && waiting() == 0; }
  /// What is under way, if anything is; else empty.
  CallList& group() noexcept { return writer_->group(); }
  /// Only while idle. Nothing may be submitted after.
  std::unique_ptr<GroupWriter> take_writer() noexcept { return std::move(writer_); }
  /// What else must be through before the loop may end.
  void set_others(std::function<bool()> others_idle) { others_idle_ = std::move(others_idle); }

  SqliteStatus::Lane status() noexcept;
  std::uint64_t commits() const noexcept { return commits_; }
  std::uint64_t failed_commits() const noexcept { return failed_commits_; }
  Duration last_commit() const noexcept { return commit_time_; }
  Hook<const SqliteCommit&>& committed() noexcept { return committed_; }

  void enqueue(std::span<const std::byte> bytes) override { refused(bytes.size()); }
  using EventDrain::enqueue;
  bool flush() override;
  bool delivered() const noexcept override { return outstanding() == 0 && others_idle_(); }
  std::string name() const override;

 private:
  void begin_commit() noexcept;
  bool awaits_more() const noexcept;
  void report(std::size_t units, std::size_t failed) noexcept;
  void on_gone(std::size_t bytes) noexcept override;
  void on_given_up(SqliteCall&) noexcept override {}
  void fail(std::error_code) noexcept override {}

  std::unique_ptr<GroupWriter> writer_;
  Watermarks marks_;
  const std::size_t max_bytes_;
  const std::size_t units_per_commit_;
  const std::string path_;
  Results& results_;
  std::function<void()> on_back_;
  std::function<bool()> others_idle_ = [] { return true; };
  Hook<const SqliteCommit&> committed_;
  bool committing_ = false;
  std::size_t last_group_ = 0;
  TimePoint commit_began_{};
  TimePoint giving_began_{};
  Duration oldest_waited_{};
  Duration commit_time_{};
  Duration giving_time_{};
  std::uint64_t commits_ = 0;
  std::uint64_t failed_commits_ = 0;
};

}  // namespace snowfox
