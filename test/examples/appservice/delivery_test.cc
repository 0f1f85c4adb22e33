#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "flaky_store.h"
#include "scheduler_world.h"

namespace snowfox::appservice {
namespace {

using Ids = std::vector<TransactionId>;
using Events = std::vector<std::string>;

class DeliveryTest : public ::testing::Test, protected SchedulerWorld {
 protected:
  /// The store's next call takes effect, and is said to have failed; it fails before that `before` times.
  void lose_next_answer(int before = 0) {
    fails_.assign(static_cast<std::size_t>(before), true);
    fails_.insert(fails_.end(), {false, true});
  }
  void start_with_flaky_store() {
    wrap = [this](LoopManager& loop, std::unique_ptr<Store> store) {
      return std::make_unique<FlakyStore>(loop, std::move(store), [this] {
        if (fails_.empty()) return false;
        const bool fails = fails_.front();
        fails_.pop_front();
        return fails;
      });
    };
    start();
  }
  /// `$poison` alone is in the first transaction, which is put aside.
  void park_one() {
    service().usually = [&] {
      return FakeService::status(service().received.back().events[0] == "$poison" ? 400 : 200);
    };
    submit({"$poison"});
    run_until([&] { return status().parked == 1 && status().up; });
    service().received.clear();
    service().usually = [] { return FakeService::ok(); };
  }

