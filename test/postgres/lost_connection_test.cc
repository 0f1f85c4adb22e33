// What becomes of units when the connection or the server goes, at whatever moment.
#include <snowfox/postgres/postgres_database.h>

#include <map>
#include <set>

#include <snowfox/promises/sleep.h>

#include "postgres_fixture.h"
#include "proxy.h"

namespace snowfox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PostgresLostConnectionTest : public PostgresTest {
 protected:
  // A connection that nobody uses keeps no loop going.
  PostgresLostConnectionTest() { loop.hold(); }
  ~PostgresLostConnectionTest() override { loop.release(); }

  /// What has become of each unit, by the name that it inserts.
  enum class Fate { Waiting, Kept, Unknown, Other };

  void write_some(int count) {
    for (int i = 0; i < count; ++i) {
      const std::string name = std::to_string(fates.size());
      Fate& fate = fates[name];
      fate = Fate::Waiting;
      db->write(insert(name))
          .then([&fate](const PostgresResults&) { fate = Fate::Kept; })
          .otherwise([&fate](const std::exception_ptr& error) {
            fate = code_of(error) == PostgresErrc::OutcomeUnknown ? Fate::Unknown : Fate::Other;
            if (fate == Fate::Other) ADD_FAILURE() << describe(error);
          })
          .detach();
    }
  }
  std::size_t count(Fate fate) const {
    std::size_t found = 0;
    for (const auto& each : fates) found += each.second == fate ? 1 : 0;
    return found;
  }
  void expect_nothing_lost_and_nothing_doubled() {
    ASSERT_TRUE(run_until(
        loop, [&] { return count(Fate::Waiting) == 0; }, 60s));
    const auto rows = names();
    const std::set<std::string> there(rows.begin(), rows.end());
    EXPECT_EQ(there.size(), rows.size());
    std::size_t unknown_there = 0;
    for (const auto& each : fates) {
      if (each.second == Fate::Kept) {
        EXPECT_EQ(there.count(each.first), 1U) << each.first << " is lost";
      }
      if (each.second == Fate::Unknown) unknown_there += there.count(each.first);
    }
    EXPECT_EQ(there.size(), count(Fate::Kept) + unknown_there);
    EXPECT_EQ(count(Fate::Other), 0U);
  }

  std::map<std::string, Fate> fates;
};

TEST_F(PostgresLostConnectionTest, NobodyKnowsWhatBecameOfAUnitWhoseCommitWasNotAnswered) {
  Proxy proxy(cluster().port());
  options.uri = in_schema(cluster().uri_with(proxy.port()));
  open_and_wait();
  outcome(loop, db->write(insert("before")));
  proxy.cut_at_answer("COMMIT");
  auto one = db->write(insert("one"));
  auto two = db->write(insert("two"));
  const auto error = failure(loop, std::move(one));
  EXPECT_EQ(code_of(error), PostgresErrc::OutcomeUnknown);
  EXPECT_THAT(describe(error), HasSubstr("after COMMIT was sent"));
  EXPECT_EQ(code_of(failure(loop, std::move(two))), PostgresErrc::OutcomeUnknown);
  EXPECT_EQ(db->status().unknown_commits, 1U);
  // It was committed, in fact; and the next connection goes on.
  outcome(loop, db->write(insert("after")));
  EXPECT_THAT(names(), ElementsAre("before", "one", "two", "after"));
  EXPECT_EQ(db->status().connects, 2U);
  EXPECT_EQ(db->status().losses, 1U);
}

TEST_F(PostgresLostConnectionTest, RunsAgainWhatWasSurelyNotCommitted) {
  Proxy proxy(cluster().port());
  options.uri = in_schema(cluster().uri_with(proxy.port()));
  open_and_wait();
  // Its statement does not arrive, so what comes after it does not, either.
  proxy.cut_at_request("does not arrive");
  const std::string large(10'000'000, 'x');
  auto one = db->write(insert("one").add("SELECT length($1::text) + length($2::text)", "does not arrive", large));
  EXPECT_EQ(outcome(loop, std::move(one))[1].one<int>(), 10'000'015);
  EXPECT_THAT(names(), ElementsAre("one"));
  EXPECT_EQ(db->status().unknown_commits, 0U);
  EXPECT_EQ(db->status().losses, 1U);
}

TEST_F(PostgresLostConnectionTest, ASessionThatIsEndedBeforeItsCommitIsSurelyUndone) {
  open_and_wait();
  auto ended = db->write(insert("ended").add(
      "SELECT CASE WHEN nextval('names_id_seq') < 3 THEN pg_terminate_backend(pg_backend_pid()) END"));
  // The server has said so, in the place of the statement's result.
  outcome(loop, std::move(ended));
  EXPECT_THAT(names(), ElementsAre("ended"));
  EXPECT_EQ(db->status().losses, 1U);
  EXPECT_EQ(db->status().unknown_commits, 0U);
}

