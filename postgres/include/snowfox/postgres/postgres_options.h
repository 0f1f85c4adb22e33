#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <snowfox/core/clock.h>

namespace snowfox {

/// A step from one version of a database to a later one.
struct PostgresMigration {
  std::uint32_t version;  ///< above that of the one before; the first is above zero
  /// Of several statements if need be; what cannot be in a transaction (CREATE INDEX CONCURRENTLY) has no place here.
  std::string sql;
};

struct PostgresOptions {
  /// Where the database is and who asks, as libpq reads it: `postgresql://user:secret@db.example/bridge?sslmode=…`
  /// (https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING). Names of hosts are looked up without
  /// holding up the loop, but for those that a service file brings.
  std::string uri;
  /// Those above the database's version are done after connecting, in one transaction and under an advisory lock. A
  /// database with a version above the last of them is refused: it was written by a newer program.
  std::vector<PostgresMigration> migrations{};
  /// Where the version is kept: a table with the one column `version`, made if it is not there. A plain name, or
  /// schema.name, put into SQL as it is.
  std::string schema_table = "snowfox_schema";
  /// The writing connection holds this advisory lock (pg_try_advisory_lock), so that of several instances of a program
  /// one writes. As long as another one has it, it is tried again, and status() says so.
  std::optional<std::int64_t> lock_key{};
  /// What pg_stat_activity calls the connections, unless the URI says it.
  std::string application_name = "snowfox";

  /// Without a connection, writes and reads are refused at once with PostgresErrc::NotConnected instead of waiting.
  bool require_connected = false;
  /// For everything from looking up the name to the first answer.
  Duration connect_timeout = std::chrono::seconds(10);
  /// For all migrations together, their lock among them.
  Duration migration_timeout = std::chrono::minutes(10);
  /// Between two attempts to connect: the first pause, each one twice the one before, and the longest. Each is cut
  /// short at random by up to a half.
  Duration reconnect_from = std::chrono::seconds(1);
  Duration reconnect_to = std::chrono::seconds(60);
  /// The longest pause while another session has the lock.
  Duration lock_retry_to = std::chrono::seconds(5);

  /// Writes that may wait or be under way: so many, and with so many bytes. Beyond, a write is refused at once.
  std::size_t max_units = 65'536;
  std::size_t max_bytes = 64U << 20;
  /// Above so many bytes of writes, the sources bound to PostgresDatabase::backlog() are paused; at or below the other,
  /// resumed.
  std::size_t high_bytes = 8U << 20;
  std::size_t low_bytes = 2U << 20;
  /// At most so many go into one commit, and with so many bytes unless a single one has more: a bound for how long the
  /// first of them waits for the last.
  std::size_t units_per_commit = 4096;
  std::size_t bytes_per_commit = 16U << 20;

  /// Connections to read with, at least one: so many reads at a time.
  unsigned readers = 1;
  /// Reads that may wait or be under way. Beyond, a read is refused at once.
  std::size_t max_reads = 1024;
  /// What one read, or one unit, may give.
  std::size_t max_rows = 100'000;
  std::size_t max_result_bytes = 64U << 20;

  /// For writes and reads that are given no deadline of their own.
  Duration default_deadline = std::chrono::seconds(30);
  /// The server ends a statement that takes longer (PostgresErrc::Intervention), and a connection on which nothing came
  /// back for so long and answer_grace more is given up.
  std::chrono::milliseconds statement_timeout = std::chrono::seconds(30);
  std::chrono::milliseconds answer_grace = std::chrono::seconds(10);
  /// Statements that each connection keeps prepared; those not used for the longest go.
  std::size_t statements = 128;
};

}  // namespace snowfox
