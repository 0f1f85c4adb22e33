#include <snowfox/sqlite/sqlite_snapshot.h>

#include <string>
#include <system_error>

#include <snowfox/core/error.h>

#include "sqlite_connection.h"

namespace snowfox {

SqliteSnapshot::Rows::Rows(SqliteConnection& connection, std::string_view sql,
                           std::span<const SqliteParameter> parameters)
    : connection_(connection), row_(connection.start(sql, parameters)) {}

SqliteSnapshot::Rows::~Rows() { connection_.put_away(row_.statement_); }

bool SqliteSnapshot::Rows::next() { return connection_.step(row_.statement_); }

bool SqliteSnapshot::Rows::next_to_keep() {
  if (!next()) return false;
  bytes_ += row_.bytes();
  const SqliteOptions& options = connection_.options();
  if (++rows_ > options.max_rows || bytes_ > options.max_result_bytes) {
    throw std::system_error(make_error_code(Errc::LimitReached),
                            std::string(sqlite3_sql(row_.statement_)) + ": more than " +
                                std::to_string(options.max_rows) + " rows or " +
                                std::to_string(options.max_result_bytes) + " bytes");
  }
  return true;
}

}  // namespace snowfox
