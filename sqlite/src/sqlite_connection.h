#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <sqlite3.h>

#include <snowfox/sqlite/sqlite_options.h>
#include <snowfox/sqlite/sqlite_parameter.h>

#include "statement_cache.h"

namespace snowfox {

/// A connection to a database. Used by one thread at a time, but for stop().
class SqliteConnection {
 public:
  enum class Kind : std::uint8_t { Writing, Reading };

  /// Throws SqliteError that names the file.
  SqliteConnection(const SqliteOptions& options, Kind kind);
  SqliteConnection(const SqliteConnection&) = delete;
  SqliteConnection& operator=(const SqliteConnection&) = delete;

  /// A statement, prepared and bound. To be given back by put_away().
  sqlite3_stmt* start(std::string_view sql, std::span<const SqliteParameter> parameters);
  void put_away(sqlite3_stmt* statement) noexcept;
  /// True at a row, false at the end.
  bool step(sqlite3_stmt* statement);

  /// Runs SQL of our own, which may begin and end transactions.
  void execute(const char* sql);
  /// The same with several statements of the program's, which may not.
  void script(std::string_view sql);
  /// The number that it gives.
  std::int64_t number(const char* sql);

  /// Throws if it is not to be had, as on a network's file system.
  void use_write_ahead_log();

  /// BEGIN has been run, and neither COMMIT nor ROLLBACK, nor has SQLite rolled back on its own.
  bool in_transaction() const noexcept { return sqlite3_get_autocommit(handle_.get()) == 0; }
  /// Foreign keys point nowhere that must not when the transaction is committed.
  bool owes_foreign_keys() const noexcept;

  /// Interrupts what runs, and waits for no other process any more, until resume(). May be called from any thread.
  void stop() noexcept;
  void resume() noexcept { stopped_.store(false, std::memory_order_relaxed); }

  sqlite3* handle() const noexcept { return handle_.get(); }
  const SqliteOptions& options() const noexcept { return options_; }
  /// For what has just failed.
  [[noreturn]] void fail(std::string_view doing) const;

 private:
  struct Close {
    // What is left over of statements keeps it until they are gone.
    void operator()(sqlite3* handle) const noexcept { sqlite3_close_v2(handle); }
  };

  StatementRef prepare(std::string_view sql);
  void bind(sqlite3_stmt* statement, std::span<const SqliteParameter> parameters);
  static int allow(void* connection, int action, const char* first, const char* second, const char*, const char*);
  static int wait_for_others(void* connection, int tries);

  const SqliteOptions& options_;
  std::unique_ptr<sqlite3, Close> handle_;
  SqliteStatementCache statements_;
  SqliteStatementCache own_statements_;
  std::chrono::steady_clock::time_point waiting_since_{};
  std::atomic<bool> stopped_ = false;
  bool trusted_ = false;  // what is prepared is our own, and may use what a unit must not
};

}  // namespace snowfox
