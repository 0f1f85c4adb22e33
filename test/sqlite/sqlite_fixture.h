#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include <sqlite3.h>

#include <snowfox/core/error.h>
#include <snowfox/sqlite/sqlite_database.h>

#include "support/run_until.h"
#include "support/temporary_directory.h"

namespace snowfox {

using namespace std::chrono_literals;

/// The value of `promise`, or throws its error, once it is settled.
template <typename T>
T outcome(LoopManager& loop, Promise<T> promise) {
  if (!run_until(loop, [&] { return promise.settled(); })) throw std::logic_error("it was not settled");
  if (promise.state()->rejected()) std::rethrow_exception(promise.state()->error());
  if constexpr (!std::is_void_v<T>) return std::move(promise.state()->value());
}
/// Why `promise` was rejected; null if it was not.
template <typename T>
std::exception_ptr failure(LoopManager& loop, Promise<T> promise) {
  try {
    static_cast<void>(outcome(loop, std::move(promise)));
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

/// A file in a directory of its own, for a database of names.
class SqliteFile {
 public:
  SqliteFile() {
    options.path = directory / "names.db";
    options.application_id = 0x5F0C;
    options.migrations = {{1, "CREATE TABLE names (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)"}};
  }

  TemporaryDirectory directory;
  SqliteOptions options;
};

/// By a connection that is none of ours, as another process has.
inline void execute_elsewhere(const std::string& path, const char* sql) {
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &other), SQLITE_OK);
  EXPECT_EQ(sqlite3_exec(other, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(other);
  sqlite3_close(other);
}

inline std::int64_t insert(SqliteTransaction& t, const std::string& name) {
  t.run("INSERT INTO names (name) VALUES (?)", name);
  return t.last_insert_id();
}
inline std::int64_t count(SqliteSnapshot& s) { return *s.one<std::int64_t>("SELECT count(*) FROM names"); }

}  // namespace snowfox
