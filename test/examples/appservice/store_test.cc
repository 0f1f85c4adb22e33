// What each store promises: the same tests for all of them.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include <snowfox/core/loop_manager.h>

#include "appservice/sqlite_store.h"
#include "appservice/store.h"
#include "support/run_until.h"
#include "support/temporary_directory.h"

#ifdef SNOWFOX_APPSERVICE_POSTGRES
#include "appservice/postgres_store.h"
#include "postgres/cluster.h"
#endif

namespace snowfox::appservice {
namespace {

using namespace std::chrono_literals;
using Events = std::vector<std::string>;

/// A place for a store, which is there before it and after it.
class Place {
 public:
  virtual ~Place() = default;
  virtual std::unique_ptr<Store> open(LoopManager& loop, std::uint64_t remembered) = 0;
};

class SqlitePlace final : public Place {
  std::unique_ptr<Store> open(LoopManager& loop, std::uint64_t remembered) override {
    return std::make_unique<SqliteStore>(loop, directory_ / "store.db", remembered);
  }
  TemporaryDirectory directory_;
};

#ifdef SNOWFOX_APPSERVICE_POSTGRES
/// A database of its own on the server that all tests share.
class PostgresPlace final : public Place {
 public:
  PostgresPlace() {
    static int number = 0;
    name_ = "appservice" + std::to_string(++number);
    PostgresCluster::shared().execute("CREATE DATABASE " + name_);
  }

 private:
  std::unique_ptr<Store> open(LoopManager& loop, std::uint64_t remembered) override {
    std::string uri = PostgresCluster::shared().uri();
    const std::size_t path = uri.find('/', uri.find("//") + 2);
    const std::size_t query = uri.find('?', path);
    uri.replace(path + 1, query == std::string::npos ? query : query - path - 1, name_);
    auto store = std::make_unique<PostgresStore>(loop, uri, remembered);
    run_until(
        loop, [&] { return store->trouble().empty(); }, 60s);
    return store;
  }
  std::string name_;
};
#endif

struct Kind {
  std::string name;
  std::function<std::unique_ptr<Place>()> make;
  std::function<bool()> installed = [] { return true; };
};

class StoreTest : public ::testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (!GetParam().installed()) GTEST_SKIP() << "no server here";
    place = GetParam().make();
    reopen();
  }
  void reopen(std::uint64_t remembered = 1'000'000) {
    if (store) settle(store->close());
    store = nullptr;
    store = place->open(loop, remembered);
  }
  template <typename T>
  T settle(Promise<T> promise) {
    if (!run_until(
            loop, [&] { return promise.settled(); }, 60s))
      throw std::logic_error("it was not settled");
    if (promise.state()->rejected()) std::rethrow_exception(promise.state()->error());
    if constexpr (!std::is_void_v<T>) return std::move(promise.state()->value());
  }

  static NewEvent event(const std::string& id, const Events& services = {"a"}) {
    NewEvent result;
    result.event_id = id;
    result.body = R"({"event_id":")" + id + R"(","unsigned":{}})";
    result.age_ts = 1000;
    result.services = services;
    return result;
  }
  Submission submission(const Events& ids, const Events& services = {"a"}, const Events& claims = {}) const {
    Submission result{.events = {}, .claims = claims, .limits = limits, .now = 5000};
    for (const std::string& id : ids) result.events.push_back(event(id, services));
    return result;
  }
  Accepted accept(const Events& ids, const Events& services = {"a"}, const Events& claims = {}) {
    return settle(store->accept(submission(ids, services, claims)));
  }
  Step step(Step::Kind kind = Step::Kind::None, TransactionId transaction = 0, const std::string& service = "a") const {
    Step result;
    result.service = service;
    result.kind = kind;
    result.transaction = transaction;
    result.limits = limits;
    result.now = 9000;
    return result;
  }
  Advanced advance(Step::Kind kind = Step::Kind::None, TransactionId transaction = 0,
                   const std::string& service = "a") {
    return settle(store->advance(step(kind, transaction, service)));
  }
  Advanced counted(const std::string& service = "a") {
    Step count = step(Step::Kind::None, 0, service);
    count.count = true;
    return settle(store->advance(std::move(count)));
  }
  ServiceRecord record(const std::string& service = "a") {
    for (ServiceRecord& found : settle(store->services())) {
      if (found.id == service) return found;
    }
    return {.id = "none"};
  }
  static Events events_of(const Transaction& transaction) {
    Events ids;
    const auto content = nlohmann::json::parse(*transaction.body);
    for (const auto& one : content.at("events")) ids.push_back(one.at("event_id"));
    EXPECT_EQ(ids.size(), transaction.events);
    return ids;
  }

