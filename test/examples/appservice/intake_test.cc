// What is submitted finds those whom it is for, in the order in which it came.
#include "appservice/intake.h"

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <snowfox/core/error.h>
#include <snowfox/http_client/http_client.h>

#include "appservice/sqlite_store.h"
#include "support/temporary_directory.h"

namespace snowfox::appservice {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using Json = nlohmann::json;
using Ids = std::vector<std::string>;

/// A store whose rooms come when the test says so, and whose next commits fail if it says so.
class HeldStore final : public Store {
 public:
  HeldStore(LoopManager& loop, const std::string& path) : loop_(loop), store_(loop, path, 1'000'000) {}

  bool hold = false;
  bool hold_commits = false;
  int failures = 0;
  int submissions = 0;
  std::vector<std::string> loads;
  Ids accepted;
  /// Lets the room that was asked for last have its answer.
  void let_last_go() {
    auto [room, resolver] = std::move(held_.back());
    held_.pop_back();
    store_.load_room(room)
        .then([to = std::make_shared<Resolver<StoredRoom>>(std::move(resolver))](StoredRoom stored) {
          to->resolve(std::move(stored));
        })
        .detach();
  }
  std::size_t held() const noexcept { return held_.size(); }
  void commit() {
    hold_commits = false;
    for (auto& [submission, resolver] : std::exchange(held_commits_, {})) {
      store_.accept(std::move(submission))
          .then([to = std::make_shared<Resolver<Accepted>>(std::move(resolver))](Accepted stored) {
            to->resolve(std::move(stored));
          })
          .detach();
    }
  }
  std::size_t to_commit() const noexcept { return held_commits_.size(); }

  Promise<StoredRoom> load_room(const std::string& room_id) override {
    loads.push_back(room_id);
    if (room_id == "!broken:x") return rejected<StoredRoom>(loop_, make_error_code(Errc::LimitReached));
    if (!hold) return store_.load_room(room_id);
    auto [promise, resolver] = make_promise<StoredRoom>(loop_);
    held_.emplace_back(room_id, std::move(resolver));
    return std::move(promise);
  }
  Promise<Accepted> accept(Submission submission) override {
    ++submissions;
    if (failures > 0) {
      --failures;
      return rejected<Accepted>(loop_, std::make_error_code(std::errc::no_space_on_device));
    }
    for (const NewEvent& event : submission.events) accepted.push_back(event.event_id);
    if (!hold_commits) return store_.accept(std::move(submission));
    auto [promise, resolver] = make_promise<Accepted>(loop_);
    held_commits_.emplace_back(std::move(submission), std::move(resolver));
    return std::move(promise);
  }
  Promise<Advanced> advance(Step step) override { return store_.advance(std::move(step)); }
  Promise<void> failed(std::string service, TransactionId transaction, std::uint32_t failed, std::uint32_t refusals,
                       std::string reason) override {
    return store_.failed(std::move(service), transaction, failed, refusals, std::move(reason));
  }
  Promise<void> pause(std::string service, bool paused) override { return store_.pause(std::move(service), paused); }
  Promise<std::vector<ServiceRecord>> services() override { return store_.services(); }
  Promise<std::vector<ParkedTransaction>> parked(std::string service, std::size_t most) override {
    return store_.parked(std::move(service), most);
  }
  Promise<std::vector<std::string>> known(std::vector<std::string> event_ids) override {
    return store_.known(std::move(event_ids));
  }
  Promise<std::optional<std::size_t>> requeue(std::string service, TransactionId transaction) override {
    return store_.requeue(std::move(service), transaction);
  }
  std::string trouble() const override { return store_.trouble(); }
  std::size_t backlog_bytes() const override { return store_.backlog_bytes(); }
  Promise<void> close() override { return store_.close(); }

 private:
  LoopManager& loop_;
  SqliteStore store_;
  std::deque<std::pair<std::string, Resolver<StoredRoom>>> held_;
  std::vector<std::pair<Submission, Resolver<Accepted>>> held_commits_;
};

class IntakeTest : public ::testing::Test {
 protected:
  IntakeTest() {
    scheduler_.start(registrations_, {});
    // What is queued is looked at, not sent.
    settle(scheduler_.find("a")->pause());
    intake_.begin();
  }

