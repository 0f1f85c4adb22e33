#include <snowfox/postgres/postgres_database.h>

#include <snowfox/core/explanation.h>
#include <snowfox/promises/task.h>
#include <snowfox/sources/manual_source.h>

#include "postgres_fixture.h"

namespace snowfox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class PostgresDatabaseTest : public PostgresTest {
 protected:
  std::vector<Promise<PostgresResults>> write_many(int from, int to) {
    std::vector<Promise<PostgresResults>> written;
    for (int i = from; i < to; ++i) written.push_back(db->write(insert(std::to_string(i))));
    return written;
  }
};

TEST_F(PostgresDatabaseTest, GivesTheResultsOfAllStatementsWhenTheyAreCommitted) {
  open();
  const auto results = outcome(
      loop, db->write(PostgresUnit("INSERT INTO names (name) VALUES ($1), ($2) RETURNING id", "reynard", "renart")
                          .add("UPDATE names SET name = name || '!' WHERE id = $1", 2)
                          .add("SELECT name FROM names ORDER BY id")));
  ASSERT_EQ(results.size(), 3U);
  EXPECT_THAT(results[0].all<std::int64_t>(), ElementsAre(1, 2));
  EXPECT_EQ(results[0].affected(), 2);
  EXPECT_EQ(results[1].affected(), 1);
  EXPECT_TRUE(results[1].empty());
  EXPECT_THAT(results[2].all<std::string>(), ElementsAre("reynard", "renart!"));
  EXPECT_EQ(elsewhere("SELECT count(*) FROM names"), "2");
}

TEST_F(PostgresDatabaseTest, PutsWhatIsSubmittedInOneTurnIntoOneCommit) {
  open_and_wait();
  const auto transactions = [&] {
    return std::stoi(elsewhere("SELECT xmax FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS xmax) x"));
  };
  const int before = transactions();
  auto written = write_many(0, 1000);
  for (auto& one : written) outcome(loop, std::move(one));
  EXPECT_EQ(transactions(), before + 1) << "transactions that have written, as the server counts them";
  EXPECT_EQ(db->status().commits, 1U);
  EXPECT_EQ(db->status().writes.counters.done, 1000U);
  EXPECT_EQ(names().size(), 1000U);
}

Task<> write_in_turn(PostgresDatabase& db, int service, int count, int& left) {
  for (int i = 0; i < count; ++i) {
    co_await db.write(PostgresUnit("INSERT INTO names (name) VALUES ($1)", std::to_string(service * 1000 + i)));
  }
  --left;
}

TEST_F(PostgresDatabaseTest, WhoWritesOneAfterTheOtherStaysTogetherInTheCommits) {
  open_and_wait();
  int left = 100;
  std::vector<Task<>> services;
  for (int i = 0; i < 100; ++i) services.push_back(write_in_turn(*db, i, 10, left));
  for (auto& service : services) std::move(service).detach(loop);
  ASSERT_TRUE(run_until(loop, [&] { return left == 0; }));
  EXPECT_EQ(db->status().commits, 10U);
  EXPECT_EQ(elsewhere("SELECT count(*) FROM names"), "1000");
}

TEST_F(PostgresDatabaseTest, AUnitThatFailsFailsAloneAndAsAWhole) {
  open();
  auto before = db->write(insert("before"));
  auto fails = db->write(insert("undone").add("INSERT INTO names (name) VALUES ($1)", "before"));
  auto nonsense = db->write(PostgresUnit("INSERT INTO nowhere VALUES (1)"));
  auto after = db->write(insert("after"));
  outcome(loop, std::move(before));
  const auto error = failure(loop, std::move(fails));
  EXPECT_EQ(code_of(error), PostgresErrc::Constraint);
  EXPECT_THAT(describe(error), HasSubstr("INSERT INTO names (name) VALUES ($1): duplicate key value"));
  EXPECT_EQ(code_of(failure(loop, std::move(nonsense))), PostgresErrc::Access);
  outcome(loop, std::move(after));
  EXPECT_THAT(names(), ElementsAre("before", "after"));
}

TEST_F(PostgresDatabaseTest, UnitsThatFailAmongManyHoldUpNoneOfTheOthers) {
  open();
  std::vector<Promise<PostgresResults>> written;
  std::vector<int> order;
  std::vector<Promise<void>> done;
  for (int i = 0; i < 300; ++i) {
    const std::string name = i % 10 == 7 ? "0" : std::to_string(i);
    done.push_back(db->write(insert(name))
                       .then([&order, i](const PostgresResults&) { order.push_back(i); })
                       .otherwise([&order, i](const std::exception_ptr& error) {
                         EXPECT_EQ(code_of(error), PostgresErrc::Constraint);
                         order.push_back(-i);
                       }));
  }
  for (auto& one : done) outcome(loop, std::move(one));
  ASSERT_EQ(order.size(), 300U);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i % 10 == 7 ? -i : i);
  const auto all = names();
  EXPECT_EQ(all.size(), 270U);
  EXPECT_TRUE(
      std::is_sorted(all.begin(), all.end(), [](const auto& a, const auto& b) { return std::stoi(a) < std::stoi(b); }));
}

