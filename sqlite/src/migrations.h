#pragma once

#include <cstdint>

#include <snowfox/sqlite/sqlite_options.h>

#include "sqlite_connection.h"

namespace snowfox {

/// Brings a database to the version of this program.
class Migrations {
 public:
  explicit Migrations(SqliteConnection& connection) noexcept
      : connection_(connection), options_(connection.options()) {}

  /// Checks that the database is one that this program may use, before anything in it is changed; makes the changes
  /// that are missing. Gives its version.
  std::uint32_t run();

 private:
  std::uint32_t version();
  std::uint32_t application_id();
  void check();
  void migrate(const SqliteMigration& migration);
  [[noreturn]] void refuse(const std::string& why);

  SqliteConnection& connection_;
  const SqliteOptions& options_;
};

}  // namespace snowfox