  LoopManager loop;
  TransactionLimits limits;
  std::unique_ptr<Place> place;
  std::unique_ptr<Store> store;
};

TEST_P(StoreTest, KnowsNothingAtFirst) {
  EXPECT_TRUE(settle(store->services()).empty());
  EXPECT_FALSE(advance().next);
  EXPECT_EQ(store->trouble(), "");
  const StoredRoom room = settle(store->load_room("!none:x"));
  EXPECT_TRUE(room.members.empty());
  EXPECT_TRUE(room.aliases.empty());
}

TEST_P(StoreTest, GivesEventsInTheOrderInWhichTheyWereAccepted) {
  accept({"$1", "$2"});
  accept({"$3"});
  const Advanced first = advance();
  ASSERT_TRUE(first.next);
  EXPECT_EQ(first.next->id, 1);
  EXPECT_EQ(first.next->oldest, 5000);
  EXPECT_EQ(events_of(*first.next), (Events{"$1", "$2", "$3"}));
  EXPECT_FALSE(first.backlog);
  EXPECT_FALSE(advance(Step::Kind::Done, 1).next);
}

TEST_P(StoreTest, GivesTheSameTransactionUntilItHasEnded) {
  accept({"$1"});
  const Advanced first = advance();
  accept({"$2"});
  reopen();
  Step later = step();
  later.now = 999'999;
  later.limits = {.events = 7, .bytes = 77};
  const Advanced again = settle(store->advance(std::move(later)));
  EXPECT_EQ(again.next->id, first.next->id);
  EXPECT_EQ(*again.next->body, *first.next->body);
  const Advanced next = advance(Step::Kind::Done, 1);
  EXPECT_EQ(next.next->id, 2);
  EXPECT_EQ(events_of(*next.next), Events{"$2"});
}

TEST_P(StoreTest, TellsTheAgeAtTheTimeOfFreezing) {
  accept({"$1"});
  const auto content = nlohmann::json::parse(*advance().next->body);
  EXPECT_EQ(content["events"][0]["unsigned"]["age"], 8000);
}

TEST_P(StoreTest, FreezesWhatIsClaimedInTheSameCommit) {
  limits.events = 2;
  Accepted accepted = accept({"$1", "$2", "$3"}, {"a", "b"}, {"a"});
  ASSERT_EQ(accepted.transactions.size(), 1);
  ASSERT_TRUE(accepted.transactions[0]);
  EXPECT_EQ(accepted.transactions[0]->id, 1);
  EXPECT_EQ(accepted.transactions[0]->oldest, 5000);
  EXPECT_EQ(events_of(*accepted.transactions[0]), (Events{"$1", "$2"}));
  const std::string body = *accepted.transactions[0]->body;
  reopen();
  EXPECT_EQ(*advance().next->body, body);
  EXPECT_EQ(events_of(*advance(Step::Kind::Done, 1).next), Events{"$3"});
  EXPECT_EQ(events_of(*advance(Step::Kind::None, 0, "b").next), (Events{"$1", "$2"}));
}

TEST_P(StoreTest, KeepsTransactionsWithinTheirBytes) {
  limits.bytes = 160;
  const Accepted accepted = accept({"$1", "$2", "$3", "$4", "$5", "$6", "$7"}, {"a"}, {"a"});
  Events all = events_of(*accepted.transactions[0]);
  EXPECT_LE(accepted.transactions[0]->body->size(), limits.bytes);
  EXPECT_GT(all.size(), 1);
  EXPECT_LT(all.size(), 7);
  TransactionId id = 1;
  for (Advanced next = advance(Step::Kind::Done, id); next.next; next = advance(Step::Kind::Done, id)) {
    id = next.next->id;
    EXPECT_LE(next.next->body->size(), limits.bytes);
    const Events events = events_of(*next.next);
    all.insert(all.end(), events.begin(), events.end());
  }
  EXPECT_EQ(all, (Events{"$1", "$2", "$3", "$4", "$5", "$6", "$7"}));
}

