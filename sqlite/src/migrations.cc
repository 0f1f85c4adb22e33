#include "migrations.h"

#include <cassert>
#include <exception>
#include <string>
#include <system_error>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/sqlite/sqlite_error.h>
#include <snowfox/sqlite/sqlite_transaction.h>

namespace snowfox {

SqliteMigration::SqliteMigration(std::uint32_t to, std::string sql)
    : SqliteMigration(to, Change([sql = std::move(sql)](SqliteTransaction& t) { t.script(sql); })) {}

std::uint32_t Migrations::version() { return static_cast<std::uint32_t>(connection_.number("PRAGMA user_version")); }
std::uint32_t Migrations::application_id() {
  return static_cast<std::uint32_t>(connection_.number("PRAGMA application_id"));
}

void Migrations::refuse(const std::string& why) {
  throw SqliteError(SqliteErrc::CannotOpen, "open the database " + options_.path + ": " + why);
}

void Migrations::check() {
  const std::uint32_t version = this->version();
  const std::uint32_t newest = options_.migrations.empty() ? version : options_.migrations.back().version;
  if (options_.application_id != 0) {
    const std::uint32_t id = application_id();
    const bool empty = connection_.number("SELECT count(*) FROM sqlite_schema") == 0;
    if (id != options_.application_id && !(id == 0 && empty)) {
      refuse("it is another program's: its application id is " + std::to_string(id) + ", not " +
             std::to_string(options_.application_id));
    }
  }
  if (version > newest) {
    refuse("it has version " + std::to_string(version) + ", and this program knows none above " +
           std::to_string(newest));
  }
}

void Migrations::migrate(const SqliteMigration& migration) {
  SqliteTransaction transaction(connection_);
  connection_.execute("BEGIN IMMEDIATE");
  // Another process may have done it while we waited.
  if (version() < migration.version) {
    migration.change(transaction);
    if (connection_.number("SELECT count(*) FROM pragma_foreign_key_check") != 0) {
      throw SqliteError(SqliteErrc::Constraint, "foreign keys point nowhere");
    }
    connection_.execute(("PRAGMA user_version = " + std::to_string(migration.version)).c_str());
  }
  connection_.execute("COMMIT");
}

std::uint32_t Migrations::run() {
  check();
  connection_.use_write_ahead_log();
  if (application_id() != options_.application_id && options_.application_id != 0) {
    connection_.execute(
        ("PRAGMA application_id = " + std::to_string(static_cast<std::int32_t>(options_.application_id))).c_str());
  }
  // A table is changed by making another in its place, to which foreign keys must not cling meanwhile. What they point
  // to is checked at the end of each step. Within a transaction this cannot be set.
  connection_.execute("PRAGMA foreign_keys = OFF");
  std::uint32_t last = 0;
  for (const SqliteMigration& migration : options_.migrations) {
    assert(migration.version > last);
    last = migration.version;
    if (migration.version <= version()) continue;
    try {
      migrate(migration);
    } catch (...) {
      if (connection_.in_transaction()) connection_.execute("ROLLBACK");
      const std::exception_ptr error = std::current_exception();
      throw std::system_error(code_of(error), "bring " + options_.path + " to version " +
                                                  std::to_string(migration.version) + ": " + describe(error));
    }
  }
  connection_.execute("PRAGMA foreign_keys = ON");
  // What a unit could have to undo: beyond 64 KiB SQLite would write that to a file, as much again as the unit itself.
  // Only now, for a migration may have to sort more than there is memory.
  connection_.execute("PRAGMA temp_store = MEMORY");
  return version();
}

}  // namespace snowfox
