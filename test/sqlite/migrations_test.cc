#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>

#include <snowfox/sqlite/sqlite_database.h>

#include "support/manual_loop.h"

#include "sqlite_fixture.h"

namespace snowfox {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class SqliteOpeningTest : public ::testing::Test, protected ManualLoop, protected SqliteFile {
 protected:
  void open() { db.emplace(loop, options); }
  std::string refusal() {
    try {
      open();
    } catch (const std::exception& error) {
      return error.what();
    }
    return "it was opened";
  }
  template <typename T>
  T ask(const std::string& sql) {
    return outcome(loop, db->read([sql](SqliteSnapshot& s) { return *s.one<T>(sql); }));
  }
  mode_t mode_of(const std::string& path) {
    struct stat status {};
    EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
    return status.st_mode & 07777;
  }

  std::optional<SqliteDatabase> db;
};

TEST_F(SqliteOpeningTest, MakesAFileThatNobodyElseCanRead) {
  open();
  for (const char* suffix : {"", "-wal", "-shm"}) EXPECT_EQ(mode_of(options.path + suffix), 0600) << suffix;
}

TEST_F(SqliteOpeningTest, MakesAFileWithTheModeAskedForAndLeavesItAfterwards) {
  options.mode = 0640;
  open();
  EXPECT_EQ(mode_of(options.path), 0640);
  db.reset();
  options.mode = 0600;
  open();
  EXPECT_EQ(mode_of(options.path), 0640);
}

TEST_F(SqliteOpeningTest, NamesTheFileThatCannotBeOpened) {
  options.path = directory / "missing/names.db";
  EXPECT_THAT(refusal(), AllOf(HasSubstr(options.path), HasSubstr("No such file or directory")));
  options.path = directory.path();
  EXPECT_THAT(refusal(), HasSubstr(options.path));
}

TEST_F(SqliteOpeningTest, RefusesWhatIsNoDatabase) {
  const std::string text(4096, 'x');
  std::ofstream(options.path) << text;
  EXPECT_THAT(refusal(), AllOf(HasSubstr(options.path), HasSubstr("file is not a database")));
  std::string after;
  std::getline(std::ifstream(options.path), after);
  EXPECT_EQ(after, text);
}

TEST_F(SqliteOpeningTest, RefusesAFileThatItMayNotWrite) {
  open();
  db.reset();
  ::chmod(options.path.c_str(), 0444);
  ::chmod(directory.path().c_str(), 0755);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(2);
    const std::string said = refusal();
    ::_exit(said.find("Permission denied") != std::string::npos && said.find(options.path) != std::string::npos ? 0
                                                                                                                : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(SqliteOpeningTest, MigratesOnce) {
  options.migrations.push_back(
      {3, [](SqliteTransaction& t) { t.run("INSERT INTO names (name) VALUES (?)", "from the migration"); }});
  open();
  EXPECT_EQ(db->version(), 3);
  db.reset();
  options.migrations.push_back({4, "ALTER TABLE names ADD COLUMN age INTEGER; UPDATE names SET age = 7"});
  open();
  EXPECT_EQ(db->version(), 4);
  EXPECT_EQ(ask<std::int64_t>("SELECT count(*) FROM names WHERE age = 7"), 1);
  EXPECT_EQ(ask<std::int64_t>("PRAGMA user_version"), 4);
  EXPECT_EQ(ask<std::int64_t>("PRAGMA application_id"), 0x5F0C);
}

TEST_F(SqliteOpeningTest, StaysAtTheVersionBeforeAMigrationThatFails) {
  options.migrations.push_back({2, "CREATE TABLE two (a); INSERT INTO two VALUES (1)"});
  options.migrations.push_back({3, "CREATE TABLE three (a); INSERT INTO two VALUES (2); CREATE TABEL four (a)"});
  EXPECT_THAT(refusal(), AllOf(HasSubstr("bring " + options.path + " to version 3"), HasSubstr("near \"TABEL\"")));
  options.migrations[2].change = [](SqliteTransaction& t) {
    t.run("INSERT INTO two VALUES (3)");
    throw std::runtime_error("no luck");
  };
  EXPECT_THAT(refusal(), AllOf(HasSubstr("to version 3"), HasSubstr("no luck")));
  options.migrations.pop_back();
  open();
  EXPECT_EQ(db->version(), 2);
  EXPECT_EQ(ask<std::int64_t>("SELECT sum(a) FROM two"), 1);
  EXPECT_EQ(ask<std::int64_t>("SELECT count(*) FROM sqlite_schema WHERE name = 'three'"), 0);
}

TEST_F(SqliteOpeningTest, RefusesAMigrationThatLeavesForeignKeysNowhere) {
  options.migrations.push_back(
      {2, "CREATE TABLE ages (name INTEGER REFERENCES names(id)); INSERT INTO ages VALUES (9)"});
  EXPECT_THAT(refusal(), HasSubstr("foreign keys point nowhere"));
}

TEST_F(SqliteOpeningTest, AMigrationMayPutAnotherTableInATablesPlace) {
  options.migrations.push_back({2,
                                "CREATE TABLE ages (name INTEGER NOT NULL REFERENCES names(id) ON DELETE CASCADE);"
                                "INSERT INTO names VALUES (9, 'reynard'); INSERT INTO ages VALUES (9)"});
  open();
  db.reset();
  options.migrations.push_back({3,
                                "CREATE TABLE n (id INTEGER PRIMARY KEY, name TEXT, age INTEGER);"
                                "INSERT INTO n SELECT id, name, 7 FROM names; DROP TABLE names;"
                                "ALTER TABLE n RENAME TO names"});
  open();
  EXPECT_EQ(ask<std::int64_t>("SELECT age FROM ages JOIN names ON ages.name = names.id"), 7);
  // And afterwards they hold.
  EXPECT_EQ(code_of(failure(loop, db->write([](SqliteTransaction& t) { t.run("INSERT INTO ages VALUES (10)"); }))),
            SqliteErrc::Constraint);
}

TEST_F(SqliteOpeningTest, RefusesADatabaseOfANewerProgram) {
  options.migrations.push_back({7, "CREATE TABLE seven (a)"});
  open();
  db.reset();
  options.migrations.pop_back();
  EXPECT_THAT(refusal(), AllOf(HasSubstr(options.path), HasSubstr("version 7"), HasSubstr("none above 1")));
}

TEST_F(SqliteOpeningTest, RefusesADatabaseOfAnotherProgram) {
  open();
  db.reset();
  options.application_id = 0x1234;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("another program's"), HasSubstr(std::to_string(0x5F0C))));
  options.path = directory / "other.db";
  execute_elsewhere(options.path, "CREATE TABLE theirs (a)");
  EXPECT_THAT(refusal(), HasSubstr("another program's"));
}

}  // namespace
}  // namespace snowfox