TEST_P(StoreTest, SendsAnEventHoweverLargeItIs) {
  limits.bytes = 10;
  accept({"$1", "$2"});
  EXPECT_EQ(events_of(*advance().next), Events{"$1"});
}

TEST_P(StoreTest, GivesATransactionThatIsAsLargeAsItMayBe) {
  limits.bytes = 128U << 20;
  for (const char* id : {"$1", "$2", "$3", "$4", "$5"}) {
    Submission large = submission({id});
    large.events[0].body.insert(1, R"("text":")" + std::string(15U << 20, 'x') + R"(",)");
    settle(store->accept(std::move(large)));
  }
  const Advanced first = advance();
  ASSERT_TRUE(first.next);
  EXPECT_EQ(first.next->events, 5);
  EXPECT_GT(first.next->body->size(), 75U << 20);
  EXPECT_FALSE(advance(Step::Kind::Done, 1).next);
}

TEST_P(StoreTest, QueuesAKnownEventForNobody) {
  accept({"$1"});
  const Accepted again = accept({"$1", "$2", "$2"}, {"a", "b"}, {"b"});
  EXPECT_EQ(again.known, (std::vector<bool>{true, false, true}));
  EXPECT_EQ(events_of(*again.transactions[0]), Events{"$2"});
  EXPECT_EQ(events_of(*advance().next), (Events{"$1", "$2"}));
  advance(Step::Kind::Done, 1);
  reopen();
  const Accepted done = accept({"$1"}, {"a"}, {"a"});
  EXPECT_EQ(done.known, std::vector<bool>{true});
  EXPECT_FALSE(done.transactions[0]);
  EXPECT_FALSE(advance().next);
}

TEST_P(StoreTest, TellsWhichEventsItKnows) {
  accept({"$1", "$2"});
  EXPECT_EQ(settle(store->known({"$0", "$2", "$3"})), Events{"$2"});
  EXPECT_EQ(settle(store->known({})), Events{});
}

TEST_P(StoreTest, ForgetsTheOldestIdsOfWhatIsDone) {
  reopen(50);
  Events many;
  for (int i = 0; i < 1100; ++i) many.push_back("$" + std::to_string(i));
  accept({"$waits"}, {"b"});
  for (int i = 0; i < 1100; i += 100) {
    accept({many.begin() + i, many.begin() + i + 100}, {"a"}, {"a"});
    advance(Step::Kind::Done, i / 100 + 1);
  }
  EXPECT_EQ(accept({"$0"}).known, std::vector<bool>{false});
  EXPECT_EQ(accept({"$1099"}).known, std::vector<bool>{true});
  EXPECT_EQ(accept({"$waits"}).known, std::vector<bool>{true});
  EXPECT_EQ(events_of(*advance(Step::Kind::None, 0, "b").next), Events{"$waits"});
}

TEST_P(StoreTest, ForgetsWhatIsDoneAfterItsTurnToBeForgotten) {
  reopen(50);
  accept({"$waits"}, {"b"});
  for (int i = 0; i < 1100; i += 100) {
    Events some;
    for (int j = 0; j < 100; ++j) some.push_back("$" + std::to_string(i + j));
    accept(some, {"a"}, {"a"});
    advance(Step::Kind::Done, i / 100 + 1);
  }
  ASSERT_EQ(advance(Step::Kind::None, 0, "b").next->id, 1);
  EXPECT_EQ(accept({"$waits"}, {"b"}).known, std::vector<bool>{true});
  EXPECT_FALSE(advance(Step::Kind::Done, 1, "b").next);
  EXPECT_EQ(accept({"$waits"}, {"b"}).known, std::vector<bool>{false});
  EXPECT_EQ(accept({"$1099"}).known, std::vector<bool>{true});
}

TEST_P(StoreTest, KeepsAnEventUntilAllServicesHaveIt) {
  accept({"$1"}, {"a", "b"});
  ASSERT_TRUE(advance().next);
  EXPECT_FALSE(advance(Step::Kind::Done, 1).next);
  EXPECT_EQ(events_of(*advance(Step::Kind::None, 0, "b").next), Events{"$1"});
}

