#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <snowfox/core/clock.h>

namespace snowfox {

class SqliteTransaction;

/// A step from one version of a database to a later one.
struct SqliteMigration {
  using Change = std::function<void(SqliteTransaction&)>;
  SqliteMigration(std::uint32_t to, Change by) : version(to), change(std::move(by)) {}
  /// By SQL, of several statements if need be.
  SqliteMigration(std::uint32_t to, std::string sql);

  std::uint32_t version;  ///< above that of the one before; the first is above zero
  Change change;
};

struct SqliteOptions {
  /// Of the file; made if it is not there, in a directory that is.
  std::string path;
  /// What the program calls its own databases (PRAGMA application_id). One that is another program's is refused. Zero:
  /// it has no such number, and none is looked at.
  std::uint32_t application_id = 0;
  /// Those above the database's version (PRAGMA user_version) are done when it is opened, each in a transaction of its
  /// own. A database with a version above the last of them is refused: it was written by a newer program.
  std::vector<SqliteMigration> migrations{};
  /// Of a file that is made; one that is there keeps its own. SQLite's files beside it (-wal, -shm) have the same.
  mode_t mode = 0600;

  /// Writes that may wait or be under way: so many, and with so many bytes. Beyond, a write is refused at once.
  std::size_t max_units = 65'536;
  std::size_t max_bytes = 64U << 20;
  /// Above so many bytes of writes, the sources bound to SqliteDatabase::backlog() are paused; at or below the other,
  /// resumed.
  std::size_t high_bytes = 8U << 20;
  std::size_t low_bytes = 2U << 20;
  /// At most so many go into one commit: a bound for how long the first of them waits for the last.
  std::size_t units_per_commit = 4096;

  /// Connections to read with, at least one: so many reads at a time, and so many threads of the poller's pool taken at
  /// most, besides the one that writes.
  unsigned readers = 1;
  /// Reads that may wait or be under way. Beyond, a read is refused at once.
  std::size_t max_reads = 1024;
  /// What one SqliteSnapshot::all may give.
  std::size_t max_rows = 100'000;
  std::size_t max_result_bytes = 64U << 20;

  /// For writes and reads that are given no deadline of their own.
  Duration default_deadline = std::chrono::seconds(30);
  /// How long to wait for another process that has the database.
  std::chrono::milliseconds busy_timeout = std::chrono::seconds(5);
  /// Statements that each connection keeps prepared; those not used for the longest go.
  std::size_t statements = 128;
};

}  // namespace snowfox
