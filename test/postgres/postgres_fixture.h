#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <snowfox/core/audit.h>
#include <snowfox/core/error.h>
#include <snowfox/postgres/postgres_database.h>

#include "support/recording_sink.h"
#include "support/run_until.h"

#include "cluster.h"

namespace snowfox {

using namespace std::chrono_literals;

/// The value of `promise`, or throws its error, once it is settled.
template <typename T>
T outcome(LoopManager& loop, Promise<T> promise) {
  if (!run_until(
          loop, [&] { return promise.settled(); }, 60s))
    throw std::logic_error("it was not settled");
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

/// A database of names, in a schema of the test's own on the server that all share.
class PostgresTest : public ::testing::Test {
 protected:
  PostgresTest() {
    if (!PostgresCluster::installed()) return;
    static int number = 0;
    schema = "t" + std::to_string(++number);
    cluster().execute("CREATE SCHEMA " + schema);
    options.uri = in_schema(cluster().uri());
    options.migrations = {{1, "CREATE TABLE names (id bigserial PRIMARY KEY, name text NOT NULL UNIQUE)"}};
    options.reconnect_from = 20ms;
    options.reconnect_to = 100ms;
    options.lock_retry_to = 50ms;
  }
  void SetUp() override {
    if (!PostgresCluster::installed()) GTEST_SKIP() << "no PostgreSQL here";
  }
  void TearDown() override {
    EXPECT_THAT(loop.audit().findings(), ::testing::IsEmpty());
    EXPECT_EQ(loop.counters().settled_twice, 0U);
    for (const auto& line : sink.lines) {
      for (const auto& field : line.fields)
        EXPECT_THAT(field.second, ::testing::Not(::testing::HasSubstr("reynard-the")));
    }
  }

  static PostgresCluster& cluster() { return PostgresCluster::shared(); }
  std::string in_schema(const std::string& uri) const { return uri + "?options=-csearch_path%3D" + schema; }
  void open() { db.emplace(loop, options); }
  /// Opens it and waits until it is connected, to read, too.
  void open_and_wait() {
    open();
    ASSERT_TRUE(run_until(loop, [&] { return db->connected() && db->status().readers_connected == options.readers; }));
  }
  static PostgresUnit insert(const std::string& name) {
    return PostgresUnit("INSERT INTO names (name) VALUES ($1) RETURNING id", name);
  }
  std::vector<std::string> names() {
    return outcome(loop, db->read("SELECT name FROM names ORDER BY id")).all<std::string>();
  }
  std::string elsewhere(const std::string& sql) const {
    return cluster().execute("SET search_path = " + schema + "; " + sql);
  }
  /// Ends the sessions of this test's database.
  std::string terminate(const std::string& more = "") const {
    return cluster().execute(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '" +
        options.application_name + "'" + more);
  }

  std::string schema;
  PostgresOptions options;
  RecordingSink sink;
  Log log{sink, LogLevel::Debug};
  LoopManager loop{std::make_unique<UvPoller>(), Io::system(), log};
  std::optional<PostgresDatabase> db;
};

}  // namespace snowfox
