#include <snowfox/sqlite/sqlite_database.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <snowfox/core/audit.h>
#include <snowfox/core/explanation.h>
#include <snowfox/promises/task.h>
#include <snowfox/sources/manual_source.h>

#include "support/manual_loop.h"

#include "sqlite_fixture.h"

namespace snowfox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// With a clock turned by hand: work is done when the loop waits.
class SqliteDatabaseTest : public ::testing::Test, protected ManualLoop, protected SqliteFile {
 protected:
  void open() { db.emplace(loop, options); }
  std::vector<std::string> names() {
    return outcome(
        loop, db->read([](SqliteSnapshot& s) { return s.all<std::string>("SELECT name FROM names ORDER BY id"); }));
  }

  std::optional<SqliteDatabase> db;
};

TEST_F(SqliteDatabaseTest, GivesWhatAFunctionReturnsWhenItIsCommitted) {
  open();
  EXPECT_EQ(outcome(loop, db->write(&insert, std::string("reynard"))), 1);
  EXPECT_EQ(outcome(loop, db->write([](SqliteTransaction& t) { return insert(t, "renart"); })), 2);
  EXPECT_THAT(names(), ElementsAre("reynard", "renart"));
}

TEST_F(SqliteDatabaseTest, PutsWhatIsSubmittedInOneTurnIntoOneCommit) {
  open();
  std::vector<Promise<std::int64_t>> written;
  for (int i = 0; i < 100; ++i) written.push_back(db->write(&insert, std::to_string(i)));
  for (auto& one : written) outcome(loop, std::move(one));
  EXPECT_EQ(db->status().commits, 1);
  EXPECT_EQ(db->status().writes.counters.done, 100);
  EXPECT_EQ(names().size(), 100);
}

TEST_F(SqliteDatabaseTest, UndoesAUnitThatFailsAndThatAlone) {
  open();
  auto before = db->write(&insert, std::string("before"));
  auto fails = db->write([](SqliteTransaction& t) {
    insert(t, "undone");
    insert(t, "before");
  });
  auto throws = db->write([](SqliteTransaction& t) {
    insert(t, "undone, too");
    throw std::runtime_error("no luck");
  });
  auto after = db->write(&insert, std::string("after"));
  outcome(loop, std::move(before));
  const std::exception_ptr error = failure(loop, std::move(fails));
  EXPECT_EQ(code_of(error), SqliteErrc::Constraint);
  EXPECT_THAT(describe(error), HasSubstr("UNIQUE constraint failed: names.name"));
  EXPECT_EQ(describe(failure(loop, std::move(throws))), "no luck");
  outcome(loop, std::move(after));
  EXPECT_THAT(names(), ElementsAre("before", "after"));
  EXPECT_EQ(db->status().commits, 1);
}

TEST_F(SqliteDatabaseTest, FailsAUnitThatOwesAForeignKeyAndThatAlone) {
  options.migrations.push_back(
      {2, "CREATE TABLE nicknames (id INTEGER REFERENCES names(id) DEFERRABLE INITIALLY DEFERRED)"});
  open();
  auto good = db->write(&insert, std::string("reynard"));
  auto owes = db->write([](SqliteTransaction& t) { t.run("INSERT INTO nicknames VALUES (17)"); });
  auto pays = db->write([](SqliteTransaction& t) {
    t.run("INSERT INTO nicknames VALUES (18)");
    t.run("INSERT INTO names VALUES (18, 'renart')");
  });
  outcome(loop, std::move(good));
  EXPECT_EQ(code_of(failure(loop, std::move(owes))), SqliteErrc::Constraint);
  outcome(loop, std::move(pays));
  EXPECT_EQ(db->status().commits, 1);
}

TEST_F(SqliteDatabaseTest, AUnitSeesWhatTheOnesBeforeHaveDone) {
  open();
  auto one = db->write(&insert, std::string("one"));
  auto two = db->write([](SqliteTransaction& t) { return count(t); });
  EXPECT_EQ(outcome(loop, std::move(two)), 1);
  outcome(loop, std::move(one));
}