 private:
  std::deque<bool> fails_;
};

TEST_F(DeliveryTest, SendsTheFirstEventAtOnce) {
  start();
  const TimePoint before = world.now();
  submit({"$1"});
  run_until([&] { return service().received.size() == 1; });
  EXPECT_LT(service().received[0].at - before, 100ms);  // of simulated time: one commit, no other wait
  EXPECT_EQ(service().received[0].id, 1);
  EXPECT_EQ(service().received[0].events, Events{"$1"});
  drain();
  EXPECT_EQ(status().sent_transactions, 1);
  EXPECT_EQ(status().sent_events, 1);
}

TEST_F(DeliveryTest, SendsTogetherWhatComesWhileATransactionIsUnderWay) {
  start();
  service().next = {[] { return FakeService::ok(1s); }};
  submit({"$1"});
  submit({"$2"});
  submit({"$3"});
  drain();
  EXPECT_EQ(service().transactions(), (std::vector<Events>{{"$1"}, {"$2", "$3"}}));
  EXPECT_EQ(service().ids(), (Ids{1, 2}));
}

TEST_F(DeliveryTest, PutsAtMostAHundredEventsIntoOne) {
  start();
  service().next = {[] { return FakeService::ok(50s); }};
  for (const std::string& id : names("$", 1, 200)) submit({id});
  drain();
  ASSERT_EQ(service().received.size(), 3);
  EXPECT_EQ(service().received[0].events, names("$", 1, 1));
  EXPECT_EQ(service().received[1].events, names("$", 2, 101));
  EXPECT_EQ(service().received[2].events, names("$", 102, 200));
}

TEST_F(DeliveryTest, PutsAtMostAHundredEventsIntoOneThatTheyCameTogether) {
  start();
  submit(names("$", 1, 150));
  drain();
  ASSERT_EQ(service().received.size(), 2);
  EXPECT_EQ(service().received[0].events, names("$", 1, 100));
  EXPECT_EQ(service().received[1].events, names("$", 101, 150));
}

TEST_F(DeliveryTest, KeepsTransactionsWithinTheirBytes) {
  options.limits.bytes = 200;
  start();
  submit(names("$", 1, 30));
  drain();
  EXPECT_EQ(service().taken(), names("$", 1, 30));
  for (const Received& one : service().received) EXPECT_LE(one.body.size(), 200);
  EXPECT_LT(service().received.size(), 15);
}

TEST_F(DeliveryTest, HoldsNoServiceUpForAnother) {
  start({"a", "b"});
  service("a").usually = [] { return FakeService::silence(); };
  const TimePoint before = world.now();
  submit({"$1"}, {"a", "b"});
  submit({"$2"}, {"a", "b"});
  drain("b");
  EXPECT_EQ(service("b").taken(), (Events{"$1", "$2"}));
  EXPECT_LT(service("b").received.back().at - before, 200ms);  // of simulated time; the other one takes a minute
  EXPECT_EQ(service("a").received.size(), 1);
  EXPECT_EQ(status("a").doing, "sending");
  EXPECT_EQ(status("a").backlog, 2);
  service("a").usually = [] { return FakeService::ok(); };
  drain("a");
  EXPECT_EQ(service("a").taken(), (Events{"$1", "$2"}));
}

// Required design 4: not one transaction for each event that came while the service was down.
TEST_F(DeliveryTest, PacksLateWhatComesWhileTheServiceIsDown) {
  start();
  service().usually = [] { return FakeService::status(500); };
  submit({"$1"});
  run_until([&] { return !status().up; });
  for (const std::string& id : names("$", 2, 201)) {
    submit({id});
    run_for(100ms);
  }
  EXPECT_EQ(status().backlog, 201);
  service().usually = [] { return FakeService::ok(); };
  service().received.clear();
  drain();
  EXPECT_EQ(service().transactions(), (std::vector<Events>{{"$1"}, names("$", 2, 101), names("$", 102, 201)}));
}

TEST_F(DeliveryTest, SendsNothingForWhatComesWhileTheServiceIsDown) {
  start();
  service().usually = [] { return FakeService::status(500); };
  submit({"$1"});
  run_until([&] { return status().next_retry.has_value(); });
  const std::optional<Duration> before = status().next_retry;
  for (const std::string& id : names("$", 2, 20)) submit({id});
  EXPECT_EQ(status().backlog, 20);
  EXPECT_EQ(service().received.size(), 1);
  EXPECT_LE(status().next_retry, before);
  run_until([&] { return service().received.size() == 2; });
  EXPECT_EQ(service().ids(), (Ids{1, 1}));
}

// Required design 3: there is no moment at which it is neither sending nor down.
TEST_F(DeliveryTest, IsDownFromTheMomentOfTheFailureOn) {
  start();
  service().next = {[] { return FakeService::status(500, 50ms); }};
  submit({"$1"});
  run_until([&] { return service().received.size() == 1; });
  bool seen_down = false;
  run_until([&] {
    const DeliveryStatus now = status();
    seen_down = seen_down || !now.up;
    EXPECT_EQ(now.up, now.doing == "sending" && !seen_down) << now.doing;
    return now.next_retry.has_value() || HasFailure();
  });
  EXPECT_TRUE(seen_down);
}

TEST_F(DeliveryTest, GoesDownOnceAndUpOnce) {
  start();
  for (int i = 0; i < 4; ++i) service().next.push_back([] { return FakeService::status(500); });
  std::vector<std::optional<Milliseconds>> downs;
  submit({"$1"});
  submit({"$2"});
  bool up = true;
  int changes = 0;
  run_until([&] {
    const DeliveryStatus now = status();
    if (now.up != up) ++changes;
    up = now.up;
    if (!up && (downs.empty() || downs.back() != now.down_since)) downs.push_back(now.down_since);
    return now.up && now.backlog == 0;
  });
  EXPECT_EQ(changes, 2);
  EXPECT_EQ(downs.size(), 1);
  EXPECT_EQ(service().ids(), (Ids{1, 1, 1, 1, 1, 2}));
}

TEST_F(DeliveryTest, RetriesAfterTwoSecondsThenTwiceAsLongEachTime) {
  start();
  service().usually = [] { return FakeService::status(503); };
  submit({"$1"});
  run_until([&] { return status().failures == 12; });
  const std::vector<Duration> expected = {2s, 4s, 8s, 16s, 32s, 64s, 128s, 256s, 512s, 512s, 512s};
  bool exact = true;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const Duration waited = service().received[i + 1].at - service().received[i].at;
    EXPECT_GE(waited, expected[i] * 9 / 10) << i;
    EXPECT_LE(waited, expected[i] * 11 / 10 + 20ms) << i;
    // Services that failed together do not come back together.
    if (waited < expected[i] * 99 / 100 || waited > expected[i] * 101 / 100) exact = false;
  }
  EXPECT_FALSE(exact);
  EXPECT_FALSE(status().up);
  EXPECT_EQ(status().failures, 12);
  EXPECT_EQ(status().failed_transactions, 12);
}

TEST_F(DeliveryTest, BeginsAnewWithItsWaitsAfterASuccess) {
  start();
  service().next = {[] { return FakeService::status(500); }, [] { return FakeService::status(500); },
                    [] { return FakeService::ok(); }, [] { return FakeService::status(500); }};
  submit({"$1"});
  run_until([&] { return service().received.size() == 2; });
  submit({"$2"});
  drain();
  // The next one goes out as soon as the first has been taken, and when that fails the wait is the shortest.
  ASSERT_EQ(service().ids(), (Ids{1, 1, 1, 2, 2}));
  EXPECT_LT(service().received[3].at - service().received[2].at, 100ms);
  EXPECT_LE(service().received[4].at - service().received[3].at, 2200ms + 20ms);
}

TEST_F(DeliveryTest, ResendsTheSameBytesUnderTheSameId) {
  start();
  service().next = {[] { return FakeService::reset(); }, [] { return FakeService::silence(); },
                    [] { return FakeService::status(502); }};
  submit({"$1"});
  submit({"$2"});
  drain();
  ASSERT_EQ(service().ids(), (Ids{1, 1, 1, 1, 2}));
  for (int i = 1; i < 4; ++i) EXPECT_EQ(service().received[i].body, service().received[0].body);
}

TEST_F(DeliveryTest, TakesOnlyASuccessWithJsonForOne) {
  start();
  service().next = {[] { return FakeService::status(200, 1ms, ""); },
                    [] { return FakeService::status(200, 1ms, R"({"a":)"); }, [] { return FakeService::status(302); },
                    [] { return FakeService::status(204, 1ms, ""); }};
  submit({"$1"});
  drain();
  EXPECT_EQ(service().ids(), (Ids{1, 1, 1, 1, 1}));
}

TEST_F(DeliveryTest, SaysWhatIsWrongAndWhenItTriesAgain) {
  start();
  service().usually = [] {
    return FakeService::status(500, 1ms, R"({"errcode":"M_UNKNOWN","error":"the database is on fire"})");
  };
  submit({"$1"});
  run_until([&] { return !status().up; });
  run_for(100ms);
  EXPECT_EQ(status().last_error, "HTTP 500: M_UNKNOWN the database is on fire");
  EXPECT_EQ(status().doing, "waiting to retry");
  ASSERT_TRUE(status().next_retry);
  EXPECT_GT(*status().next_retry, 1500ms);
  EXPECT_TRUE(status().oldest);
  EXPECT_TRUE(status().down_since);
  service().usually = [] { return FakeService::ok(); };
  drain();
  EXPECT_EQ(status().last_error, "");
  EXPECT_EQ(status().doing, "idle");
  EXPECT_FALSE(status().next_retry);
  EXPECT_FALSE(status().down_since);
}

TEST_F(DeliveryTest, RetriesNowWhenAskedTo) {
  start();
  service().next = {[] { return FakeService::status(500); }};
  submit({"$1"});
  run_until([&] { return status().next_retry.has_value(); });
  const TimePoint before = world.now();
  delivery().retry_now();
  EXPECT_EQ(status().next_retry, Duration::zero());
  drain();
  EXPECT_LT(service().received[1].at - before, 100ms);
}

TEST_F(DeliveryTest, WaitsAsLongAsTheServiceAsksFor) {
  start();
  service().next = {[] {
    ScriptedHttpAnswer answer = FakeService::status(429);
    answer.response->headers.add("Retry-After", "40");
    return answer;
  }};
  submit({"$1"});
  drain();
  EXPECT_GE(service().received[1].at - service().received[0].at, 40s);
}

// Required design 3: what comes in the moment of the failure does not go before what has failed.
TEST_F(DeliveryTest, LetsNothingOvertakeWhatHasFailed) {
  start();
  service().next = {[] { return FakeService::status(500, 50ms); }, [] { return FakeService::status(500, 50ms); }};
  Events all;
  for (int i = 1; i <= 400; ++i) {
    all.push_back("$" + std::to_string(i));
    submit({all.back()});
  }
  drain();
  EXPECT_EQ(service().taken(), all);
  const Ids ids = service().ids();
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
}

// Required design 1: events that come while "nothing waits any more" is being written down.
TEST_F(DeliveryTest, ForgetsNothingThatComesWhileItIsGettingUp) {
  start();
  int rounds = 0;
  for (bool up_before = false; !up_before; ++rounds) {
    const std::string number = std::to_string(rounds);
    service().next = {[] { return FakeService::status(500); }};
    submit({"$down" + number});
    run_until([&] { return status().next_retry.has_value(); });
    delivery().retry_now();
    wake();
    // One step later in each round: before the answer, while it is written down, after.
    for (int i = 0; i < rounds && !status().up; ++i) world.step();
    up_before = status().up;
    submit({"$late" + number});
    ASSERT_TRUE(drain()) << rounds;
    ASSERT_EQ(service().taken().size(), 2U * (rounds + 1)) << rounds;
  }
  EXPECT_GT(rounds, 5);
}

// Required design 2: whatever state was written down.
TEST_F(DeliveryTest, GoesOnAfterItsEndWithWhatIsQueued) {
  start();
  service().usually = [] { return FakeService::silence(); };
  submit({"$1"});
  submit({"$2"});
  run_until([&] { return service().received.size() == 1; });
  kill();  // it is up, and a transaction is on its way
  service().usually = [] { return FakeService::ok(); };
  start();
  EXPECT_EQ(status().backlog, 2);
  drain();
  EXPECT_EQ(service().transactions(), (std::vector<Events>{{"$1"}, {"$1"}, {"$2"}}));
  ASSERT_EQ(service().ids(), (Ids{1, 1, 2}));
  EXPECT_EQ(service().received[1].body, service().received[0].body);
}

TEST_F(DeliveryTest, SendsWhatIsQueuedThoughNoTransactionWasMadeYet) {
  start();
  service().usually = [] { return FakeService::status(500); };
  submit({"$1"});
  run_until([&] { return !status().up; });
  submit(names("$", 2, 30));
  kill();
  start();
  EXPECT_FALSE(status().up);
  EXPECT_EQ(status().backlog, 30);
  service().usually = [] { return FakeService::ok(); };
  drain();
  EXPECT_EQ(service().taken(), names("$", 1, 30));
}

TEST_F(DeliveryTest, CountsItsTransactionsOnAcrossRestarts) {
  start({"a", "b"});
  for (const std::string& id : names("$", 1, 3)) {
    submit({id}, {"a"});
    drain("a");
  }
  submit({"$other"}, {"b"});
  drain("b");
  kill();
  start({"a", "b"});
  submit({"$4"}, {"a", "b"});
  drain("a");
  drain("b");
  EXPECT_EQ(service("a").ids(), (Ids{1, 2, 3, 4}));
  EXPECT_EQ(service("b").ids(), (Ids{1, 2}));
}

TEST_F(DeliveryTest, AcknowledgesAnEventThatItKnowsAndSendsItOnce) {
  start();
  submit({"$1", "$2", "$1"});
  drain();
  EXPECT_EQ(settle(scheduler().accept({event("$2"), event("$3")})), (std::vector<bool>{true, false}));
  drain();
  kill();
  start();
  EXPECT_EQ(settle(scheduler().accept({event("$1")})), std::vector<bool>{true});
  EXPECT_EQ(service().taken(), (Events{"$1", "$2", "$3"}));
  EXPECT_EQ(status().backlog, 0);
}

TEST_F(DeliveryTest, SplitsWhatIsTooLargeForTheService) {
  start();
  std::size_t most = 20;
  service().usually = [&] {
    const bool fits = service().received.back().events.size() <= most;
    return FakeService::status(fits ? 200 : 413);
  };
  submit(names("$", 1, 100));
  drain();
  std::vector<std::string> got;
  Ids ids;
  for (const Received& one : service().received) {
    if (one.events.size() <= most) got.insert(got.end(), one.events.begin(), one.events.end());
    ids.push_back(one.id);
  }
  EXPECT_EQ(got, names("$", 1, 100));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_TRUE(std::adjacent_find(ids.begin(), ids.end()) == ids.end());  // no id twice
  EXPECT_TRUE(status().up);
}

TEST_F(DeliveryTest, ParksWhatIsRefusedAgainAndAgainAndGoesOn) {
  options.park_after = 3;
  start();
  service().usually = [&] { return FakeService::status(service().received.back().events[0] == "$poison" ? 400 : 200); };
  submit({"$poison"});
  run_until([&] { return !status().up; });
  submit({"$2"});
  drain();
  EXPECT_EQ(service().ids(), (Ids{1, 1, 1, 2}));
  EXPECT_EQ(status().parked, 1);
  const auto parked = settle(delivery().parked(10));
  ASSERT_EQ(parked.size(), 1);
  EXPECT_EQ(parked[0].id, 1);
  EXPECT_EQ(parked[0].events, 1);
  EXPECT_EQ(parked[0].reason, "HTTP 400");

  kill();
  start();
  EXPECT_EQ(status().parked, 1);
  EXPECT_EQ(status().backlog, 0);
  service().usually = [] { return FakeService::ok(); };
  EXPECT_FALSE(settle(delivery().requeue(2)));
  EXPECT_TRUE(settle(delivery().requeue(1)));
  drain();
  EXPECT_EQ(service().received.back().id, 1);
  EXPECT_EQ(status().parked, 0);
  EXPECT_TRUE(settle(delivery().parked(10)).empty());
}

// Otherwise each but the first one would take 9 times the longest wait, and all behind it, too.
TEST_F(DeliveryTest, BeginsAnewWithItsWaitsAfterWhatItHasParked) {
  options.limits.events = 1;
  start();
  service().usually = [&] {
    return FakeService::status(service().received.back().events[0].starts_with("$poison") ? 400 : 200);
  };
  submit(names("$poison", 1, 3));
  submit({"$good"});
  run_until([&] { return status().parked == 3 && status().up; }, 24h);
  ASSERT_EQ(service().received.size(), 31);
  for (std::size_t i : {10, 20}) {
    EXPECT_LT(service().received[i].at - service().received[i - 1].at, 1s) << i;
    EXPECT_LE(service().received[i + 1].at - service().received[i].at, 2200ms + 20ms) << i;
  }
}

TEST_F(DeliveryTest, NeverParksForWhatIsNotTheContentsFault) {
  options.park_after = 2;
  start();
  for (const int code : {500, 503, 401, 403, 408, 429, 500, 500}) {
    service().next.push_back([code] { return FakeService::status(code); });
  }
  submit({"$1"});
  drain();
  EXPECT_EQ(service().ids(), Ids(9, 1));
  EXPECT_EQ(status().parked, 0);
}

TEST_F(DeliveryTest, ParksForOtherFailuresOnlyIfTold) {
  options.park_server_errors_after = 2;
  start();
  service().usually = [] { return FakeService::status(500); };
  submit({"$1"});
  run_until([&] { return status().parked == 1; });
  EXPECT_EQ(service().received.size(), 2);
}

TEST_F(DeliveryTest, SendsNothingWhilePaused) {
  start();
  submit({"$1"});
  drain();
  settle(delivery().pause());
  submit(names("$", 2, 60));
  run_for(1min);
  EXPECT_EQ(service().received.size(), 1);
  EXPECT_TRUE(status().paused);
  kill();
  start();
  run_for(1min);
  EXPECT_EQ(service().received.size(), 1);
  EXPECT_TRUE(status().paused);
  EXPECT_EQ(status().backlog, 59);
  settle(delivery().resume());
  drain();
  EXPECT_EQ(service().transactions(), (std::vector<Events>{{"$1"}, names("$", 2, 60)}));
}

TEST_F(DeliveryTest, KnowsHowLongEventsWaitWithoutATransaction) {
  start();
  settle(delivery().pause());
  EXPECT_FALSE(status().oldest);
  const Milliseconds before = wall_milliseconds(process->loop());
  submit({"$1"});
  const Milliseconds after = wall_milliseconds(process->loop());
  run_for(10min);
  submit({"$2"});
  ASSERT_TRUE(status().oldest);
  EXPECT_GE(*status().oldest, before);
  EXPECT_LE(*status().oldest, after);
  kill();
  start();
  EXPECT_EQ(status().backlog, 2);
  EXPECT_FALSE(status().oldest) << "that is not read";
  submit({"$3"});
  EXPECT_FALSE(status().oldest) << "others are older";

  service().usually = [] { return FakeService::status(500); };
  settle(delivery().resume());
  run_until([&] { return status().next_retry.has_value(); });
  EXPECT_EQ(status().oldest.value_or(0) / 1000, before / 1000);
  service().usually = [] { return FakeService::ok(); };
  drain();
  EXPECT_FALSE(status().oldest);
  settle(delivery().pause());
  submit({"$4"});
  ASSERT_TRUE(status().oldest);
  EXPECT_GT(*status().oldest, after + 600'000 - 1);
}

// It is in the queue again, though nobody knows.
TEST_F(DeliveryTest, SendsWhatWasPutBackThoughTheStoreCouldNotSaySo) {
  options.park_after = 1;
  start_with_flaky_store();
  park_one();
  lose_next_answer();
  EXPECT_THROW(settle(delivery().requeue(1)), std::system_error);
  submit({"$2"});
  run_until([&] { return service().received.size() == 2; });
  drain();
  EXPECT_EQ(service().transactions(), (std::vector<Events>{{"$poison"}, {"$2"}}));
  EXPECT_EQ(service().ids(), (Ids{1, 2}));
  EXPECT_EQ(status().parked, 0);
  EXPECT_EQ(status().backlog, 0);
}

TEST_F(DeliveryTest, PutsBackThoughNobodyWaitsForItsAnswerAnyMore) {
  options.park_after = 1;
  start();
  park_one();
  Promise<bool> asked = delivery().requeue(1);
  asked = {};
  run_until([&] { return service().received.size() == 1; });
  drain();
  EXPECT_EQ(service().ids(), Ids{1});
  EXPECT_EQ(status().parked, 0);
  asked = delivery().pause().then([] { return true; });
  asked = {};
  run_until([&] { return status().paused; });
}

TEST_F(DeliveryTest, LetsNothingOvertakeWhatIsBeingPutBack) {
  options.park_after = 1;
  start();
  park_one();
  Promise<bool> asked = delivery().requeue(1);
  Promise<std::vector<bool>> accepted = scheduler().accept({event("$2")});
  EXPECT_TRUE(settle(std::move(asked)));
  settle(std::move(accepted));
  run_until([&] { return service().received.size() == 2; });
  drain();
  EXPECT_EQ(service().ids(), (Ids{1, 2}));
}

// Goal: what was refused did not happen, and what is shown is what a restart finds.
TEST_F(DeliveryTest, IsAsItIsShownAfterAPauseThatTheStoreCouldNotConfirm) {
  start_with_flaky_store();
  lose_next_answer();
  EXPECT_THROW(settle(delivery().pause()), std::system_error);
  EXPECT_FALSE(status().paused);
  run_for(1min);
  kill();
  start();
  EXPECT_FALSE(status().paused);
  submit({"$1"});
  drain();

  settle(delivery().pause());
  lose_next_answer();
  EXPECT_THROW(settle(delivery().resume()), std::system_error);
  lose_next_answer(5);  // nor does the store hear at once how it was
  run_for(10min);
  kill();
  start();
  EXPECT_TRUE(status().paused);
}

TEST_F(DeliveryTest, IsPausedIfASecondTrySucceedsWhileTheFirstOneIsBeingUndone) {
  start_with_flaky_store();
  // Before the first one is undone, while it is, after.
  for (Duration later = 490ms; later < 540ms; later += 1ms) {
    lose_next_answer();
    EXPECT_THROW(settle(delivery().pause()), std::system_error);
    run_for(later);
    settle(delivery().pause());
    run_for(1min);
    EXPECT_TRUE(status().paused) << later.count();
    const auto known = settle(program().store().services());
    ASSERT_EQ(known.size(), 1);
    ASSERT_TRUE(known[0].paused) << later.count();
    settle(delivery().resume());
  }
}

TEST_F(DeliveryTest, CountsAsSentWhatIsForAServiceWithoutUrl) {
  start();
  service().usually = [] { return FakeService::status(500); };
  submit({"$1"});
  run_until([&] { return !status().up; });
  Registration without = registration("a");
  without.url.reset();
  std::vector<Registration> all;
  all.push_back(std::move(without));
  scheduler().set_registrations(std::make_shared<const Registrations>(std::move(all)));
  drain();
  EXPECT_EQ(status().backlog, 0);
  EXPECT_EQ(service().received.size(), 1);
}

TEST_F(DeliveryTest, KeepsWhatIsQueuedForAServiceThatIsGoneAndComesBack) {
  start({"a", "b"});
  service("a").usually = [] { return FakeService::status(500); };
  submit({"$1", "$2"}, {"a"});
  run_until([&] { return !status("a").up; });
  scheduler().set_registrations(registrations({"b"}));
  EXPECT_EQ(scheduler().find("a"), nullptr);
  ASSERT_EQ(scheduler().unregistered().size(), 1);
  EXPECT_EQ(scheduler().unregistered()[0].backlog, 2);
  service("a").usually = [] { return FakeService::ok(); };
  const std::size_t before = service("a").received.size();
  run_for(10min);
  EXPECT_EQ(service("a").received.size(), before);

  kill();
  start({"b"});
  run_for(10min);
  EXPECT_EQ(service("a").received.size(), before);
  ASSERT_EQ(scheduler().unregistered().size(), 1);
  scheduler().set_registrations(registrations({"a", "b"}));
  drain("a");
  EXPECT_EQ(service("a").taken(), (Events{"$1", "$2"}));
  EXPECT_TRUE(scheduler().unregistered().empty());
}

TEST_F(DeliveryTest, GoesOnWithAServiceThatComesBackWhileTheDaemonRuns) {
  start({"a", "b"});
  service("a").usually = [] { return FakeService::status(500); };
  submit({"$1", "$2"}, {"a"});
  run_until([&] { return !status("a").up; });
  scheduler().set_registrations(registrations({"b"}));
  service("a").usually = [] { return FakeService::ok(); };
  run_for(10min);
  const std::size_t before = service("a").received.size();
  scheduler().set_registrations(registrations({"a", "b"}));
  drain("a");
  EXPECT_EQ(service("a").received.size(), before + 1);
  EXPECT_EQ(service("a").taken(), (Events{"$1", "$2"}));
}

TEST_F(DeliveryTest, FinishesWhatIsUnderWayAndNoMore) {
  start();
  service().next = {[] { return FakeService::ok(3s); }};
  submit({"$1"});
  submit({"$2"});
  run_until([&] { return service().received.size() == 1; });
  settle(scheduler().finish());
  EXPECT_EQ(status().sent_transactions, 1);
  run_for(1min);
  EXPECT_EQ(service().received.size(), 1);
  kill();
  start();
  drain();
  EXPECT_EQ(service().ids(), (Ids{1, 2}));  // the first was written down
}

// Required design 6: neither what the retry has come to, nor what was the matter before.
TEST_F(DeliveryTest, AnswersAPingAsItIsWhileARetryIsUnderWay) {
  start();
  service().next = {[] { return FakeService::status(500); }, [] { return FakeService::status(500, 30s); }};
  submit({"$1"});
  run_until([&] { return service().received.size() == 2; });
  service().when_pinged = [] { return FakeService::status(502); };
  EXPECT_EQ(settle(delivery().ping("p1")).status, 502);
  service().when_pinged = [] { return FakeService::reset(); };
  EXPECT_EQ(settle(delivery().ping("p2")).kind, Answer::Kind::NoConnection);
  service().when_pinged = [] { return FakeService::ok(); };
  EXPECT_TRUE(settle(delivery().ping("p3")).ok());
  run_for(1s);
  // That it hears us does not have a second retry join the one under way.
  EXPECT_EQ(status().doing, "sending");
  EXPECT_FALSE(status().up);
  EXPECT_EQ(service().received.size(), 2);
  service().when_pinged = [] { return FakeService::silence(); };
  Promise<Answer> unheard = delivery().ping("p4");
  drain();
  EXPECT_EQ(settle(std::move(unheard)).kind, Answer::Kind::Timeout);
  EXPECT_EQ(service().ids(), (Ids{1, 1, 1}));
}

TEST_F(DeliveryTest, RetriesWhenAPingHasArrivedAndNotWhenItHasNot) {
  start();
  service().next = {[] { return FakeService::status(500); }, [] { return FakeService::status(500); },
                    [] { return FakeService::status(500); }, [] { return FakeService::status(500); }};
  submit({"$1"});
  run_until([&] { return service().received.size() == 4 && status().next_retry; });
  ASSERT_GT(*status().next_retry, 10s);
  service().when_pinged = [] { return FakeService::status(500); };
  settle(delivery().ping("p1"));
  run_for(1s);
  EXPECT_EQ(service().received.size(), 4);
  service().when_pinged = [] { return FakeService::ok(); };
  settle(delivery().ping("p2"));
  run_for(1s);
  EXPECT_EQ(service().received.size(), 5);
}

// Required design 5.
TEST_F(DeliveryTest, PutsWhatIsForOneServiceIntoNoOthersTransaction) {
  start({"a", "b"});
  service("a").usually = [] { return FakeService::status(500); };
  submit({"$1"}, {"a", "b"});
  submit({"$2"}, {"b"});
  submit({"$3"}, {"a"});
  drain("b");
  EXPECT_EQ(service("b").taken(), (Events{"$1", "$2"}));
  EXPECT_EQ(status("a").backlog, 2);
  service("a").usually = [] { return FakeService::ok(); };
  drain("a");
  EXPECT_EQ(service("a").taken(), (Events{"$1", "$3"}));
}

}  // namespace
}  // namespace snowfox::appservice
