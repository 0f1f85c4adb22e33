#include "write_lane.h"

#include <algorithm>
#include <exception>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/fault_point.h>
#include <snowfox/core/loop_manager.h>

namespace snowfox {
namespace {

Watermarks watermarks_of(const SqliteOptions& options) noexcept {
  // Its limits are kept where units are submitted; as a drain it never fails.
  return {.high = options.high_bytes, .low = options.low_bytes, .hard_limit = SIZE_MAX, .stall_timeout = {}};
}

}  // namespace

SqliteWriteLane::SqliteWriteLane(LoopManager& loop, std::unique_ptr<GroupWriter> writer, Results& results,
                                 std::function<void()> on_back)
    : EventDrain(loop, &marks_),
      SqliteCallQueue(loop, "write", writer->options().max_units, writer->options().default_deadline),
      writer_(std::move(writer)),
      marks_(watermarks_of(writer_->options())),
      max_bytes_(writer_->options().max_bytes),
      units_per_commit_(std::max<std::size_t>(writer_->options().units_per_commit, 1)),
      path_(writer_->options().path),
      results_(results),
      on_back_(std::move(on_back)) {
  writer_->set_lane(this);
}

SqliteWriteLane::~SqliteWriteLane() {
  if (writer_ == nullptr) return;
  abandon(writer_->group());
  if (!committing_) return;
  // From now on it owns itself, until it is back.
  writer_->set_lane(nullptr);
  static_cast<void>(writer_.release());
}

void SqliteWriteLane::submit(std::unique_ptr<SqliteCall> call) noexcept {
  const std::size_t bytes = bytes_of(*call);
  if (add(std::move(call), bytes <= max_bytes_ && pending_bytes() <= max_bytes_ - bytes)) added(bytes);
}

// At the end of a turn in which something was submitted, a commit came back, or its last result was given.
bool SqliteWriteLane::flush() {
  if (!committing_ && waiting() != 0 && !awaits_more()) begin_commit();
  return empty();
}

// Who writes one thing after the other has his next ready when he is told of the last. Those who were in one commit
// would otherwise come apart into two that take turns. So the next one waits until all have been told, if that takes
// less time than a commit, and unless there is a whole group already.
bool SqliteWriteLane::awaits_more() const noexcept {
  return !results_.empty() && waiting() < last_group_ && giving_time_ < commit_time_;
}

void SqliteWriteLane::begin_commit() noexcept {
  CallList& group = writer_->group();
  for (last_group_ = 0; last_group_ < units_per_commit_ && waiting() != 0; ++last_group_) begin(group);
  commit_began_ = loop().now();
  oldest_waited_ = commit_began_ - since(group.front());
  committing_ = true;
  try {
    if (SNOWFOX_FAULT(WorkerStart)) throw std::system_error(EAGAIN, std::system_category(), "start a commit");
    loop().poller().submit(*writer_);
  } catch (...) {
    writer_->refuse(std::current_exception());
    on_back();
  }
}

void SqliteWriteLane::on_back() noexcept {
  committing_ = false;
  giving_began_ = loop().now();
  commit_time_ = giving_began_ - commit_began_;
  commits_ += writer_->commits();
  failed_commits_ += writer_->failed_commits();
  CallList& group = writer_->group();
  SqliteCommit commit{.units = 0, .failed = 0, .waited = oldest_waited_, .took = commit_time_, .error = nullptr};
  for (SqliteCall* call = &group.front(); call != nullptr; call = group.after(*call)) {
    ++(writer_->in_database(*call) ? commit.units : commit.failed);
  }
  commit.error = writer_->commit_error();
  if (!committed_.empty()) committed_(commit);
  while (!group.empty()) {
    SqliteCall& call = group.pop_front();
    end(call);
    results_.add(call);
  }
  added(0);
  on_back_();
}

void SqliteWriteLane::on_all_given() noexcept {
  if (giving_began_ == TimePoint{}) return;
  giving_time_ = loop().now() - std::exchange(giving_began_, {});
  if (waiting() != 0) added(0);
}

void SqliteWriteLane::on_gone(std::size_t bytes) noexcept {
  removed(bytes);
  // Whether the sources go on is decided when it is flushed.
  if (congested()) added(0);
}

SqliteStatus::Lane SqliteWriteLane::status() noexcept {
  CallList none;
  return SqliteCallQueue::status(writer_ == nullptr ? none : writer_->group());
}

std::string SqliteWriteLane::name() const {
  return "sqlite " + path_ + ", " + std::to_string(outstanding()) + " writes outstanding";
}

}  // namespace snowfox