TEST_F(PostgresLostConnectionTest, AReadWhoseConnectionIsLostIsRunAgain) {
  open_and_wait();
  outcome(loop, db->write(PostgresUnit("CREATE SEQUENCE tries")));
  auto read = db->read("SELECT pg_sleep(0.3), 7");
  ASSERT_EQ(db->status().reads.under_way, 1U);
  // The one that reads.
  while (cluster().execute("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'SELECT "
                           "pg_sleep(0.3), 7%' AND state = 'active'") == "0") {
    loop.run_for(1ms);
  }
  EXPECT_EQ(outcome(loop, std::move(read))[0].get<int>(1), 7);
}

TEST_F(PostgresLostConnectionTest, SurvivesSessionsThatAreEndedAtManyMoments) {
  options.units_per_commit = 20;
  options.application_name = "ended " + schema;
  open_and_wait();
  for (int round = 0; round < 40; ++round) {
    write_some(50);
    loop.run_for(std::chrono::microseconds(round * 150));
    terminate();
    if (round % 4 == 3) {
      ASSERT_TRUE(run_until(
          loop, [&] { return count(Fate::Waiting) == 0; }, 60s));
    }
  }
  expect_nothing_lost_and_nothing_doubled();
  EXPECT_GE(db->status().losses, 5U);
  EXPECT_GE(count(Fate::Kept), 1000U);
}

TEST_F(PostgresLostConnectionTest, SurvivesAServerThatIsKilledUnderLoadAndStartsAgain) {
  options.units_per_commit = 50;
  // A server that recovers takes its time on a busy disk.
  options.default_deadline = 5min;
  open_and_wait();
  for (int round = 0; round < 4; ++round) {
    write_some(300);
    const std::size_t enough = count(Fate::Kept) + static_cast<std::size_t>(round) * 25;
    ASSERT_TRUE(run_until(
        loop, [&] { return count(Fate::Kept) >= enough; }, 60s));
    cluster().tell(round % 2 == 0 ? "crash" : "stop");
    loop.run_for(std::chrono::milliseconds(5 * round));
    cluster().wait();
    write_some(50);
    cluster().tell("start");
    loop.run_for(50ms);
    cluster().wait();
    ASSERT_TRUE(run_until(
        loop, [&] { return db->connected(); }, 60s));
  }
  expect_nothing_lost_and_nothing_doubled();
  EXPECT_EQ(fates.size(), 1400U);
  EXPECT_GE(count(Fate::Kept), 1000U);
}

TEST_F(PostgresLostConnectionTest, WritesWaitForTheServerToComeBack) {
  open_and_wait();
  std::vector<PostgresState> states;
  const auto token = db->changed().add([&](const PostgresStatus& status) { states.push_back(status.state); });
  cluster().run("stop");
  ASSERT_TRUE(run_until(loop, [&] { return !db->connected(); }));
  EXPECT_EQ(states.front(), PostgresState::Waiting);
  EXPECT_FALSE(db->status().last_error.empty());
  auto patient = db->write(insert("patient"));
  auto impatient = db->write({.deadline = 50ms}, insert("impatient"));
  EXPECT_EQ(code_of(failure(loop, std::move(impatient))), Errc::DeadlineExceeded);
  cluster().run("start");
  outcome(loop, std::move(patient));
  EXPECT_THAT(names(), ElementsAre("patient"));
  EXPECT_EQ(states.back(), PostgresState::Connected);
}

TEST_F(PostgresLostConnectionTest, GivesUpAConnectionOnWhichNothingIsAnswered) {
  Proxy proxy(cluster().port());
  options.uri = in_schema(cluster().uri_with(proxy.port()));
  options.statement_timeout = 100ms;
  options.answer_grace = 100ms;
  open_and_wait();
  proxy.swallow_at_answer("COMMIT");
  EXPECT_EQ(code_of(failure(loop, db->write(insert("swallowed")))), PostgresErrc::OutcomeUnknown);
  outcome(loop, db->write(insert("next")));
  EXPECT_THAT(names(), ElementsAre("swallowed", "next"));
}

TEST_F(PostgresLostConnectionTest, WhoNeedsAConnectionIsToldWhenItIsLost) {
  options.require_connected = true;
  options.units_per_commit = 1;
  open_and_wait();
  auto first = db->write(PostgresUnit("SELECT pg_terminate_backend(pg_backend_pid())"));
  auto second = db->write(insert("second"));
  EXPECT_EQ(code_of(failure(loop, std::move(first))), PostgresErrc::NotConnected);
  EXPECT_EQ(code_of(failure(loop, std::move(second))), PostgresErrc::NotConnected);
}

TEST_F(PostgresLostConnectionTest, DestroyedWhileConnectionsComeAndGoItLeavesNothingBehind) {
  for (int i = 0; i < 30; ++i) {
    open();
    auto write = db->write(insert(std::to_string(i)));
    auto read = db->read("SELECT pg_sleep(0.01)");
    loop.run_for(std::chrono::microseconds(i * 1500));
    db.reset();
    EXPECT_TRUE(write.settled());
    EXPECT_TRUE(read.settled());
  }
  EXPECT_EQ(loop.drain_count(), 0U);
  EXPECT_EQ(loop.source_count(), 0U);
}

}  // namespace
}  // namespace snowfox
