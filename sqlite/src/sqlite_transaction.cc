#include <snowfox/sqlite/sqlite_transaction.h>

#include "sqlite_connection.h"

namespace snowfox {

std::int64_t SqliteTransaction::run_with(std::string_view sql, std::span<const SqliteParameter> parameters) {
  sqlite3* const handle = connection_.handle();
  const std::int64_t before = sqlite3_total_changes64(handle);
  Rows rows(connection_, sql, parameters);
  while (rows.next()) {
  }
  // Of statements that change nothing, sqlite3_changes64() would tell what the one before has changed.
  return sqlite3_total_changes64(handle) == before ? 0 : sqlite3_changes64(handle);
}

void SqliteTransaction::script(std::string_view sql) { connection_.script(sql); }

std::int64_t SqliteTransaction::last_insert_id() const noexcept {
  return sqlite3_last_insert_rowid(connection_.handle());
}

}  // namespace snowfox
