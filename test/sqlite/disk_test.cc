// What the disk and other processes do to a database.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <snowfox/sqlite/sqlite_database.h>

#include "support/manual_loop.h"

#include "faulty_disk.h"
#include "sqlite_fixture.h"

namespace snowfox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class SqliteDiskTest : public ::testing::Test, protected ManualLoop, protected SqliteFile {
 protected:
  SqliteDiskTest() {
    options.busy_timeout = 20ms;
    db.emplace(loop, options);
  }
  std::vector<std::string> names() {
    return outcome(
        loop, db->read([](SqliteSnapshot& s) { return s.all<std::string>("SELECT name FROM names ORDER BY id"); }));
  }
  /// Three units in one commit, which fails; then nothing of them is there, and the next one goes well.
  void expect_failure(SqliteErrc error) {
    std::vector<Promise<std::int64_t>> written;
    for (const char* name : {"a", "b", "c"}) written.push_back(db->write(&insert, std::string(name)));
    std::exception_ptr failed_with;
    const auto commits = db->committed().add([&](const SqliteCommit& commit) {
      EXPECT_EQ(commit.units, 0);
      EXPECT_EQ(commit.failed, 3);
      failed_with = commit.error;
    });
    for (auto& one : written) {
      const std::exception_ptr why = failure(loop, std::move(one));
      EXPECT_EQ(code_of(why), error) << describe(why);
      EXPECT_THAT(describe(why), HasSubstr(options.path));
    }
    EXPECT_EQ(code_of(failed_with), error);
    EXPECT_EQ(db->status().failed_commits, 1);
    EXPECT_TRUE(names().empty());
  }
  void expect_recovery() {
    EXPECT_EQ(outcome(loop, db->write(&insert, std::string("later"))), 1);
    EXPECT_THAT(names(), ElementsAre("later"));
    db.reset();
    db.emplace(loop, options);
    EXPECT_THAT(names(), ElementsAre("later"));
    EXPECT_EQ(outcome(loop, db->read([](SqliteSnapshot& s) { return *s.one<std::string>("PRAGMA integrity_check"); })),
              "ok");
  }

  FaultyDisk disk;
  std::optional<SqliteDatabase> db;
};

TEST_F(SqliteDiskTest, GetsOverAFullDisk) {
  FaultyDisk::write_error = SQLITE_FULL;
  expect_failure(SqliteErrc::Full);
  FaultyDisk::write_error = 0;
  expect_recovery();
}

TEST_F(SqliteDiskTest, GetsOverADiskThatFails) {
  FaultyDisk::write_error = SQLITE_IOERR_WRITE;
  expect_failure(SqliteErrc::InputOutput);
  FaultyDisk::write_error = 0;
  expect_recovery();
}

TEST_F(SqliteDiskTest, DoesNotTakeForDurableWhatCouldNotBeSynced) {
  FaultyDisk::sync_error = SQLITE_IOERR_FSYNC;
  expect_failure(SqliteErrc::InputOutput);
  FaultyDisk::sync_error = 0;
  expect_recovery();
}

TEST_F(SqliteDiskTest, GetsOverAFileSystemThatBecomesReadOnly) {
  FaultyDisk::write_error = SQLITE_READONLY;
  expect_failure(SqliteErrc::ReadOnly);
  FaultyDisk::write_error = 0;
  expect_recovery();
}

TEST_F(SqliteDiskTest, GetsOverAProcessThatDoesNotLetGo) {
  sqlite3* other = nullptr;
  ASSERT_EQ(sqlite3_open(options.path.c_str(), &other), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  expect_failure(SqliteErrc::Busy);
  sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr);
  sqlite3_close(other);
  expect_recovery();
}

// A unit that is larger than what SQLite keeps in memory reaches the disk before the commit: SQLite undoes the whole
// transaction then, and with it the units before.
TEST_F(SqliteDiskTest, TellsThoseWhoWereUndoneWithAnother) {
  outcome(loop, db->write([](SqliteTransaction& t) { t.run("PRAGMA cache_size = 10"); }));
  auto before = db->write(&insert, std::string("before"));
  auto large = db->write([](SqliteTransaction& t) {
    FaultyDisk::write_error = SQLITE_FULL;
    for (int i = 0; i < 100; ++i) insert(t, std::string(4000, 'x') + std::to_string(i));
  });
  auto after = db->write([](SqliteTransaction& t) {
    FaultyDisk::write_error = 0;
    return insert(t, "after");
  });
  const std::exception_ptr why = failure(loop, std::move(before));
  EXPECT_EQ(code_of(why), SqliteErrc::Full);
  EXPECT_THAT(describe(why), HasSubstr("undone with a unit of the same commit"));
  EXPECT_EQ(code_of(failure(loop, std::move(large))), SqliteErrc::Full);
  outcome(loop, std::move(after));
  EXPECT_THAT(names(), ElementsAre("after"));
  EXPECT_EQ(db->status().commits, 2);
  EXPECT_EQ(db->status().failed_commits, 1);
}

TEST_F(SqliteDiskTest, KeepsWithinTheSizeThatItIsAllowed) {
  outcome(loop, db->write([](SqliteTransaction& t) { t.run("PRAGMA max_page_count = 20"); }));
  const auto fill = [](SqliteTransaction& t) {
    for (int i = 0; i < 100; ++i) insert(t, std::string(2000, 'x') + std::to_string(i));
  };
  EXPECT_EQ(code_of(failure(loop, db->write(fill))), SqliteErrc::Full);
  EXPECT_TRUE(names().empty());
  outcome(loop, db->write(&insert, std::string("small")));
}

TEST_F(SqliteDiskTest, GetsOverWantOfSqlitesOwnMemory) {
  const auto starved = [](SqliteTransaction& t) {
    sqlite3_hard_heap_limit64(sqlite3_memory_used() + 20'000);
    insert(t, std::string(1'000'000, 'x'));
  };
  const std::exception_ptr why = failure(loop, db->write(starved));
  sqlite3_hard_heap_limit64(0);
  EXPECT_EQ(code_of(why), std::errc::not_enough_memory) << describe(why);
  expect_recovery();
}

TEST_F(SqliteDiskTest, SyncsOnceForAllUnitsOfACommit) {
  outcome(loop, db->write(&insert, std::string("first")));
  FaultyDisk::syncs = 0;
  std::vector<Promise<std::int64_t>> written;
  for (int i = 0; i < 1000; ++i) written.push_back(db->write(&insert, std::to_string(i)));
  for (auto& one : written) outcome(loop, std::move(one));
  EXPECT_EQ(FaultyDisk::syncs, 1);
}

}  // namespace
}  // namespace snowfox