  static std::shared_ptr<const Registrations> one_service() {
    Registration a;
    a.id = "a";
    a.url = "http://127.0.0.1:1";
    a.users.push_back({.exclusive = true, .pattern = Pattern("@a_.*")});
    std::vector<Registration> all;
    all.push_back(std::move(a));
    return std::make_shared<const Registrations>(std::move(all));
  }
  static Json message(const std::string& id, const std::string& room = "!r:x", const std::string& sender = "@b:x") {
    return {
        {"event_id", id}, {"room_id", room}, {"sender", sender}, {"type", "m.room.message"}, {"content", {{"n", 1}}}};
  }
  static Json member(const std::string& id, const std::string& user, const std::string& membership) {
    return {{"event_id", id},          {"room_id", "!r:x"}, {"sender", "@b:x"},
            {"type", "m.room.member"}, {"state_key", user}, {"content", {{"membership", membership}}}};
  }
  Promise<Ids> submit(const Json& events) {
    const auto text = std::make_shared<const std::string>(events.dump());
    return intake_.submit(*text, text, {});
  }
  /// What comes about without an event is looked for again and again.
  void until(const std::function<bool()>& condition) {
    for (int i = 0; i < 4000 && !condition(); ++i) {
      if (EventRef event = loop_.wait(5ms)) loop_.dispatch(std::move(event));
    }
    ASSERT_TRUE(condition());
  }
  template <typename T>
  T settle(Promise<T> promise) {
    until([&] { return promise.settled(); });
    if (promise.state()->rejected()) std::rethrow_exception(promise.state()->error());
    if constexpr (!std::is_void_v<T>) return std::move(promise.state()->value());
  }
  std::uint64_t backlog() { return scheduler_.find("a")->status().backlog; }