TEST_F(SqliteDatabaseTest, LetsNoUnitEndTheTransactionOrMakeItLessDurable) {
  open();
  for (const std::string sql :
       {"COMMIT", "ROLLBACK", "BEGIN", "END", "SAVEPOINT mine", "RELEASE unit", "ROLLBACK TO unit",
        "ATTACH ':memory:' AS other", "PRAGMA synchronous = OFF", "PRAGMA Journal_Mode = DELETE",
        "PRAGMA user_version = 9", "PRAGMA wal_checkpoint", "PRAGMA main.synchronous = 0"}) {
    EXPECT_EQ(code_of(failure(loop, db->write([sql](SqliteTransaction& t) { t.run(sql); }))), SqliteErrc::Denied)
        << sql;
    EXPECT_EQ(code_of(failure(loop, db->write([sql](SqliteTransaction& t) { t.script(sql); }))), SqliteErrc::Denied);
  }
  EXPECT_EQ(outcome(loop, db->write([](SqliteTransaction& t) { return *t.one<int>("PRAGMA synchronous"); })), 2);
  EXPECT_EQ(outcome(loop, db->write([](SqliteTransaction& t) { return *t.one<std::string>("PRAGMA journal_mode"); })),
            "wal");
}

TEST_F(SqliteDatabaseTest, ReadsChangeNothing) {
  open();
  const auto write = [](SqliteSnapshot& s) {
    return s.one<int>("INSERT INTO names (name) VALUES ('no') RETURNING id");
  };
  EXPECT_EQ(code_of(failure(loop, db->read(write))), SqliteErrc::ReadOnly);
  EXPECT_TRUE(names().empty());
}

TEST_F(SqliteDatabaseTest, AReadIsOfOneMoment) {
  open();
  outcome(loop, db->write(&insert, std::string("one")));
  const auto twice = [this](SqliteSnapshot& s) {
    const auto before = count(s);
    execute_elsewhere(options.path, "INSERT INTO names (name) VALUES ('two')");
    return std::pair(before, count(s));
  };
  EXPECT_EQ(outcome(loop, db->read(twice)), std::pair(std::int64_t{1}, std::int64_t{1}));
  EXPECT_EQ(names().size(), 2);
}

// --- values ---

TEST_F(SqliteDatabaseTest, GivesBackWhatItWasGiven) {
  open();
  enum class Colour : std::uint8_t { Red = 7 };
  outcome(loop, db->write([](SqliteTransaction& t) {
    t.run("CREATE TABLE things (a, b, c, d, e, f, g)");
    EXPECT_EQ(
        t.run("INSERT INTO things VALUES (?, ?, ?, ?, ?, ?, ?)", std::int64_t{-1} << 62, 2.5, std::string("te\0xt", 5),
              SqliteBlob{std::byte{0}, std::byte{255}}, nullptr, Colour::Red, std::optional<bool>(true)),
        1);
    EXPECT_EQ(t.run("UPDATE things SET a = a WHERE 0"), 0);
    EXPECT_EQ(t.run("INSERT INTO things VALUES (1, 1, '', x'', ?, 1, ?)", std::optional<int>(), CorrelationId("fox-1")),
              1);
  }));
  outcome(loop, db->read([](SqliteSnapshot& s) {
    const auto row = s.one<std::int64_t, double, std::string, SqliteBlob, std::optional<int>, Colour, bool>(
        "SELECT * FROM things ORDER BY rowid");
    ASSERT_TRUE(row);
    const auto& [a, b, c, d, e, f, g] = *row;
    EXPECT_EQ(a, std::int64_t{-1} << 62);
    EXPECT_EQ(b, 2.5);
    EXPECT_EQ(c, std::string("te\0xt", 5));
    EXPECT_EQ(d, (SqliteBlob{std::byte{0}, std::byte{255}}));
    EXPECT_EQ(e, std::nullopt);
    EXPECT_EQ(f, Colour::Red);
    EXPECT_TRUE(g);
    const auto second = s.one<std::string, SqliteBlob, std::string>("SELECT c, d, g FROM things WHERE a = 1");
    EXPECT_EQ(second, std::tuple(std::string(), SqliteBlob(), std::string("fox-1")));
    EXPECT_EQ(s.one<int>("SELECT 1 FROM things WHERE a = 99"), std::nullopt);
    int seen = 0;
    s.each<std::string_view>("SELECT c FROM things ORDER BY rowid", [&](std::string_view text) {
      seen += static_cast<int>(text.size());
      return false;
    });
    EXPECT_EQ(seen, 5);
  }));
}