TEST_P(StoreTest, GivesWhatIsSplitAgainUnderNewIds) {
  accept({"$1", "$2", "$3", "$4"});
  ASSERT_EQ(advance().next->id, 1);
  limits.events = 2;
  const Advanced first = advance(Step::Kind::Split, 1);
  EXPECT_EQ(first.next->id, 2);
  EXPECT_EQ(events_of(*first.next), (Events{"$1", "$2"}));
  const Advanced second = advance(Step::Kind::Done, 2);
  EXPECT_EQ(second.next->id, 3);
  EXPECT_EQ(events_of(*second.next), (Events{"$3", "$4"}));
}

TEST_P(StoreTest, DoesNothingMoreWhenAStepIsTakenAgain) {
  accept({"$1"});
  accept({"$2"});
  limits.events = 1;
  ASSERT_EQ(advance().next->id, 1);
  const Advanced next = advance(Step::Kind::Done, 1);
  const Advanced again = advance(Step::Kind::Done, 1);
  EXPECT_EQ(next.next->id, 2);
  EXPECT_EQ(again.next->id, 2);
  EXPECT_EQ(*again.next->body, *next.next->body);
  const Advanced split = advance(Step::Kind::Split, 2);
  EXPECT_EQ(split.next->id, 3);
  EXPECT_EQ(advance(Step::Kind::Split, 2).next->id, 3);
}

TEST_P(StoreTest, PutsATransactionAsideAndBack) {
  limits.events = 1;
  accept({"$1", "$2", "$3"});
  ASSERT_EQ(advance().next->id, 1);
  Step park = step(Step::Kind::Park, 1);
  park.reason = "HTTP 400";
  const Advanced next = settle(store->advance(std::move(park)));
  EXPECT_EQ(events_of(*next.next), Events{"$2"});
  EXPECT_EQ(counted().backlog, 2);
  EXPECT_EQ(counted().parked, 1);
  reopen();
  EXPECT_EQ(record().backlog, 2);
  EXPECT_EQ(record().parked, 1);
  const auto parked = settle(store->parked("a", 10));
  ASSERT_EQ(parked.size(), 1);
  EXPECT_EQ(parked[0].id, 1);
  EXPECT_EQ(parked[0].events, 1);
  EXPECT_EQ(parked[0].reason, "HTTP 400");
  EXPECT_EQ(parked[0].created, 9000);
  EXPECT_TRUE(settle(store->parked("a", 0)).empty());

  EXPECT_FALSE(settle(store->requeue("a", 2)));
  EXPECT_FALSE(settle(store->requeue("b", 1)));
  EXPECT_EQ(settle(store->requeue("a", 1)), 1U);
  EXPECT_FALSE(settle(store->requeue("a", 1)));
  EXPECT_EQ(advance().next->id, 1);  // before what was frozen after it
  EXPECT_EQ(advance(Step::Kind::Done, 1).next->id, 2);
  EXPECT_EQ(events_of(*advance(Step::Kind::Done, 2).next), Events{"$3"});
}

TEST_P(StoreTest, RemembersWhatHasFailed) {
  accept({"$1"});
  advance();
  settle(store->failed("a", 1, 3, 2, "HTTP 404"));
  reopen();
  EXPECT_FALSE(record().up);
  const Advanced again = advance();
  EXPECT_EQ(again.next->failures, 3);
  EXPECT_EQ(again.next->refusals, 2);
  EXPECT_FALSE(advance(Step::Kind::Done, 1).next);
  EXPECT_TRUE(record().up);  // nothing waits any more, and that was written with it
}

TEST_P(StoreTest, RemembersWhoIsPaused) {
  settle(store->pause("a", true));
  accept({"$1"});
  reopen();
  EXPECT_TRUE(record().paused);
  settle(store->pause("a", false));
  EXPECT_FALSE(record().paused);
  EXPECT_EQ(record().backlog, 1);
}

TEST_P(StoreTest, CountsItsTransactionsOn) {
  for (TransactionId id = 1; id <= 3; ++id) {
    accept({"$" + std::to_string(id)});
    EXPECT_EQ(advance().next->id, id);
    advance(Step::Kind::Done, id);
    reopen();
  }
  EXPECT_EQ(record().last_transaction, 3);
}