  const TemporaryDirectory directory_;
  LoopManager loop_;
  const std::shared_ptr<const Registrations> registrations_ = one_service();
  HeldStore store_{loop_, directory_ / "store.db"};
  HttpClient requester_{loop_};
  ServiceClient client_{loop_, requester_, {}};
  Scheduler scheduler_{loop_, store_, client_, {}};
  Rooms rooms_{loop_, store_, std::make_shared<const Interest>(registrations_)};
  Intake intake_{loop_, scheduler_, rooms_, {.events = {}, .most_waiting = 3, .most_waiting_bytes = 1U << 20}};
};

TEST_F(IntakeTest, StoresWhatIsForSomebodyAndAcknowledgesTheRest) {
  EXPECT_THAT(settle(submit({message("$1", "!r:x", "@a_1:x"), message("$2")})), ElementsAre("$1", "$2"));
  EXPECT_THAT(store_.accepted, ElementsAre("$1"));
  EXPECT_EQ(backlog(), 1);
  EXPECT_EQ(intake_.counters().ignored, 1);
}

TEST_F(IntakeTest, LearnsFromWhatItTakesInWhoIsInARoom) {
  settle(submit({message("$1"), member("$2", "@a_1:x", "join"), message("$3")}));
  settle(submit(message("$4")));
  settle(submit({member("$5", "@a_1:x", "leave"), message("$6")}));
  settle(submit(message("$7")));
  EXPECT_THAT(store_.accepted, ElementsAre("$2", "$3", "$4", "$5"));
  EXPECT_EQ(backlog(), 4);
}

TEST_F(IntakeTest, KeepsTheOrderThoughRoomsAreKnownAtDifferentTimes) {
  settle(submit(message("$0", "!quick:x")));
  store_.hold = true;
  auto slow = submit(message("$1", "!slow:x", "@a_1:x"));
  auto quick = submit(message("$2", "!quick:x", "@a_1:x"));
  until([&] { return store_.held() == 1; });
  EXPECT_TRUE(store_.accepted.empty());
  store_.let_last_go();
  settle(std::move(slow));
  settle(std::move(quick));
  EXPECT_THAT(store_.accepted, ElementsAre("$1", "$2"));
}

TEST_F(IntakeTest, ReadsARoomAgainOfWhichSomethingCouldNotBeStored) {
  settle(submit(message("$1")));
  store_.failures = 1;
  EXPECT_THROW(settle(submit(member("$2", "@a_1:x", "join"))), std::system_error);
  // Nobody has joined: what was decided about the event is not so.
  settle(submit(message("$3")));
  EXPECT_THAT(store_.accepted, ElementsAre());
  EXPECT_THAT(store_.loads, ElementsAre("!r:x", "!r:x"));
  settle(submit({member("$2", "@a_1:x", "join"), message("$4")}));
  EXPECT_THAT(store_.accepted, ElementsAre("$2", "$4"));
}

TEST_F(IntakeTest, ReadsARoomAgainOnlyWhenItsChangesAreStored) {
  settle(submit(message("$0")));
  store_.hold_commits = true;
  auto joins = submit(member("$1", "@a_1:x", "join"));
  until([&] { return store_.to_commit() == 1; });
  rooms_.registrations_changed(std::make_shared<const Interest>(registrations_));
  auto follows = submit(message("$2"));
  for (int i = 0; i < 20; ++i) {
    if (EventRef event = loop_.wait(1ms)) loop_.dispatch(std::move(event));
  }
  EXPECT_THAT(store_.loads, ElementsAre("!r:x"));
  store_.commit();
  settle(std::move(joins));
  settle(std::move(follows));
  EXPECT_THAT(store_.accepted, ElementsAre("$1", "$2"));
  EXPECT_EQ(backlog(), 2);
}

TEST_F(IntakeTest, RefusesOnlyWhatIsOfARoomThatCannotBeRead) {
  auto first = submit(message("$1", "!r:x", "@a_1:x"));
  auto broken = submit({message("$2", "!r:x", "@a_1:x"), message("$3", "!broken:x", "@a_1:x")});
  auto third = submit(message("$4", "!other:x", "@a_1:x"));
  EXPECT_THAT(settle(std::move(first)), ElementsAre("$1"));
  EXPECT_THAT(settle(std::move(third)), ElementsAre("$4"));
  try {
    settle(std::move(broken));
    FAIL() << "it was taken";
  } catch (const std::exception& error) {
    EXPECT_THAT(error.what(), testing::StartsWith("load the room !broken:x: "));
  }
  EXPECT_THAT(store_.accepted, ElementsAre("$1", "$4"));
}

TEST_F(IntakeTest, ChangesNothingForAnEventThatItKnows) {
  settle(submit(member("$1", "@a_1:x", "join")));
  settle(submit(member("$2", "@a_1:x", "leave")));
  settle(submit(member("$1", "@a_1:x", "join")));  // somebody who did not hear that it was accepted
  store_.accepted.clear();
  settle(submit(message("$3")));
  EXPECT_THAT(store_.accepted, ElementsAre());
  EXPECT_EQ(backlog(), 2);
}

// Somebody who did not hear of it says again what has been overtaken: whose other events are is not for that to say.
TEST_F(IntakeTest, DecidesNothingByAnEventThatItKnows) {
  settle(submit({member("$1", "@a_1:x", "join"), member("$2", "@a_1:x", "leave"), member("$3", "@a_1:x", "join")}));
  EXPECT_THAT(settle(submit({member("$2", "@a_1:x", "leave"), message("$4")})), ElementsAre("$2", "$4"));
  EXPECT_EQ(backlog(), 4);
  EXPECT_EQ(intake_.counters().known, 1);
  // The same while the first is on its way to the store, and within one submission.
  store_.hold_commits = true;
  auto leaves = submit(member("$5", "@a_1:x", "leave"));
  until([&] { return store_.to_commit() == 1; });
  auto again = submit({member("$3", "@a_1:x", "join"), member("$6", "@a_1:x", "join"), member("$5", "@a_1:x", "leave"),
                       message("$7"), member("$6", "@a_1:x", "join")});
  for (int i = 0; i < 20; ++i) {
    if (EventRef event = loop_.wait(1ms)) loop_.dispatch(std::move(event));
  }
  EXPECT_EQ(store_.to_commit(), 1);
  store_.commit();
  settle(std::move(leaves));
  EXPECT_THAT(settle(std::move(again)), ElementsAre("$3", "$6", "$5", "$7", "$6"));
  EXPECT_THAT(store_.accepted, ElementsAre("$1", "$2", "$3", "$4", "$5", "$6", "$7"));
  EXPECT_EQ(intake_.counters().known, 4);
}

TEST_F(IntakeTest, RefusesWhatIsTooMuchAndGoesOnAfterwards) {
  store_.hold = true;
  std::vector<Promise<Ids>> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.push_back(submit(message("$" + std::to_string(i), "!slow:x")));
    until([&] { return store_.held() == 1; });
  }
  try {
    settle(submit(message("$4")));
    FAIL() << "it was taken";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), Errc::LimitReached);
  }
  store_.let_last_go();
  for (auto& one : waiting) settle(std::move(one));
  store_.hold = false;
  EXPECT_THAT(settle(submit(message("$5"))), ElementsAre("$5"));
}