TEST_F(SqliteDatabaseTest, ConvertsNothingOnTheQuiet) {
  open();
  const auto asked = [&](auto function) { return failure(loop, db->read(function)); };
  auto error = asked([](SqliteSnapshot& s) { return s.one<int>("SELECT 'seven' AS age"); });
  EXPECT_EQ(code_of(error), SqliteErrc::Mismatch);
  EXPECT_THAT(describe(error), HasSubstr("column age is text, not a whole number"));
  error = asked([](SqliteSnapshot& s) { return s.one<std::int8_t>("SELECT 300"); });
  EXPECT_EQ(code_of(error), SqliteErrc::Mismatch);
  error = asked([](SqliteSnapshot& s) { return s.one<std::string>("SELECT NULL"); });
  EXPECT_THAT(describe(error), HasSubstr("is NULL, not text"));
  error = asked([](SqliteSnapshot& s) { return s.one<int>("SELECT 1, 2"); });
  EXPECT_EQ(code_of(error), SqliteErrc::OutOfRange);
  error = asked([](SqliteSnapshot& s) { return s.one<int>("SELECT ?"); });
  EXPECT_THAT(describe(error), HasSubstr("1 parameters, given 0"));
  error = asked([](SqliteSnapshot& s) { return s.one<int>("SELECT ?", ~std::uint64_t{0}); });
  EXPECT_EQ(code_of(error), SqliteErrc::TooBig);
  error = asked([](SqliteSnapshot& s) { return s.one<int>("SELECT 1; SELECT 2"); });
  EXPECT_THAT(describe(error), HasSubstr("not one statement"));
  error = asked([](SqliteSnapshot& s) { return s.one<int>("SELECT \"no such column\""); });
  EXPECT_EQ(code_of(error), SqliteErrc::Error);
  EXPECT_THAT(describe(error), HasSubstr(options.path));
}

TEST_F(SqliteDatabaseTest, BoundsWhatAReadGives) {
  options.max_rows = 10;
  options.max_result_bytes = 1000;
  options.statements = 2;
  open();
  const auto read = [&](const std::string& sql) {
    return code_of(failure(loop, db->read([sql](SqliteSnapshot& s) { return s.all<std::string>(sql).size(); })));
  };
  const std::string numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 11) ";
  EXPECT_EQ(read(numbers + "SELECT 'x' FROM n"), Errc::LimitReached);
  EXPECT_EQ(read(numbers + "SELECT hex(zeroblob(100)) FROM n LIMIT 9"), Errc::LimitReached);
  const auto pages = [](SqliteSnapshot& s, std::int64_t after) {
    return s.all<std::int64_t>("SELECT value FROM json_each('[1,2,3,4,5]') WHERE value > ? ORDER BY value LIMIT 2",
                               after);
  };
  EXPECT_THAT(outcome(loop, db->read(pages, 0)), ElementsAre(1, 2));
  EXPECT_THAT(outcome(loop, db->read(pages, 2)), ElementsAre(3, 4));
  EXPECT_THAT(outcome(loop, db->read(pages, 4)), ElementsAre(5));
}

TEST_F(SqliteDatabaseTest, TakesTheSameStatementWithinItself) {
  open();
  outcome(loop, db->write(&insert, std::string("one")));
  outcome(loop, db->write(&insert, std::string("two")));
  const auto pairs = [](SqliteSnapshot& s) {
    int seen = 0;
    s.each<std::string>("SELECT name FROM names", [&](const std::string&) {
      s.each<std::string>("SELECT name FROM names", [&](const std::string&) { ++seen; });
    });
    return seen;
  };
  EXPECT_EQ(outcome(loop, db->read(pairs)), 4);
}

// --- limits, deadlines, back-pressure ---

TEST_F(SqliteDatabaseTest, RefusesMoreUnitsThanItMayHold) {
  options.max_units = 2;
  options.max_reads = 1;
  open();
  auto one = db->write(&insert, std::string("one"));
  auto two = db->write(&insert, std::string("two"));
  auto three = db->write(&insert, std::string("three"));
  EXPECT_TRUE(three.settled());
  EXPECT_EQ(code_of(failure(loop, std::move(three))), Errc::LimitReached);
  auto read = db->read(&count);
  EXPECT_EQ(code_of(failure(loop, db->read(&count))), Errc::LimitReached);
  outcome(loop, std::move(two));
  outcome(loop, std::move(one));
  outcome(loop, std::move(read));
  outcome(loop, db->write(&insert, std::string("three")));
  EXPECT_EQ(db->status().writes.counters.refused, 1);
}