TEST_F(PostgresDatabaseTest, FindsTheUnitAtFaultAlsoWhereOnlyTheCommitTells) {
  options.migrations.push_back(
      {2, "CREATE TABLE nicknames (id bigint REFERENCES names(id) DEFERRABLE INITIALLY DEFERRED)"});
  open();
  std::vector<Promise<PostgresResults>> written = write_many(0, 20);
  auto owes = db->write(PostgresUnit("INSERT INTO nicknames VALUES (7000)"));
  auto pays =
      db->write(PostgresUnit("INSERT INTO nicknames VALUES (8000)").add("INSERT INTO names VALUES (8000, 'x')"));
  for (auto& one : write_many(20, 40)) written.push_back(std::move(one));
  EXPECT_EQ(code_of(failure(loop, std::move(owes))), PostgresErrc::Constraint);
  outcome(loop, std::move(pays));
  for (auto& one : written) outcome(loop, std::move(one));
  EXPECT_EQ(elsewhere("SELECT count(*) FROM names"), "41");
  EXPECT_EQ(elsewhere("SELECT count(*) FROM nicknames"), "1");
}

TEST_F(PostgresDatabaseTest, ALaterUnitSeesWhatTheEarlierOnesHaveDone) {
  open();
  auto one = db->write(insert("one"));
  auto two = db->write(PostgresUnit("SELECT count(*) FROM names"));
  EXPECT_EQ(outcome(loop, std::move(two))[0].one<int>(), 1);
  outcome(loop, std::move(one));
}

TEST_F(PostgresDatabaseTest, LetsNoUnitAndNoReadTouchTransactionOrSession) {
  open();
  for (const std::string sql :
       {"COMMIT", " rollback", "-- so\nBEGIN", "/* a /* b */ */ end", "SAVEPOINT mine", "SET synchronous_commit = off",
        "Start Transaction", "COPY names FROM STDIN", ";COMMIT"}) {
    EXPECT_EQ(code_of(failure(loop, db->write(PostgresUnit(sql)))), PostgresErrc::Denied) << sql;
    EXPECT_EQ(code_of(failure(loop, db->read(sql))), PostgresErrc::Denied) << sql;
  }
  EXPECT_EQ(code_of(failure(loop, db->write(PostgresUnit("SELECT 1; COMMIT")))), PostgresErrc::Access);
  EXPECT_EQ(outcome(loop, db->write(PostgresUnit("SHOW synchronous_commit")))[0].one<std::string>(), "on");
}

