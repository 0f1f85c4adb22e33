#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <libpq-fe.h>

#include <snowfox/postgres/postgres_error.h>
#include <snowfox/postgres/postgres_result.h>
#include <snowfox/postgres/postgres_unit.h>

namespace snowfox {

/// Statements that go to the server in one pipeline, and what came of them.
class PostgresExchange {
 public:
  /// Why the server did not do one of them.
  struct Failure {
    std::size_t step;
    std::string sqlstate;
    std::string what;
    bool fatal;            ///< the server has ended the session: not the statement's fault
    bool refused = false;  ///< by libpq: it was not sent
  };

  PostgresExchange(std::size_t max_rows, std::size_t max_bytes) noexcept : max_rows_(max_rows), max_bytes_(max_bytes) {}

  void clear() noexcept;
  /// `statement` must stay until it is done. Statements of one unit come together, and share its limits.
  void add(const PostgresStatement& statement, std::size_t unit);
  /// The last one is COMMIT: sent when all before it has left, so that what is lost before is surely not committed.
  void set_commits() noexcept { commits_ = true; }

  std::size_t size() const noexcept { return steps_.size(); }
  const PostgresStatement& statement(std::size_t step) const { return *steps_[step].statement; }
  std::size_t unit(std::size_t step) const { return steps_[step].unit; }
  PostgresResult& result(std::size_t step) { return steps_[step].result; }
  bool commits() const noexcept { return commits_; }
  const std::optional<Failure>& failure() const noexcept { return failure_; }
  /// It gave more than the limits allow, and the rest was not kept.
  bool overflown(std::size_t step) const { return steps_[step].overflown; }
  bool overflown() const noexcept { return overflown_; }
  /// A statement of it cannot be sent, over no connection.
  bool refused() const noexcept { return failure_ && failure_->refused; }

  /// The server has said that it is committed.
  bool committed() const noexcept { return committed_; }
  /// Nobody can tell, should the connection be lost.
  bool in_doubt() const noexcept { return commit_sent_ && !committed_ && !surely_undone(); }

  // --- for the link ---

  void sent_commit() noexcept { commit_sent_ = true; }
  /// Keeps what `result` has of the step.
  void take(std::size_t step, const PGresult* result);
  void fail(std::size_t step, const PGresult* result);
  /// libpq does not take the step, for what it says.
  void refuse(std::size_t step, std::string&& why);

 private:
  struct Step {
    const PostgresStatement* statement;
    std::size_t unit;
    PostgresResult result{};
    bool overflown = false;
  };

  bool surely_undone() const noexcept { return failure_ && (failure_->step + 1 < steps_.size() || !failure_->fatal); }

  std::vector<Step> steps_;
  std::optional<Failure> failure_;
  std::size_t max_rows_;
  std::size_t max_bytes_;
  std::size_t limited_unit_ = SIZE_MAX;  // whose rows are counted
  std::size_t rows_ = 0;
  std::size_t bytes_ = 0;
  bool overflown_ = false;
  bool commits_ = false;
  bool commit_sent_ = false;
  bool committed_ = false;
};

/// The server's message without what would show values.
std::string message_of(const PGresult* result);

}  // namespace snowfox