TEST_F(SqliteDatabaseTest, CommitsOneAtATimeAtLeast) {
  options.units_per_commit = 0;
  open();
  for (const char* name : {"one", "two"}) outcome(loop, db->write(&insert, std::string(name)));
  EXPECT_EQ(db->status().commits, 2U);
}

TEST_F(SqliteDatabaseTest, RefusesMoreBytesThanItMayHold) {
  options.max_bytes = 10'000;
  open();
  EXPECT_EQ(code_of(failure(loop, db->write(&insert, std::string(10'000, 'x')))), Errc::LimitReached);
  EXPECT_EQ(code_of(failure(loop, db->write({.bytes = 10'000}, &insert, std::string("x")))), Errc::LimitReached);
  outcome(loop, db->write(&insert, std::string(9'000, 'x')));
  EXPECT_EQ(db->status().pending_bytes, 0);
}

TEST_F(SqliteDatabaseTest, PausesWhoeverBringsMoreThanItCommits) {
  options.high_bytes = 10'000;
  options.low_bytes = 5'000;
  open();
  ManualSource clients(loop);
  db->backlog().bind(clients.id());
  std::vector<Promise<std::int64_t>> written;
  for (int i = 0; i < 20; ++i) written.push_back(db->write(&insert, std::string(1000, 'a') + std::to_string(i)));
  EXPECT_TRUE(clients.paused());
  EXPECT_TRUE(db->status().congested);
  for (auto& one : written) outcome(loop, std::move(one));
  turn();
  EXPECT_FALSE(clients.paused());
}

TEST_F(SqliteDatabaseTest, DoesNotBeginWhatComesTooLateOrNobodyWaitsFor) {
  open();
  bool called = false;
  auto late = db->write({.deadline = 1ms, .id = CorrelationId("late")}, [&](SqliteTransaction&) { called = true; });
  {
    const auto dropped = db->write([&](SqliteTransaction&) { called = true; });
    EXPECT_EQ(db->status().writes.waiting, 2);
  }
  EXPECT_EQ(db->status().writes.waiting, 1);
  poller.advance(2ms);
  // The loop looks at its timers before it asks the drain to begin.
  const std::exception_ptr error = failure(loop, std::move(late));
  if (!called) {
    EXPECT_EQ(code_of(error), Errc::DeadlineExceeded);
    EXPECT_THAT(describe(error), HasSubstr("write"));
    EXPECT_THAT(describe(error), HasSubstr("id late"));
  }
  EXPECT_EQ(db->status().writes.counters.dropped, 1);
}

TEST_F(SqliteDatabaseTest, WhoIsToldOfACallsEndMayDropItsPromise) {
  open();
  Promise<int> promise;
  std::vector<StepKind> ends;
  const auto token = loop.lifecycle().step.add([&](const Step& step) {
    if (step.kind == StepKind::Kept) return;
    ends.push_back(step.kind);
    promise = {};
  });
  const auto give = [](SqliteTransaction&) { return 1; };
  const auto wait = [&] { EXPECT_TRUE(run_until(loop, [&] { return !promise.valid(); })); };
  promise = db->write({.id = CorrelationId("well")}, give);
  wait();
  promise = db->write({.id = CorrelationId("ill")}, [](SqliteTransaction&) -> int { throw std::runtime_error("no"); });
  wait();
  promise = db->write({.id = CorrelationId("left")}, give);
  EXPECT_THAT(loop.audit().findings(), IsEmpty());
  db.reset();
  EXPECT_THAT(ends, ElementsAre(StepKind::Fulfilled, StepKind::Rejected, StepKind::Rejected));
}

TEST_F(SqliteDatabaseTest, IsPleasantToAwait) {
  open();
  const auto rename = [](SqliteTransaction& t, std::int64_t id, const std::string& to) {
    return t.run("UPDATE names SET name = ? WHERE id = ?", to, id);
  };
  std::string seen;
  const auto task = [&]() -> Task<> {
    const std::int64_t id = co_await db->write(&insert, std::string("reynard"));
    co_await db->write(rename, id, std::string("renart"));
    seen = *co_await db->read([](SqliteSnapshot& s) { return s.one<std::string>("SELECT name FROM names"); });
  };
  outcome(loop, task().promise(loop));
  EXPECT_EQ(seen, "renart");
}

// --- the end ---

TEST_F(SqliteDatabaseTest, CommitsWhatWasSubmittedBeforeTheLoopEnds) {
  open();
  std::vector<std::string> told;
  ManualSource source(loop);
  source.post([&] {
    db->write(&insert, std::string("one"))
        .then([&](std::int64_t) {
          told.push_back("one");
          return db->write(&insert, std::string("two"));
        })
        .then([&](std::int64_t) { told.push_back("two"); })
        .detach();
    db->read(&count).then([&](std::int64_t) { told.push_back("read"); }).detach();
    throw CleanExit();
  });
  EXPECT_EQ(loop.run(), 0);
  EXPECT_THAT(told, ::testing::UnorderedElementsAre("one", "two", "read"));
}

TEST_F(SqliteDatabaseTest, RejectsWhatIsLeftWhenItIsDestroyed) {
  open();
  auto write = db->write(&insert, std::string("never"));
  auto read = db->read(&count);
  db.reset();
  EXPECT_EQ(code_of(failure(loop, std::move(write))), Errc::ShuttingDown);
  EXPECT_EQ(code_of(failure(loop, std::move(read))), Errc::ShuttingDown);
  open();
  EXPECT_TRUE(names().empty());
}

TEST_F(SqliteDatabaseTest, MayBeDestroyedByWhatItTells) {
  open();
  auto one = db->write(&insert, std::string("one")).then([this](std::int64_t) { db.reset(); });
  auto two = db->write(&insert, std::string("two"));
  outcome(loop, std::move(one));
  // It was committed, and so it is told as such.
  EXPECT_EQ(outcome(loop, std::move(two)), 2);
}

TEST_F(SqliteDatabaseTest, MayGoBeforeAnEventOfIts) {
  open();
  auto one = db->write(&insert, std::string("one"));
  EventRef event = loop.wait(1s);
  ASSERT_NE(event, nullptr);
  db.reset();
  loop.dispatch(std::move(event));
  EXPECT_EQ(outcome(loop, std::move(one)), 1);
}

TEST_F(SqliteDatabaseTest, ClosesWhenAllIsDone) {
  open();
  auto write = db->write(&insert, std::string("last"));
  auto closed = db->close();
  auto late = db->write(&insert, std::string("late"));
  EXPECT_EQ(code_of(failure(loop, std::move(late))), Errc::ShuttingDown);
  EXPECT_EQ(code_of(failure(loop, db->read(&count))), Errc::ShuttingDown);
  outcome(loop, std::move(closed));
  EXPECT_EQ(outcome(loop, std::move(write)), 1);
  EXPECT_FALSE(std::filesystem::exists(options.path + "-wal"));
  EXPECT_EQ(db->status().writes.counters.done, 1);
  loop.explain();
  db.reset();
  open();
  EXPECT_THAT(names(), ElementsAre("last"));
}

// --- what it tells ---

TEST_F(SqliteDatabaseTest, TellsWhatItWaitsFor) {
  open();
  std::vector<StepKind> steps;
  const auto token = loop.lifecycle().step.add([&](const Step& step) { steps.push_back(step.kind); });
  std::vector<std::size_t> units;
  const auto commits = db->committed().add([&](const SqliteCommit& commit) { units.push_back(commit.units); });
  const CorrelationId id("client-7/1");
  auto write = db->write({.id = id}, &insert, std::string("one"));
  poller.advance(3ms);
  EXPECT_EQ(db->status().writes.waiting, 1);
  EXPECT_EQ(db->status().writes.oldest, 3ms);
  const auto waits = loop.explain(id).waits();
  ASSERT_EQ(waits.size(), 1);
  EXPECT_EQ(waits.front().what, "long");
  EXPECT_EQ(loop.explain().waits().size(), 1);
  outcome(loop, std::move(write));
  EXPECT_TRUE(loop.explain(id).waits().empty());
  EXPECT_THAT(steps, ElementsAre(StepKind::Kept, StepKind::Fulfilled));
  EXPECT_THAT(units, ElementsAre(1));
  EXPECT_TRUE(loop.audit().findings().empty());
}

}  // namespace
}  // namespace snowfox