TEST_F(PostgresDatabaseTest, ReadsChangeNothing) {
  open();
  EXPECT_EQ(code_of(failure(loop, db->read("INSERT INTO names (name) VALUES ('no')"))), PostgresErrc::TransactionState);
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(PostgresDatabaseTest, ReadsAtTheSameTimeHaveConnectionsOfTheirOwn) {
  options.readers = 3;
  open_and_wait();
  std::vector<Promise<PostgresResult>> reads;
  for (int i = 0; i < 3; ++i) reads.push_back(db->read("SELECT pg_sleep(0.2), $1::int", i));
  EXPECT_EQ(db->status().reads.under_way, 3U);
  for (int i = 0; i < 3; ++i) {
    const auto result = outcome(loop, std::move(reads[static_cast<std::size_t>(i)]));
    EXPECT_EQ(result[0].get<int>(1), i);
  }
}

// --- limits and deadlines ---

TEST_F(PostgresDatabaseTest, RefusesWhatIsBeyondItsLimitsAtOnce) {
  options.max_units = 3;
  options.max_bytes = 5000;
  options.max_reads = 2;
  open();
  auto large = db->write(insert(std::string(6000, 'x')));
  EXPECT_TRUE(large.settled());
  EXPECT_EQ(code_of(failure(loop, std::move(large))), Errc::LimitReached);
  auto kept = write_many(0, 3);
  auto fourth = db->write(insert("fourth"));
  ASSERT_TRUE(fourth.settled());
  EXPECT_EQ(code_of(failure(loop, std::move(fourth))), Errc::LimitReached);
  auto read = db->read("SELECT 1");
  auto another = db->read("SELECT 1");
  auto third = db->read("SELECT 1");
  ASSERT_TRUE(third.settled());
  EXPECT_EQ(code_of(failure(loop, std::move(third))), Errc::LimitReached);
  for (auto& one : kept) outcome(loop, std::move(one));
  EXPECT_EQ(outcome(loop, std::move(another)).one<int>(), 1);
  outcome(loop, std::move(read));
  EXPECT_EQ(db->status().writes.counters.refused, 2U);
}

TEST_F(PostgresDatabaseTest, GivesAReadNoMoreRowsAndBytesThanMayBe) {
  options.max_rows = 1000;
  options.max_result_bytes = 100'000;
  open();
  EXPECT_EQ(outcome(loop, db->read("SELECT generate_series(1, 1000)")).size(), 1000U);
  // A hundred million rows: it is told to stop, and the connection goes on.
  const auto error = failure(loop, db->read("SELECT generate_series(1, 100000000)"));
  EXPECT_EQ(code_of(error), Errc::LimitReached);
  EXPECT_THAT(describe(error), HasSubstr("SELECT generate_series(1, 100000000): more than 1000 rows"));
  EXPECT_EQ(code_of(failure(loop, db->read("SELECT repeat('x', 200000)"))), Errc::LimitReached);
  EXPECT_EQ(outcome(loop, db->read("SELECT 1")).one<int>(), 1);
  const auto write = failure(loop, db->write(insert("kept").add("SELECT generate_series(1, 1001)")));
  EXPECT_EQ(code_of(write), Errc::LimitReached);
  EXPECT_THAT(describe(write), HasSubstr("it is committed"));
  EXPECT_THAT(names(), ElementsAre("kept"));
  EXPECT_EQ(db->status().losses, 0U);
}

TEST_F(PostgresDatabaseTest, PausesTheSourcesOfItsBacklog) {
  options.high_bytes = 10'000;
  options.low_bytes = 1000;
  open();
  ManualSource source(loop);
  db->backlog().bind(source.id());
  auto written = write_many(0, 100);
  EXPECT_TRUE(db->status().congested);
  EXPECT_TRUE(source.paused());
  for (auto& one : written) outcome(loop, std::move(one));
  ASSERT_TRUE(run_until(loop, [&] { return !source.paused(); }));
  EXPECT_EQ(db->status().pending_bytes, 0U);
}

TEST_F(PostgresDatabaseTest, CommitsNoMoreUnitsAndBytesAtATimeThanMayBe) {
  options.units_per_commit = 10;
  options.bytes_per_commit = 30'000;
  open_and_wait();
  for (auto& one : write_many(0, 30)) outcome(loop, std::move(one));
  EXPECT_EQ(db->status().commits, 3U);
  std::vector<Promise<PostgresResults>> large;
  for (int i = 0; i < 4; ++i)
    large.push_back(db->write(PostgresUnit("SELECT length($1::text)", std::string(20'000, 'x'))));
  for (auto& one : large) EXPECT_EQ(outcome(loop, std::move(one))[0].one<int>(), 20'000);
  EXPECT_EQ(db->status().commits, 7U);
}

TEST_F(PostgresDatabaseTest, CommitsOneUnitAtATimeAtLeast) {
  options.units_per_commit = 0;
  open_and_wait();
  for (const char* name : {"one", "two"}) outcome(loop, db->write({.deadline = 5s}, insert(name)));
  EXPECT_EQ(db->status().commits, 2U);
}

TEST_F(PostgresDatabaseTest, CancelsAReadWhoseDeadlineHasCome) {
  open_and_wait();
  const auto error = failure(loop, db->read({.deadline = 100ms}, "SELECT pg_sleep(1000)"));
  EXPECT_EQ(code_of(error), Errc::DeadlineExceeded);
  // It is the same connection, and it is free again.
  EXPECT_EQ(outcome(loop, db->read("SELECT 2")).one<int>(), 2);
  { auto dropped = db->read("SELECT pg_sleep(1000)"); }
  EXPECT_EQ(outcome(loop, db->read("SELECT 3")).one<int>(), 3);
  EXPECT_EQ(db->status().losses, 0U);
  EXPECT_EQ(db->status().reads.counters.timed_out, 1U);
  EXPECT_EQ(db->status().reads.counters.dropped, 1U);
}

TEST_F(PostgresDatabaseTest, TheServerEndsAStatementThatTakesTooLongAndThatUnitAlone) {
  options.statement_timeout = 200ms;
  open_and_wait();
  auto first = db->write(insert("first"));
  auto slow = db->write(insert("slow").add("SELECT pg_sleep(1000)"));
  auto last = db->write(insert("last"));
  outcome(loop, std::move(first));
  EXPECT_EQ(code_of(failure(loop, std::move(slow))), PostgresErrc::Intervention);
  outcome(loop, std::move(last));
  EXPECT_THAT(names(), ElementsAre("first", "last"));
}

TEST_F(PostgresDatabaseTest, AUnitUnderWayWhenItsDeadlineComesIsRejectedAndNobodyKnows) {
  open_and_wait();
  const auto error = failure(loop, db->write({.deadline = 50ms}, insert("late").add("SELECT pg_sleep(0.5)")));
  EXPECT_EQ(code_of(error), Errc::DeadlineExceeded);
  EXPECT_THAT(describe(error), HasSubstr("under way still"));
  outcome(loop, db->write(insert("next")));
  EXPECT_THAT(names(), ElementsAre("late", "next"));
}

TEST_F(PostgresDatabaseTest, WhoIsToldOfACallsEndMayDropItsPromise) {
  open_and_wait();
  Promise<PostgresResults> promise;
  std::vector<StepKind> ends;
  const auto token = loop.lifecycle().step.add([&](const Step& step) {
    if (step.kind == StepKind::Kept) return;
    ends.push_back(step.kind);
    promise = {};
  });
  const auto wait = [&] { EXPECT_TRUE(run_until(loop, [&] { return !promise.valid(); })); };
  promise = db->write({.id = CorrelationId("well")}, insert("one"));
  wait();
  promise = db->write({.id = CorrelationId("ill")}, insert("one"));
  wait();
  {
    PostgresDatabase unreachable(loop, {.uri = "postgresql://127.0.0.1:1/none"});
    promise = unreachable.write({.deadline = 20ms, .id = CorrelationId("late")}, insert("two"));
    wait();
  }
  promise = db->write({.id = CorrelationId("left")}, insert("three"));
  EXPECT_THAT(loop.audit().findings(), IsEmpty());
  db.reset();
  EXPECT_THAT(ends, ElementsAre(StepKind::Fulfilled, StepKind::Rejected, StepKind::TimedOut, StepKind::Rejected));
}

TEST_F(PostgresDatabaseTest, DroppingAPromiseTakesBackWhatHasNotBegun) {
  open();
  { auto dropped = db->write(insert("dropped")); }
  outcome(loop, db->write(insert("kept")));
  EXPECT_THAT(names(), ElementsAre("kept"));
  EXPECT_EQ(db->status().writes.counters.dropped, 1U);
}

TEST_F(PostgresDatabaseTest, KeepsAFewStatementsPreparedAndLetsTheOthersGo) {
  options.statements = 5;
  open_and_wait();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i) {
      EXPECT_EQ(outcome(loop, db->write(PostgresUnit("SELECT $1::int + " + std::to_string(i), 1)))[0].one<int>(),
                i + 1);
    }
  }
  // Those of the last exchange are let go by the next one.
  EXPECT_LE(*outcome(loop, db->write(PostgresUnit("SELECT count(*) FROM pg_prepared_statements")))[0].one<int>(), 8);
  std::vector<Promise<PostgresResults>> many;
  for (int i = 0; i < 50; ++i) many.push_back(db->write(PostgresUnit("SELECT " + std::to_string(i))));
  for (auto& one : many) outcome(loop, std::move(one));
  auto wrong = db->write(PostgresUnit("SELECT nonsense"));
  EXPECT_EQ(code_of(failure(loop, std::move(wrong))), PostgresErrc::Access);
  outcome(loop, db->write(PostgresUnit("SELECT 1")));
  EXPECT_LE(*outcome(loop, db->write(PostgresUnit("SELECT count(*) FROM pg_prepared_statements")))[0].one<int>(), 8);
}

TEST_F(PostgresDatabaseTest, PreparesAnewWhatAChangedTableHasMadeInvalid) {
  open_and_wait();
  const std::string sql = "SELECT * FROM names";
  outcome(loop, db->read(sql));
  outcome(loop, db->write(PostgresUnit(sql)));
  elsewhere("ALTER TABLE names ADD COLUMN more int");
  EXPECT_EQ(outcome(loop, db->read(sql)).column_count(), 3U);
  EXPECT_EQ(outcome(loop, db->write(PostgresUnit(sql)))[0].column_count(), 3U);
}

TEST_F(PostgresDatabaseTest, TriesAUnitAgainThatADeadlockHasUndone) {
  outcome(loop, [&] {
    open();
    return db->write(insert("a"));
  }());
  outcome(loop, db->write(insert("b")));
  // Two databases that lock the same rows in opposite order; the server ends one of the two.
  PostgresDatabase other(loop, options);
  const auto unit = [](const char* first, const char* second) {
    return PostgresUnit("UPDATE names SET name = name WHERE name = $1", first)
        .add("SELECT pg_sleep(0.3)")
        .add("UPDATE names SET name = name WHERE name = $1", second);
  };
  outcome(loop, other.write(PostgresUnit("SELECT 1")));
  auto one = db->write(unit("a", "b"));
  auto two = other.write(unit("b", "a"));
  EXPECT_EQ(outcome(loop, std::move(one))[2].affected(), 1);
  EXPECT_EQ(outcome(loop, std::move(two))[2].affected(), 1);
  // Each may find it, and go back.
  EXPECT_GE(db->status().failed_commits + other.status().failed_commits, 1U);
}

TEST_F(PostgresDatabaseTest, LogsWhatTheServerNoticesAtDebug) {
  open();
  outcome(loop, db->write(PostgresUnit("DO $$ BEGIN RAISE NOTICE 'mind the fox'; END $$")));
  const auto line = sink.find("the server says");
  EXPECT_EQ(line.level, LogLevel::Debug);
  EXPECT_EQ(line.fields.at("text"), "mind the fox");
}

// --- the end ---

TEST_F(PostgresDatabaseTest, TheLoopEndsWhenAllThatWasSubmittedIsThrough) {
  open();
  int told = 0;
  for (int i = 0; i < 100; ++i) {
    db->write(insert(std::to_string(i))).then([&](const PostgresResults&) { ++told; }).detach();
  }
  db->read("SELECT pg_sleep(0.1)").then([&](const PostgresResult&) { ++told; }).detach();
  ManualSource endless(loop);
  endless.post([this] { loop.stop(); });
  loop.run();
  EXPECT_EQ(told, 101);
  EXPECT_EQ(elsewhere("SELECT count(*) FROM names"), "100");
}

TEST_F(PostgresDatabaseTest, TheLoopGoesOnForCallsAloneAndEndsWithoutThem) {
  open();
  bool done = false;
  db->write(insert("one")).then([&](const PostgresResults&) { done = true; }).detach();
  EXPECT_EQ(loop.run(), 0);
  EXPECT_TRUE(done);
}

TEST_F(PostgresDatabaseTest, ClosesWhenWhatWasSubmittedIsThroughAndTakesNothingMore) {
  open();
  auto written = write_many(0, 50);
  auto closed = db->close();
  auto late = db->write(insert("late"));
  EXPECT_EQ(code_of(failure(loop, std::move(late))), Errc::ShuttingDown);
  outcome(loop, std::move(closed));
  for (auto& one : written) EXPECT_TRUE(one.settled() && !one.state()->rejected());
  EXPECT_EQ(db->status().state, PostgresState::Closed);
  EXPECT_EQ(elsewhere("SELECT count(*) FROM names"), "50");
}

TEST_F(PostgresDatabaseTest, ClosingHasItsTime) {
  open_and_wait();
  auto slow = db->read("SELECT pg_sleep(1000)");
  auto write = db->write(PostgresUnit("SELECT pg_sleep(1000)"));
  auto waiting = db->read("SELECT 1");
  outcome(loop, db->close(100ms));
  EXPECT_EQ(code_of(failure(loop, std::move(slow))), Errc::ShuttingDown);
  EXPECT_EQ(code_of(failure(loop, std::move(waiting))), Errc::ShuttingDown);
  // Its COMMIT has left already, and nobody knows.
  EXPECT_EQ(code_of(failure(loop, std::move(write))), PostgresErrc::OutcomeUnknown);
}

TEST_F(PostgresDatabaseTest, DestroyedItRejectsWhatIsLeft) {
  open_and_wait();
  auto waiting = db->write(insert("waiting"));
  auto read = db->read("SELECT pg_sleep(1000)");
  db.reset();
  EXPECT_EQ(code_of(failure(loop, std::move(waiting))), Errc::ShuttingDown);
  EXPECT_EQ(code_of(failure(loop, std::move(read))), Errc::ShuttingDown);
}

TEST_F(PostgresDatabaseTest, MayBeDestroyedByWhatItsResultsCause) {
  open();
  bool done = false;
  db->write(insert("one"))
      .then([&](const PostgresResults&) {
        db.reset();
        done = true;
      })
      .detach();
  auto other = db->write(insert("two"));
  ASSERT_TRUE(run_until(loop, [&] { return done; }));
  EXPECT_TRUE(other.settled());
}

}  // namespace
}  // namespace snowfox
