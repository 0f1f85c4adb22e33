#pragma once

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <snowfox/postgres/postgres_parameter.h>

namespace snowfox {

/// One statement of SQL, with `$1`, `$2`, … for its parameters: at most 65535 of them, for so PostgreSQL's protocol
/// counts; more are PostgresErrc::ProgramLimit. Many rows by one statement go as arrays (see PostgresParameter). A zero
/// in the SQL is PostgresErrc::Data. Both are found when it is submitted, before anything is sent.
struct PostgresStatement {
  PostgresStatement() = default;
  PostgresStatement(std::string text, std::vector<PostgresParameter> values)
      : sql(std::move(text)), parameters(std::move(values)) {}

  std::string sql;
  std::vector<PostgresParameter> parameters;
};

/// Statements that come into the database together or not at all, in their order:
///
///     db.write(PostgresUnit("DELETE FROM queue WHERE id = $1", 7).add("INSERT INTO queue (text) VALUES ($1)", text))
///
/// All are known beforehand: what one of them finds out another uses by SQL (`WITH … INSERT … RETURNING`).
class PostgresUnit {
 public:
  PostgresUnit() = default;
  template <typename... Parameters>
  explicit PostgresUnit(std::string sql, Parameters&&... parameters) {
    add(std::move(sql), std::forward<Parameters>(parameters)...);
  }

  template <typename... Parameters>
  PostgresUnit& add(std::string sql, Parameters&&... parameters) & {
    std::vector<PostgresParameter> values;
    values.reserve(sizeof...(Parameters));
    (values.emplace_back(std::forward<Parameters>(parameters)), ...);
    add(PostgresStatement(std::move(sql), std::move(values)));
    return *this;
  }
  template <typename... Parameters>
  PostgresUnit&& add(std::string sql, Parameters&&... parameters) && {
    add(std::move(sql), std::forward<Parameters>(parameters)...);
    return std::move(*this);
  }
  void add(PostgresStatement statement) {
    bytes_ += bytes_of(statement);
    statements_.push_back(std::move(statement));
  }

  const std::vector<PostgresStatement>& statements() const noexcept { return statements_; }
  /// About as many bytes as it holds, for the limits.
  std::size_t bytes() const noexcept { return bytes_; }

  static std::size_t bytes_of(const PostgresStatement& statement) noexcept {
    std::size_t bytes = sizeof(PostgresStatement) + statement.sql.size();
    for (const PostgresParameter& parameter : statement.parameters)
      bytes += sizeof(parameter) + parameter.value().size();
    return bytes;
  }

 private:
  std::vector<PostgresStatement> statements_;
  std::size_t bytes_ = 0;
};

}  // namespace snowfox
