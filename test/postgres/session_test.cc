#include <snowfox/postgres/postgres_database.h>

#include "postgres_fixture.h"

namespace snowfox {
namespace {

using ::testing::HasSubstr;

class PostgresSessionTest : public PostgresTest {};

// --- versions ---

TEST_F(PostgresSessionTest, BringsADatabaseToItsVersionStepByStep) {
  open_and_wait();
  EXPECT_EQ(db->status().version, 1U);
  EXPECT_EQ(elsewhere("SELECT version FROM snowfox_schema"), "1");
  outcome(loop, db->write(insert("kept")));
  options.migrations.push_back({3, "ALTER TABLE names ADD COLUMN age int DEFAULT 3; CREATE INDEX ON names (age)"});
  options.migrations.push_back({4, "UPDATE names SET age = age + 1 -- all"});
  open_and_wait();
  EXPECT_EQ(db->status().version, 4U);
  EXPECT_EQ(elsewhere("SELECT age FROM names"), "4");
  EXPECT_EQ(elsewhere("SELECT count(*) || ' ' || max(version) FROM snowfox_schema"), "1 4");
  // And none of it a second time.
  open_and_wait();
  EXPECT_EQ(elsewhere("SELECT age FROM names"), "4");
}

TEST_F(PostgresSessionTest, RefusesADatabaseOfANewerProgram) {
  options.migrations.push_back({9, "CREATE TABLE later (x int)"});
  open_and_wait();
  options.migrations.pop_back();
  open();
  auto waiting = db->write(insert("no"));
  auto read = db->read("SELECT 1");
  const auto error = failure(loop, std::move(waiting));
  EXPECT_EQ(code_of(error), PostgresErrc::NewerSchema);
  EXPECT_THAT(describe(error), HasSubstr("the database has version 9, and this program knows none above 1"));
  EXPECT_EQ(code_of(failure(loop, std::move(read))), PostgresErrc::NewerSchema);
  EXPECT_EQ(db->status().state, PostgresState::Refused);
  auto late = db->write(insert("no"));
  EXPECT_TRUE(late.settled());
  EXPECT_EQ(elsewhere("SELECT count(*) FROM names"), "0");
}

TEST_F(PostgresSessionTest, AMigrationThatFailsLeavesAllAsItWasAndIsTriedAgain) {
  options.migrations.push_back({2, "CREATE TABLE second (x int)"});
  options.migrations.push_back({3, "INSERT INTO missing VALUES (1)"});
  open();
  auto waiting = db->write(insert("patient"));
  ASSERT_TRUE(run_until(loop, [&] { return db->status().state == PostgresState::Waiting; }));
  EXPECT_THAT(db->status().last_error,
              HasSubstr("bring the database to version 3: relation \"missing\" does not exist"));
  EXPECT_EQ(elsewhere("SELECT to_regclass('" + schema + ".second') IS NULL AND to_regclass('" + schema +
                      ".snowfox_schema') IS NULL"),
            "t");
  elsewhere("CREATE TABLE missing (x int)");
  outcome(loop, std::move(waiting));
  EXPECT_EQ(db->status().version, 3U);
}

TEST_F(PostgresSessionTest, SeveralProgramsThatMigrateAtOnceDoItOnce) {
  options.migrations.push_back({2, "SELECT pg_sleep(0.1); CREATE TABLE once (x int); INSERT INTO once VALUES (1)"});
  std::vector<std::unique_ptr<PostgresDatabase>> all;
  for (int i = 0; i < 5; ++i) all.push_back(std::make_unique<PostgresDatabase>(loop, options));
  for (const auto& each : all) outcome(loop, each->write(PostgresUnit("SELECT 1")));
  EXPECT_EQ(elsewhere("SELECT count(*) FROM once"), "1");
  for (const auto& each : all) EXPECT_EQ(each->status().losses, 0U);
}

TEST_F(PostgresSessionTest, TheTableOfTheVersionHasTheNameThatItIsGiven) {
  options.schema_table = schema + ".bridge_version";
  open_and_wait();
  EXPECT_EQ(elsewhere("SELECT version FROM bridge_version"), "1");
  options.schema_table = "x'; DROP TABLE names; --";
  EXPECT_THROW(PostgresDatabase(loop, options), std::invalid_argument);
}

// --- who writes ---

TEST_F(PostgresSessionTest, OnlyOneInstanceWritesAndTheOtherTakesOver) {
  options.lock_key = 4711;
  open_and_wait();
  PostgresDatabase other(loop, options);
  std::vector<PostgresState> states;
  const auto token = other.changed().add([&](const PostgresStatus& status) { states.push_back(status.state); });
  ASSERT_TRUE(run_until(loop, [&] { return other.status().state == PostgresState::HeldElsewhere; }));
  EXPECT_THAT(other.status().last_error, HasSubstr("another session has the advisory lock 4711"));
  auto waiting = other.write(insert("second"));
  const auto now = other.write({.deadline = 150ms}, insert("never"));
  outcome(loop, db->write(insert("first")));
  ASSERT_TRUE(run_until(loop, [&] { return now.settled(); }));
  EXPECT_EQ(code_of(now.state()->error()), Errc::DeadlineExceeded);
  EXPECT_THAT(describe(now.state()->error()), HasSubstr("not begun; another session has the advisory lock 4711"));
  EXPECT_FALSE(waiting.settled());
  outcome(loop, db->close());
  outcome(loop, std::move(waiting));
  EXPECT_EQ(states, (std::vector<PostgresState>{PostgresState::HeldElsewhere, PostgresState::Connected}));
  EXPECT_EQ(elsewhere("SELECT string_agg(name, ' ' ORDER BY id) FROM names"), "first second");
}

TEST_F(PostgresSessionTest, ItsSessionsSayWhatTheyAre) {
  options.application_name = "fox " + schema;
  open_and_wait();
  EXPECT_EQ(cluster().execute("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'fox " + schema + "'"),
            "2");
}

}  // namespace
}  // namespace snowfox
