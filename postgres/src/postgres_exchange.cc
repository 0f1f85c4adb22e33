#include "postgres_exchange.h"

#include <charconv>
#include <utility>

#include "sql.h"

namespace snowfox {

void PostgresExchange::clear() noexcept {
  steps_.clear();
  failure_.reset();
  limited_unit_ = SIZE_MAX;
  overflown_ = commits_ = commit_sent_ = committed_ = false;
}

void PostgresExchange::add(const PostgresStatement& statement, std::size_t unit) {
  steps_.push_back({.statement = &statement, .unit = unit});
}

void PostgresExchange::take(std::size_t step, const PGresult* result) {
  Step& taken = steps_[step];
  const std::string_view tag = PQcmdStatus(const_cast<PGresult*>(result));
  if (commits_ && step + 1 == steps_.size()) {
    committed_ = tag == "COMMIT";
    return;
  }
  PostgresResult& kept = taken.result;
  if (limited_unit_ != taken.unit) {
    limited_unit_ = taken.unit;
    rows_ = bytes_ = 0;
  }
  const auto columns = static_cast<std::size_t>(PQnfields(result));
  if (kept.columns_.empty() && columns != 0) {
    kept.sql_ = shown(taken.statement->sql);
    for (std::size_t i = 0; i < columns; ++i) {
      const int column = static_cast<int>(i);
      kept.columns_.push_back({PQfname(result, column), PQftype(result, column)});
    }
  }
  for (int row = 0; row < PQntuples(result) && !taken.overflown; ++row) {
    for (std::size_t i = 0; i < columns; ++i)
      bytes_ += static_cast<std::size_t>(PQgetlength(result, row, static_cast<int>(i))) + sizeof(PostgresResult::Cell);
    if (++rows_ > max_rows_ || bytes_ > max_bytes_) {
      overflown_ = taken.overflown = true;
      kept = PostgresResult();
      return;
    }
    for (std::size_t i = 0; i < columns; ++i) {
      const int column = static_cast<int>(i);
      PostgresResult::Cell cell{.at = kept.text_.size()};
      if (PQgetisnull(result, row, column) == 0) {
        cell.bytes = PQgetlength(result, row, column);
        kept.text_.append(PQgetvalue(result, row, column), static_cast<std::size_t>(cell.bytes));
      }
      kept.cells_.push_back(cell);
    }
    ++kept.rows_;
  }
  const std::string_view count = PQcmdTuples(const_cast<PGresult*>(result));
  std::from_chars(count.data(), count.data() + count.size(), kept.affected_);
}

void PostgresExchange::fail(std::size_t step, const PGresult* result) {
  if (failure_) return;
  const char* sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  // What libpq says on its own account tells nothing of what the server has done.
  if (sqlstate == nullptr) return;
  const char* severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  const std::string_view word = severity == nullptr ? "" : severity;
  failure_.emplace(Failure{
      .step = step, .sqlstate = sqlstate, .what = message_of(result), .fatal = word == "FATAL" || word == "PANIC"});
}

void PostgresExchange::refuse(std::size_t step, std::string&& why) {
  if (!failure_) failure_.emplace(Failure{step, "54000", std::move(why), false, true});
}

std::string message_of(const PGresult* result) {
  const char* primary = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
  const char* sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
  std::string text = primary == nullptr ? "the connection failed" : primary;
  // `invalid input syntax for type integer: "…"`
  if (sqlstate != nullptr && std::string_view(sqlstate).substr(0, 2) == "22") text = text.substr(0, text.find(": "));
  // It names the value, too, of what is out of range.
  if (sqlstate != nullptr && std::string_view(sqlstate).substr(0, 2) == "22" && text.substr(0, 7) == "value \"") {
    const std::size_t end = text.rfind('"');
    if (end > 7) text = "the value" + text.substr(end + 1);
  }
  return text;
}

}  // namespace snowfox
