#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include <snowfox/sqlite/sqlite_snapshot.h>

namespace snowfox {

/// What the function of a write is given: it also changes the database. All that one function does is one unit: it
/// comes into the database as a whole, or, if the function throws, not at all. It sees what the units before it have
/// done, also those of its own commit.
///
/// What a unit has changed so far and might have to undo, and what it sorts, is kept in memory (a copy of each page, 4
/// KiB, that it touches first): changes of a whole large table are for several units, or for a migration.
///
/// When to begin and to commit is the database's: BEGIN, COMMIT, ROLLBACK, SAVEPOINT, ATTACH, and the PRAGMAs by which
/// the database keeps its promises are SqliteErrc::Denied.
class SqliteTransaction final : public SqliteSnapshot {
 public:
  /// Runs a statement to its end and gives how many rows it inserted, updated or deleted:
  /// `t.run("INSERT INTO queue (service, event) VALUES (?, ?)", service, event)`. What it returns in rows is passed
  /// over; see one() and all() for those.
  template <typename... Parameters>
  std::int64_t run(std::string_view sql, const Parameters&... parameters) {
    const std::array<SqliteParameter, sizeof...(Parameters)> values{SqliteParameter(parameters)...};
    return run_with(sql, values);
  }
  /// Runs several statements, separated by semicolons: for migrations.
  void script(std::string_view sql);
  /// The rowid of the row that was inserted last.
  std::int64_t last_insert_id() const noexcept;

 private:
  friend class GroupWriter;
  friend class Migrations;
  explicit SqliteTransaction(SqliteConnection& connection) noexcept : SqliteSnapshot(connection) {}
  std::int64_t run_with(std::string_view sql, std::span<const SqliteParameter> parameters);
};

}  // namespace snowfox