TEST_F(IntakeTest, StoresWhatWaitsTogetherAndAnswersEachForItself) {
  auto first = submit({message("$1", "!r:x", "@a_1:x"), message("$2", "!r:x", "@a_1:x")});
  auto wrong = submit({message("$3", "!r:x", "@a_1:x"), {{"event_id", 2}}});
  auto third = submit({message("$5", "!r:x", "@b:x"), message("$6", "!r:x", "@a_1:x")});
  EXPECT_THAT(settle(std::move(third)), ElementsAre("$5", "$6"));
  EXPECT_THAT(settle(std::move(first)), ElementsAre("$1", "$2"));
  EXPECT_THROW(settle(std::move(wrong)), ClientEventError);
  EXPECT_EQ(store_.submissions, 1);
  EXPECT_THAT(store_.accepted, ElementsAre("$1", "$2", "$6"));
  EXPECT_EQ(intake_.counters().submissions, 2);
  EXPECT_EQ(intake_.waiting_bytes(), 0);
}

TEST_F(IntakeTest, DoesNotReadWhatNobodyWaitsForAnyMore) {
  auto dropped = submit(message("$1", "!r:x", "@a_1:x"));
  auto kept = submit(message("$2", "!r:x", "@a_1:x"));
  dropped = {};
  EXPECT_THAT(settle(std::move(kept)), ElementsAre("$2"));
  EXPECT_THAT(store_.accepted, ElementsAre("$2"));
  EXPECT_EQ(intake_.counters().events, 1);
}

TEST_F(IntakeTest, RefusesAllThatCameTogetherIfItCannotBeStored) {
  settle(submit(message("$0")));
  store_.failures = 1;
  auto joins = submit(member("$1", "@a_1:x", "join"));
  auto follows = submit(message("$2"));
  EXPECT_THROW(settle(std::move(joins)), std::system_error);
  EXPECT_THROW(settle(std::move(follows)), std::system_error);
  settle(submit(message("$2")));
  EXPECT_THAT(store_.accepted, ElementsAre());  // nobody has joined
  EXPECT_EQ(intake_.counters().refused, 2);
}

TEST_F(IntakeTest, TakesALargeSubmissionIfNothingElseWaits) {
  Json large = message("$1", "!r:x", "@a_1:x");
  large["unsigned"] = {{"filled", std::string(60'000, 'x')}};
  Json many = Json::array();
  for (int i = 0; i < 20; ++i) many.push_back(message("$" + std::to_string(i)));
  for (Json& one : many) one["unsigned"] = large["unsigned"];
  EXPECT_EQ(settle(submit(many)).size(), 20);  // more than 1 MiB
}

TEST_F(IntakeTest, SaysWhatIsWrongWithASubmissionAndTakesNothingOfIt) {
  try {
    settle(submit({message("$1", "!r:x", "@a_1:x"), {{"event_id", 2}}}));
    FAIL() << "it was taken";
  } catch (const ClientEventError& error) {
    EXPECT_STREQ(error.what(), "events[1].event_id: expected a string");
  }
  EXPECT_TRUE(store_.accepted.empty());
}

}  // namespace
}  // namespace snowfox::appservice