TEST_P(StoreTest, TakesCallsInTheirOrder) {
  auto one = store->accept(submission({"$1"}));
  auto two = store->advance(step());
  auto three = store->accept(submission({"$2"}));
  auto four = store->advance(step(Step::Kind::Done, 1));
  EXPECT_EQ(events_of(*settle(std::move(four)).next), Events{"$2"});
  EXPECT_TRUE(one.settled() && two.settled() && three.settled());
  EXPECT_EQ(events_of(*settle(std::move(two)).next), Events{"$1"});
}

TEST_P(StoreTest, KnowsWhoIsInARoomAndWhatItIsCalled) {
  const auto change = [](RoomChange::Kind kind, const std::string& user, const RoomAliases& aliases = {}) {
    RoomChange result;
    result.kind = kind;
    result.room_id = "!r:x";
    result.user_id = user;
    result.aliases = aliases;
    return result;
  };
  Submission changes = submission({"$1", "$2", "$3", "$4", "$5", "$6"}, {});
  changes.events[0].change = change(RoomChange::Kind::Joined, "@a:x");
  changes.events[1].change = change(RoomChange::Kind::Joined, "@b:x");
  changes.events[2].change = change(RoomChange::Kind::Joined, "@a:x");
  changes.events[3].change = change(RoomChange::Kind::Left, "@b:x");
  changes.events[4].change = change(RoomChange::Kind::Aliases, "", {"", {"#main:x", "#other:x"}});
  changes.events[5].change = change(RoomChange::Kind::Aliases, "", {"y", {"#there:y"}});
  settle(store->accept(std::move(changes)));
  reopen();
  StoredRoom room = settle(store->load_room("!r:x"));
  EXPECT_EQ(room.members, Events{"@a:x"});
  std::sort(room.aliases.begin(), room.aliases.end(),
            [](const RoomAliases& left, const RoomAliases& right) { return left.origin < right.origin; });
  for (RoomAliases& one : room.aliases) std::sort(one.aliases.begin(), one.aliases.end());
  EXPECT_EQ(room.aliases, (std::vector<RoomAliases>{{"", {"#main:x", "#other:x"}}, {"y", {"#there:y"}}}));

  // A known event changes nothing; another one of the same origin replaces what it said.
  Submission more = submission({"$2", "$7"}, {});
  more.events[0].change = change(RoomChange::Kind::Joined, "@b:x");
  more.events[1].change = change(RoomChange::Kind::Aliases, "", {"", {}});
  settle(store->accept(std::move(more)));
  room = settle(store->load_room("!r:x"));
  EXPECT_EQ(room.members, Events{"@a:x"});
  EXPECT_EQ(room.aliases, (std::vector<RoomAliases>{{"y", {"#there:y"}}}));
}

TEST_P(StoreTest, KeepsTextAsItIs) {
  NewEvent strange = event("$ü\\\"'{},\n\x01\U0001F98A", {"sèrvice 'x'\\"});
  strange.body = R"({"a":"ü\u0000\\ \" { } , '","unsigned":{}})";
  Submission given{.events = {strange}, .claims = {}, .limits = limits, .now = 1};
  settle(store->accept(std::move(given)));
  const Advanced next = advance(Step::Kind::None, 0, "sèrvice 'x'\\");
  ASSERT_TRUE(next.next);
  EXPECT_NE(next.next->body->find(R"({"a":"ü\u0000\\ \" { } , '")"), std::string::npos) << *next.next->body;
}

std::vector<Kind> kinds() {
  std::vector<Kind> all = {{"sqlite", [] { return std::make_unique<SqlitePlace>(); }}};
#ifdef SNOWFOX_APPSERVICE_POSTGRES
  all.push_back({"postgres", [] { return std::make_unique<PostgresPlace>(); }, &PostgresCluster::installed});
#endif
  return all;
}
INSTANTIATE_TEST_SUITE_P(All, StoreTest, ::testing::ValuesIn(kinds()),
                         [](const auto& each) { return each.param.name; });

}  // namespace
}  // namespace snowfox::appservice
