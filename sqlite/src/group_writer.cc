#include "group_writer.h"

#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/sqlite/sqlite_error.h>

#include "write_lane.h"

namespace snowfox {

void GroupWriter::run() noexcept {
  commits_ = failed_commits_ = 0;
  commit_error_ = nullptr;
  for (SqliteCall* next = &group_.front(); next != nullptr;) next = commit_from(*next);
}

void GroupWriter::refuse(const std::exception_ptr& error) noexcept {
  commits_ = 0;
  failed_commits_ = 1;
  commit_error_ = error;
  fail(group_.front(), nullptr, error);
}

void GroupWriter::done() noexcept {
  if (lane_ != nullptr) return lane_->on_back();
  while (!group_.empty()) delete &group_.pop_front();
  delete this;
}

// One transaction, normally of the whole group. If SQLite undoes it in the middle, the units so far have failed, and
// what comes after them is tried in the next one: gives the first of those.
SqliteCall* GroupWriter::commit_from(SqliteCall& first) noexcept {
  SqliteCall* call = &first;
  try {
    connection_.execute("BEGIN IMMEDIATE");
    for (; call != nullptr; call = group_.after(*call)) {
      if (!call->wanted()) continue;
      attempt(*call);
      if (connection_.in_transaction()) continue;
      ++failed_commits_;
      commit_error_ = call->error_;
      SqliteCall* next = group_.after(*call);
      fail(first, next, make_error(code_of(call->error_), [&] {
             return "undone with a unit of the same commit, " + describe(call->error_);
           }));
      return next;
    }
    connection_.execute("COMMIT");
    ++commits_;
  } catch (...) {
    ++failed_commits_;
    commit_error_ = std::current_exception();
    undo();
    fail(first, nullptr, commit_error_);
  }
  return nullptr;
}

void GroupWriter::attempt(SqliteCall& call) noexcept {
  call.began_ = true;
  try {
    connection_.execute("SAVEPOINT unit");
    call.compute(transaction_);
    // It would be the commit that fails, and all units with it.
    if (connection_.owes_foreign_keys()) {
      throw SqliteError(SqliteErrc::Constraint, "FOREIGN KEY constraint failed at the end of the unit");
    }
    connection_.execute("RELEASE unit");
  } catch (...) {
    call.error_ = std::current_exception();
    // Gone already if SQLite has undone everything.
    if (!connection_.in_transaction()) return;
    try {
      connection_.execute("ROLLBACK TO unit");
      connection_.execute("RELEASE unit");
    } catch (...) {
      undo();
    }
  }
}

void GroupWriter::undo() noexcept {
  if (!connection_.in_transaction()) return;
  try {
    connection_.execute("ROLLBACK");
  } catch (...) {
    // SQLite promises that nothing of it is left, whatever it says.
  }
}

void GroupWriter::fail(SqliteCall& first, const SqliteCall* end, std::exception_ptr error) noexcept {
  for (SqliteCall* call = &first; call != end; call = group_.after(*call)) {
    if (!call->failed()) call->fail(error);
  }
}

}  // namespace snowfox
