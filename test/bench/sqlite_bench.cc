// What a durable unit costs by snowfox::sqlite, beside SQLite itself: with one commit for all that wait, as we do it,
// and with one for each. What a disk takes to sync differs from minute to minute, so compare ratios, interleaved,
// beside the probe:
//
//     snowfox_sqlite_bench --benchmark_enable_random_interleaving=true --benchmark_repetitions=9
//
// Files are made in TMPDIR, else /tmp.
#include <fcntl.h>
#include <unistd.h>
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <sqlite3.h>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/task.h>
#include <snowfox/sqlite/sqlite_database.h>

#include "support/run_until.h"
#include "support/temporary_directory.h"

namespace {

using namespace snowfox;

constexpr const char* kTable =
    "CREATE TABLE events (number INTEGER PRIMARY KEY, service TEXT NOT NULL, content TEXT NOT NULL)";
constexpr const char* kInsert = "INSERT INTO events (service, content) VALUES (?, ?)";
constexpr const char* kDelete = "DELETE FROM events WHERE number = ?";
const std::string kContent(200, 'x');

void count_units(benchmark::State& state, std::int64_t units) {
  state.counters["units/s"] = benchmark::Counter(static_cast<double>(units), benchmark::Counter::kIsRate);
}

/// What a commit waits for at least.
void sync_probe(benchmark::State& state) {
  const TemporaryDirectory directory;
  const int fd = ::open((directory / "probe").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  const std::array<char, 4096> page{};
  off_t at = 0;
  for (auto _ : state) {
    if (::pwrite(fd, page.data(), page.size(), at) < 0 || ::fdatasync(fd) != 0) throw std::runtime_error("probe");
    at = (at + 4096) % (4 << 20);
  }
  ::close(fd);
}
BENCHMARK(sync_probe)->UseRealTime();

/// SQLite by its own interface, each statement prepared once.
class Raw {
 public:
  explicit Raw(const std::string& path) {
    check(sqlite3_open_v2(path.c_str(), &database_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                          nullptr));
    check(sqlite3_exec(database_, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", nullptr, nullptr, nullptr));
    check(sqlite3_exec(database_, kTable, nullptr, nullptr, nullptr));
    const std::array<const char*, 6> sql = {"BEGIN IMMEDIATE", "COMMIT", kInsert, kDelete, "SAVEPOINT u", "RELEASE u"};
    for (std::size_t i = 0; i < sql.size(); ++i) {
      check(sqlite3_prepare_v2(database_, sql[i], -1, &statements_[i], nullptr));
    }
  }
  ~Raw() {
    for (sqlite3_stmt* statement : statements_) sqlite3_finalize(statement);
    sqlite3_close(database_);
  }
  Raw(const Raw&) = delete;
  Raw& operator=(const Raw&) = delete;

  void begin() { run(0); }
  void commit() { run(1); }
  /// What a daemon does with a transaction that was delivered: "complete N" and "create N + 1".
  void unit(bool savepoint) {
    if (savepoint) run(4);
    sqlite3_bind_int64(statements_[3], 1, sqlite3_last_insert_rowid(database_));
    run(3);
    sqlite3_bind_text(statements_[2], 1, "service", -1, SQLITE_STATIC);
    sqlite3_bind_text(statements_[2], 2, kContent.data(), static_cast<int>(kContent.size()), SQLITE_STATIC);
    run(2);
    if (savepoint) run(5);
  }

 private:
  void run(std::size_t i) {
    if (sqlite3_step(statements_[i]) != SQLITE_DONE) throw std::runtime_error(sqlite3_errmsg(database_));
    sqlite3_reset(statements_[i]);
  }
  void check(int status) {
    if (status != SQLITE_OK) throw std::runtime_error(sqlite3_errstr(status));
  }

  sqlite3* database_ = nullptr;
  std::array<sqlite3_stmt*, 6> statements_{};
};

void sqlite_each_alone(benchmark::State& state) {
  const TemporaryDirectory directory;
  Raw raw(directory / "raw.db");
  std::int64_t units = 0;
  for (auto _ : state) {
    raw.begin();
    raw.unit(false);
    raw.commit();
    ++units;
  }
  count_units(state, units);
}
BENCHMARK(sqlite_each_alone)->UseRealTime();

void sqlite_in_groups(benchmark::State& state, bool savepoint) {
  const TemporaryDirectory directory;
  Raw raw(directory / "raw.db");
  std::int64_t units = 0;
  for (auto _ : state) {
    raw.begin();
    for (std::int64_t i = 0; i < state.range(0); ++i) raw.unit(savepoint);
    raw.commit();
    units += state.range(0);
  }
  count_units(state, units);
}
BENCHMARK_CAPTURE(sqlite_in_groups, plain, false)->Arg(1)->Arg(100)->Arg(1000)->UseRealTime();
BENCHMARK_CAPTURE(sqlite_in_groups, savepoints, true)->Arg(1)->Arg(100)->Arg(1000)->UseRealTime();

/// A service that has its next transaction written when the last one is durable.
void write_next(SqliteTransaction& t) {
  t.run(kDelete, t.last_insert_id());
  t.run(kInsert, "service", kContent);
}
Task<> serve(SqliteDatabase& database, std::int64_t& units) {
  for (;;) {
    co_await database.write(&write_next);
    ++units;
  }
}

void snowfox_services(benchmark::State& state) {
  const TemporaryDirectory directory;
  LoopManager loop;
  SqliteOptions options;
  options.path = directory / "snowfox.db";
  options.migrations = {{1, kTable}};
  options.units_per_commit = static_cast<std::size_t>(state.range(1));
  SqliteDatabase database(loop, options);
  std::int64_t units = 0;
  std::vector<Task<>> services;
  for (std::int64_t i = 0; i < state.range(0); ++i) services.push_back(serve(database, units));
  const std::uint64_t commits = database.status().commits;
  for (auto _ : state) {
    const std::int64_t until = units + state.range(0);
    run_until(loop, [&] { return units >= until; });
  }
  state.counters["units/commit"] =
      static_cast<double>(units) / static_cast<double>(database.status().commits - commits);
  count_units(state, units);
}
BENCHMARK(snowfox_services)
    ->ArgNames({"services", "per_commit"})
    ->Args({1, 4096})
    ->Args({100, 4096})
    ->Args({1000, 4096})
    // While one half is committed the other half has its next ready.
    ->Args({2000, 1000})
    ->UseRealTime();

}  // namespace
