#include "write_lane.h"

#include <algorithm>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>

#include "sql.h"

namespace snowfox {
namespace {

Watermarks watermarks_of(const PostgresOptions& options) noexcept {
  // Its limits are kept where units are submitted; as a drain it never fails.
  return {.high = options.high_bytes, .low = options.low_bytes, .hard_limit = SIZE_MAX, .stall_timeout = {}};
}

const PostgresStatement& begin_statement() {
  static const PostgresStatement statement("BEGIN", {});
  return statement;
}
const PostgresStatement& commit_statement() {
  static const PostgresStatement statement("COMMIT", {});
  return statement;
}

std::exception_ptr postgres_error(PostgresErrc code, std::string_view what, std::string_view more) noexcept {
  try {
    return std::make_exception_ptr(PostgresError(code, std::string(what) + std::string(more)));
  } catch (...) {
    return std::current_exception();
  }
}

// BEGIN and COMMIT belong to no unit.
constexpr std::size_t kNoUnit = SIZE_MAX - 1;

}  // namespace

std::exception_ptr error_of(const PostgresExchange& exchange, const PostgresStatement& statement) noexcept {
  try {
    const PostgresExchange::Failure& failure = *exchange.failure();
    return std::make_exception_ptr(PostgresError(failure.sqlstate, shown(statement.sql) + ": " + failure.what));
  } catch (...) {
    return std::current_exception();
  }
}

bool passing(const PostgresExchange::Failure& failure) noexcept {
  // Conflicts and deadlocks; and a prepared statement whose tables were changed meanwhile.
  return failure.fatal || failure.sqlstate.substr(0, 2) == "40" || failure.sqlstate == "0A000";
}

std::exception_ptr refusal_of(const PostgresLink& writer, bool ready, bool require_connected) noexcept {
  if (writer.state() == PostgresState::Refused) {
    return postgres_error(PostgresErrc::NewerSchema, writer.last_error(), "");
  }
  if (require_connected && !ready) {
    return postgres_error(PostgresErrc::NotConnected, "no connection to the database: ", writer.last_error());
  }
  return nullptr;
}

WriteLane::WriteLane(LoopManager& loop, const PostgresOptions& options, const ConnectionSettings& settings,
                     std::function<void()> on_change, std::function<void()> on_idle)
    : EventDrain(loop, &marks_),
      CallQueue(loop, "write", options.max_units, options.default_deadline),
      options_(options),
      marks_(watermarks_of(options)),
      name_("postgres " + settings.name()),
      link_(loop, options, settings, SessionSetup::Kind::Writing, *this),
      exchange_(options.max_rows, options.max_result_bytes),
      gathered_(loop, [this] { gather(); }),
      on_change_(std::move(on_change)),
      on_idle_(std::move(on_idle)),
      most_units_(std::max<std::size_t>(options.units_per_commit, 1)) {}

WriteLane::~WriteLane() { abandon(); }

void WriteLane::abandon() noexcept {
  close();
  if (!calls_under_way().empty()) {
    if (exchange_.committed()) give_results();
    if (exchange_.in_doubt()) reject_in_doubt();
    put_back();
  }
  reject_waiting_to_shut_down();
  link_.close();
}

std::exception_ptr WriteLane::refusal(const PostgresUnit& unit) const noexcept {
  try {
    for (const PostgresStatement& statement : unit.statements()) {
      if (denied(statement.sql))
        return postgres_error(PostgresErrc::Denied, "write: not in a unit: ", statement.sql.substr(0, 40));
      check_sendable(statement, "write");
    }
  } catch (...) {
    return std::current_exception();
  }
  return refusal_of(link_, link_.ready(), options_.require_connected);
}

void WriteLane::submit(std::unique_ptr<PostgresCall> call) noexcept {
  const std::size_t bytes = call->bytes();
  const bool room = bytes <= options_.max_bytes && pending_bytes() <= options_.max_bytes - bytes;
  const std::exception_ptr error = refusal(call->unit());
  if (add(std::move(call), room, error)) added(bytes);
}

// At the end of a turn in which something was submitted, a commit came back, or the connection stood.
bool WriteLane::flush() {
  if (!gathering_ && waiting() != 0 && link_.ready() && !link_.busy()) begin_commit();
  return empty();
}

void WriteLane::begin_commit() noexcept {
  exchange_.clear();
  commit_began_ = loop().now();
  oldest_waited_ = commit_began_ - first_waiting().since();
  try {
    exchange_.add(begin_statement(), kNoUnit);
    std::size_t bytes = 0;
    for (std::size_t unit = 0; unit < most_units_ && waiting() != 0; ++unit) {
      bytes += first_waiting().bytes();
      if (unit != 0 && bytes > options_.bytes_per_commit) break;
      const PostgresCall& call = CallQueue::begin();
      for (const PostgresStatement& statement : call.unit().statements()) exchange_.add(statement, unit);
    }
    exchange_.add(commit_statement(), kNoUnit);
    exchange_.set_commits();
  } catch (...) {
    // Nothing has been sent.
    const std::exception_ptr error = std::current_exception();
    while (!calls_under_way().empty()) settle(calls_under_way().pop_front(), error);
    return;
  }
  link_.begin(exchange_);
}

void WriteLane::on_ready() noexcept {
  if (waiting() != 0) added(0);
}

void WriteLane::on_done() noexcept {
  commit_time_ = loop().now() - commit_began_;
  if (exchange_.committed()) {
    give_results();
  } else {
    ++failed_commits_;
    on_failure();
  }
  exchange_.clear();
  // Who writes one thing after the other has his next ready when he is told of the last: so that all come together
  // again, they are told first.
  gathering_ = true;
  gathered_.call();
}

void WriteLane::gather() noexcept {
  gathering_ = false;
  if (waiting() != 0) added(0);
  if (idle()) on_idle_();
}

void WriteLane::give_results() noexcept {
  ++commits_;
  const std::size_t units = under_way();
  // Twice as many as went well: back to all, some commits after one that failed.
  most_units_ = std::clamp<std::size_t>(2 * units, most_units_, std::max<std::size_t>(options_.units_per_commit, 1));
  if (!committed_.empty()) committed_({.units = units, .waited = oldest_waited_, .took = commit_time_});
  std::size_t step = 1;
  for (std::size_t unit = 0; !calls_under_way().empty(); ++unit) {
    PostgresCall& call = calls_under_way().pop_front();
    try {
      PostgresResults results;
      bool overflown = false;
      results.reserve(call.unit().statements().size());
      for (; step < exchange_.size() && exchange_.unit(step) == unit; ++step) {
        overflown = overflown || exchange_.overflown(step);
        results.push_back(std::move(exchange_.result(step)));
      }
      if (overflown) {
        settle(call, make_error(Errc::LimitReached, [] {
                 return std::string("write: it is committed, and gave more rows or bytes than may be");
               }));
      } else {
        settle(call, std::move(results));
      }
    } catch (...) {
      settle(call, std::current_exception());
    }
  }
}

// The unit at fault is rejected only when nothing was before it in its commit: so it is by itself that it fails. Else
// those before it are committed first, without it.
void WriteLane::on_failure() noexcept {
  const auto& failure = exchange_.failure();
  const std::size_t units = under_way();
  const bool at_commit = !failure || exchange_.unit(failure->step) == kNoUnit;
  if (failure && failure->sqlstate == "0A000") link_.distrust_statements();
  if (failure && passing(*failure)) {
    bool again = true;
    if (at_commit || exchange_.unit(failure->step) == 0) again = calls_under_way().front().another_try();
    if (again) {
      most_units_ = std::max<std::size_t>(at_commit ? units / 2 : exchange_.unit(failure->step), 1);
      return put_back();
    }
  }
  if (at_commit && units > 1) {
    // A constraint that is looked at in the end does not tell whose it is.
    most_units_ = units / 2;
    return put_back();
  }
  const std::size_t at_fault = at_commit ? 0 : exchange_.unit(failure->step);
  if (at_fault != 0) {
    most_units_ = at_fault;
    return put_back();
  }
  PostgresCall& call = calls_under_way().pop_front();
  const PostgresStatement& statement = exchange_.statement(failure ? failure->step : exchange_.size() - 1);
  settle(call, failure ? error_of(exchange_, statement)
                       : postgres_error(PostgresErrc::Rollback, "COMMIT: the server has rolled back", ""));
  most_units_ = std::max<std::size_t>(units / 2, 1);
  put_back();
}

void WriteLane::reject_in_doubt() noexcept {
  ++unknown_commits_;
  const std::exception_ptr error = postgres_error(
      PostgresErrc::OutcomeUnknown, "the connection was lost after COMMIT was sent, and before it was answered", "");
  while (!calls_under_way().empty()) settle(calls_under_way().pop_front(), error);
}

void WriteLane::on_lost(bool was_under_way) noexcept {
  if (was_under_way) {
    commit_time_ = loop().now() - commit_began_;
    if (exchange_.committed()) {
      give_results();
    } else if (exchange_.refused()) {
      ++failed_commits_;
      on_failure();
    } else {
      ++failed_commits_;
      // It may have been one of them that has brought the server down.
      most_units_ = std::max<std::size_t>(under_way() / 2, 1);
      if (exchange_.in_doubt()) reject_in_doubt();
      put_back();
    }
    exchange_.clear();
  }
  if (const auto error = refusal_of(link_, false, options_.require_connected)) reject_waiting(error);
  gathering_ = true;
  gathered_.call();
}

void WriteLane::on_gone(std::size_t bytes) noexcept {
  removed(bytes);
  // Whether the sources go on is decided when it is flushed.
  if (congested()) added(0);
}

std::string_view WriteLane::hindrance() const noexcept {
  return link_.ready() ? std::string_view() : std::string_view(link_.last_error());
}

std::string WriteLane::name() const { return name_ + ", " + std::to_string(outstanding()) + " writes outstanding"; }

}  // namespace snowfox
