#include "appservice/rooms.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "appservice_registrations.h"
#include "support/manual_loop.h"

namespace snowfox::appservice {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

/// Answers at once, or when told to.
class TestSource final : public RoomSource {
 public:
  explicit TestSource(LoopManager& loop) : loop_(loop) {}

  Promise<StoredRoom> load_room(const std::string& room_id) override {
    asked.push_back(room_id);
    if (fails) return rejected<StoredRoom>(loop_, Errc::EndOfStream);
    if (!held) return resolved(loop_, StoredRoom(rooms[room_id]));
    auto [promise, resolver] = make_promise<StoredRoom>(loop_);
    open.emplace_back(room_id, std::move(resolver));
    return std::move(promise);
  }
  void release() {
    for (auto& [room_id, resolver] : std::exchange(open, {})) {
      if (resolver.wanted()) resolver.resolve(rooms[room_id]);
    }
  }
  /// As a store does what was decided.
  void apply(const RoomChange& change) {
    StoredRoom& room = rooms[change.room_id];
    std::erase(room.members, change.user_id);
    if (change.kind == RoomChange::Kind::Joined) room.members.push_back(change.user_id);
    if (change.kind != RoomChange::Kind::Aliases) return;
    std::erase_if(room.aliases, [&](const RoomAliases& one) { return one.origin == change.aliases.origin; });
    room.aliases.push_back(change.aliases);
  }

  std::map<std::string, StoredRoom> rooms;
  std::vector<std::string> asked;
  std::vector<std::pair<std::string, Resolver<StoredRoom>>> open;
  bool held = false;
  bool fails = false;

 private:
  LoopManager& loop_;
};

EventFacts message(const std::string& sender, const std::string& room = "!r") {
  return {.room_id = room, .sender = sender, .type = "m.room.message"};
}
EventFacts member(const std::string& user, const std::string& membership, const std::string& room = "!r") {
  return {.room_id = room, .sender = "@admin:x", .type = "m.room.member", .state_key = user, .membership = membership};
}
EventFacts aliases(const std::string& type, const std::string& key, const std::vector<std::string>& all) {
  return {.room_id = "!r", .sender = "@admin:x", .type = type, .state_key = key, .aliases = all};
}

class RoomsTest : public testing::Test, protected ManualLoop {
 protected:
  enum : ServiceIndex { Irc, Mail, Place };

  static std::shared_ptr<const Interest> interest_of(const std::vector<TestService>& services) {
    return std::make_shared<const Interest>(registrations_of(services));
  }
  /// What comes of need(): the pins, or an error.
  struct Needed {
    std::optional<RoomPins> pins;
    std::exception_ptr error;
    Promise<void> done;
  };
  std::unique_ptr<Needed> need(Rooms& all, const std::vector<std::string>& ids) {
    auto needed = std::make_unique<Needed>();
    Needed& target = *needed;
    target.done = all.need({ids.begin(), ids.end()})
                      .then([&target, ids](RoomPins pins) {
                        for (const std::string& id : ids) {
                          if (pins.error(id)) target.error = pins.error(id);
                        }
                        if (!target.error) target.pins = std::move(pins);
                      })
                      .otherwise([&target](const std::exception_ptr& error) { target.error = error; });
    turn();
    return needed;
  }
  std::vector<ServiceIndex> decide(const EventFacts& event) {
    const auto pins = need(rooms, {event.room_id});
    Rooms::Decision decision = rooms.decide(event);
    change = decision.change;
    if (change) source.apply(*change);
    return decision.services.list();
  }

  TestSource source{loop};
  std::shared_ptr<const Interest> interest = interest_of(
      {{"irc", {"@irc_.*"}, {"#irc_.*"}}, {"mail", {"@mail_.*"}, {"#mail_.*"}}, {"place", {}, {}, {"!place.*"}}});
  Rooms rooms{loop, source, interest};
  std::optional<RoomChange> change;
};

TEST_F(RoomsTest, SendsAnEventToWhoWantsItsSenderOrItsRoom) {
  EXPECT_THAT(decide(message("@irc_a:x")), ElementsAre(Irc));
  EXPECT_THAT(decide(message("@b:x")), IsEmpty());
  EXPECT_THAT(decide(message("@mail_bot:example.org")), ElementsAre(Mail));
  EXPECT_THAT(decide(message("@irc_a:x", "!place1")), ElementsAre(Irc, Place));
  EXPECT_FALSE(change);
}

TEST_F(RoomsTest, SendsAllOfARoomWhileAUserOfTheServiceIsInIt) {
  EXPECT_THAT(decide(member("@irc_a:x", "invite")), ElementsAre(Irc));
  EXPECT_THAT(decide(message("@b:x")), IsEmpty());
  EXPECT_THAT(decide(member("@irc_a:x", "join")), ElementsAre(Irc));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->kind, RoomChange::Kind::Joined);
  EXPECT_EQ(change->user_id, "@irc_a:x");
  EXPECT_THAT(decide(message("@b:x")), ElementsAre(Irc));
  EXPECT_THAT(decide(member("@irc_b:x", "join")), ElementsAre(Irc));
  EXPECT_THAT(decide(member("@irc_a:x", "leave")), ElementsAre(Irc));
  EXPECT_THAT(decide(message("@b:x")), ElementsAre(Irc));
  // The last one's end is heard of, and nothing after it.
  EXPECT_THAT(decide(member("@irc_b:x", "ban")), ElementsAre(Irc));
  EXPECT_EQ(change->kind, RoomChange::Kind::Left);
  EXPECT_THAT(decide(message("@b:x")), IsEmpty());
}

TEST_F(RoomsTest, TellsOfMembersThatNobodyWantsNowForTheyMayBeWantedLater) {
  EXPECT_THAT(decide(member("@b:x", "join")), IsEmpty());
  ASSERT_TRUE(change);
  EXPECT_EQ(change->kind, RoomChange::Kind::Joined);
  const std::size_t before = rooms.bytes();
  decide(member("@c:x", "join"));
  EXPECT_EQ(rooms.bytes(), before);
  rooms.registrations_changed(interest_of({{"late", {"@b.*"}}}));
  EXPECT_THAT(decide(message("@x:x")), ElementsAre(0));
}

TEST_F(RoomsTest, TellsOfNoChangeThatIsNone) {
  decide(member("@irc_a:x", "join"));
  EXPECT_TRUE(change);
  EXPECT_THAT(decide(member("@irc_a:x", "join")), ElementsAre(Irc));
  EXPECT_FALSE(change);
  decide(member("@irc_b:x", "leave"));
  EXPECT_FALSE(change);
}

TEST_F(RoomsTest, KeepsAliasesOfEachOriginApart) {
  EXPECT_THAT(decide(aliases("m.room.aliases", "a.x", {"#irc_1:a.x", "#other:a.x"})), ElementsAre(Irc));
  EXPECT_THAT(decide(aliases("m.room.canonical_alias", "", {"#mail_1:b.x"})), ElementsAre(Irc, Mail));
  EXPECT_THAT(decide(message("@b:x")), ElementsAre(Irc, Mail));
  EXPECT_THAT(decide(aliases("m.room.aliases", "b.x", {})), ElementsAre(Irc, Mail));
  EXPECT_THAT(decide(message("@b:x")), ElementsAre(Irc, Mail));
  EXPECT_THAT(decide(aliases("m.room.aliases", "a.x", {})), ElementsAre(Irc, Mail));
  EXPECT_THAT(decide(message("@b:x")), ElementsAre(Mail));
  // Neither is a state event of this kind.
  decide(aliases("m.room.canonical_alias", "a.x", {}));
  EXPECT_FALSE(change);
  decide(aliases("m.room.aliases", "", {}));
  EXPECT_FALSE(change);
  EXPECT_THAT(decide(message("@b:x")), ElementsAre(Mail));
}

TEST_F(RoomsTest, LearnsNothingFromWhatIsNoStateEvent) {
  EventFacts fake = member("@irc_a:x", "join");
  fake.state_key.reset();
  EXPECT_THAT(decide(fake), IsEmpty());
  EXPECT_FALSE(change);
  fake.state_key = "";
  EXPECT_THAT(decide(fake), IsEmpty());
  EXPECT_FALSE(change);
}

TEST_F(RoomsTest, KnowsWhatWasStored) {
  source.rooms["!r"] = {{"@irc_a:x", "@b:x"}, {{"", {"#mail_1:x"}}}};
  EXPECT_THAT(decide(message("@b:x")), ElementsAre(Irc, Mail));
  EXPECT_THAT(decide(message("@c:x")), ElementsAre(Irc, Mail));
  EXPECT_THAT(source.asked, ElementsAre("!r"));
}

// Goal: the same decisions whether a room has been in memory all the time or is read again each time.
TEST_F(RoomsTest, DecidesTheSameWhenItHasForgotten) {
  TestSource other_source(loop);
  Rooms forgetful(loop, other_source, interest, {.cache_bytes = 0});
  std::uint32_t random = 1;
  const auto next = [&random](std::uint32_t below) {
    random = random * 1664525 + 1013904223;
    return (random >> 16) % below;
  };
  const std::vector<std::string> users{"@irc_a:x", "@irc_b:x", "@mail_a:x", "@c:x"};
  const std::vector<std::string> memberships{"join", "join", "leave", "invite", "ban"};
  const std::vector<std::vector<std::string>> sets{{}, {"#irc_1:x"}, {"#mail_1:x", "#irc_2:x"}};
  for (int i = 0; i < 2000; ++i) {
    EventFacts event;
    const auto kind = next(4);
    if (kind == 0) event = message(users[next(4)]);
    if (kind == 1) event = aliases("m.room.canonical_alias", "", sets[next(3)]);
    if (kind == 2) event = aliases("m.room.aliases", next(2) == 0 ? "a" : "b", sets[next(3)]);
    if (kind == 3) event = member(users[next(4)], memberships[next(5)]);
    const auto expected = decide(event);
    const auto pins = need(forgetful, {"!r"});
    const auto decision = forgetful.decide(event);
    ASSERT_EQ(decision.services.list(), expected) << i;
    if (decision.change) other_source.apply(*decision.change);
  }
  EXPECT_EQ(forgetful.size(), 0);
  EXPECT_EQ(forgetful.bytes(), 0);
  EXPECT_EQ(source.asked.size(), 1);
  EXPECT_EQ(other_source.asked.size(), 2000);
}

TEST_F(RoomsTest, LoadsARoomOnceForAllWhoNeedIt) {
  source.held = true;
  const auto first = need(rooms, {"!a", "!b", "!a"});
  const auto second = need(rooms, {"!b"});
  EXPECT_THAT(source.asked, ElementsAre("!a", "!b"));
  EXPECT_FALSE(first->pins);
  source.release();
  turn();
  EXPECT_TRUE(first->pins);
  EXPECT_TRUE(second->pins);
}

TEST_F(RoomsTest, LoadsOnlySoManyAtOnce) {
  source.held = true;
  Rooms few(loop, source, interest, {.concurrent_loads = 2});
  const auto needed = need(few, {"!a", "!b", "!c", "!d", "!e"});
  EXPECT_EQ(source.asked.size(), 2);
  source.release();
  turn();
  EXPECT_EQ(source.asked.size(), 4);
  source.release();
  turn();
  source.release();
  turn();
  EXPECT_TRUE(needed->pins);
}

TEST_F(RoomsTest, EvictsWhatWasUsedLongestAgoAndNeverWhatIsPinned) {
  Rooms small(loop, source, interest, {.cache_bytes = 2000});
  const auto held = need(small, {"!held"});
  for (int i = 0; i < 100; ++i) {
    need(small, {fmt::format("!{}", i)});
    need(small, {"!often"});
  }
  EXPECT_LE(small.bytes(), 2000);
  EXPECT_LT(small.size(), 10);
  EXPECT_GT(small.counters().evictions, 80);
  EXPECT_EQ(std::count(source.asked.begin(), source.asked.end(), "!often"), 1);
  EXPECT_NO_THROW(small.decide(message("@a:x", "!held")));
  EXPECT_THROW(small.decide(message("@a:x", "!0")), RoomNotLoaded);
}

TEST_F(RoomsTest, ReadsAgainWhatWasForgotten) {
  auto pins = need(rooms, {"!r"});
  rooms.decide(member("@irc_a:x", "join"));  // and the commit fails
  rooms.forget("!r");
  rooms.forget("!unknown");
  EXPECT_THROW(rooms.decide(message("@b:x")), RoomNotLoaded);
  pins.reset();
  EXPECT_THAT(decide(message("@b:x")), IsEmpty());
  EXPECT_EQ(source.asked.size(), 2);
  rooms.forget("!r");
  EXPECT_EQ(rooms.size(), 0);
  EXPECT_EQ(rooms.bytes(), 0);
}

// What the store does not have yet would be missing for as long as the room is in memory.
TEST_F(RoomsTest, ReadsADroppedRoomWhenAllIsStoredThatWasDecidedBefore) {
  auto first = need(rooms, {"!r"});
  const Rooms::Decision joins = rooms.decide(member("@irc_a:x", "join"));
  auto second = need(rooms, {"!r"});
  rooms.registrations_changed(interest);
  const auto third = need(rooms, {"!r", "!s"});
  EXPECT_FALSE(third->pins);
  source.apply(*joins.change);
  first.reset();
  turn();
  EXPECT_FALSE(third->pins);
  EXPECT_THAT(source.asked, ElementsAre("!r", "!s"));
  second.reset();
  turn();
  ASSERT_TRUE(third->pins);
  EXPECT_THAT(rooms.decide(message("@b:x")).services.list(), ElementsAre(Irc));
  // Whoever waits for it holds up nobody else.
  rooms.forget("!r");
  auto fourth = need(rooms, {"!r"});
  rooms.registrations_changed(interest);
  fourth.reset();
  const auto fifth = need(rooms, {"!r"});
  third->pins.reset();
  turn();
  EXPECT_TRUE(fifth->pins);
}

TEST_F(RoomsTest, TellsWhichRoomCannotBeLoadedAndGivesTheOthers) {
  source.held = true;
  std::optional<RoomPins> pins;
  const auto done = rooms.need({"!bad", "!good"}).then([&](RoomPins got) { pins = std::move(got); });
  turn();
  for (auto& [room_id, resolver] : std::exchange(source.open, {})) {
    if (room_id == "!bad") {
      resolver.reject(make_error_code(Errc::LimitReached));
    } else {
      resolver.resolve(StoredRoom());
    }
  }
  turn();
  ASSERT_TRUE(pins);
  EXPECT_TRUE(pins->error("!bad"));
  EXPECT_FALSE(pins->error("!good"));
  EXPECT_NO_THROW(rooms.decide(message("@b:x", "!good")));
  EXPECT_THROW(rooms.decide(message("@b:x", "!bad")), RoomNotLoaded);
}

TEST_F(RoomsTest, TellsWhoNeedsARoomThatItCannotBeLoadedAndTriesAgainNextTime) {
  source.fails = true;
  const auto failed = need(rooms, {"!r", "!s"});
  EXPECT_TRUE(failed->error);
  EXPECT_EQ(rooms.size(), 0);
  source.fails = false;
  EXPECT_TRUE(need(rooms, {"!r"})->pins);
}

TEST_F(RoomsTest, WaitsForAStoreOnlySoLong) {
  source.held = true;
  const auto needed = need(rooms, {"!r"});
  pass(29s);
  EXPECT_FALSE(needed->error);
  pass(2s);
  EXPECT_TRUE(needed->error);
  source.held = false;
  EXPECT_TRUE(need(rooms, {"!r"})->pins);
}

TEST_F(RoomsTest, StopsLoadingWhatNobodyNeedsAnyMore) {
  source.held = true;
  auto needed = need(rooms, {"!a", "!b"});
  needed.reset();
  turn();
  for (auto& [id, resolver] : source.open) EXPECT_FALSE(resolver.wanted());
  EXPECT_EQ(rooms.size(), 0);
}

TEST_F(RoomsTest, ReadsAgainWhatIsBeingLoadedWhenTheRegistrationsChange) {
  source.rooms["!r"] = {{"@late_a:x", "@irc_a:x"}, {}};
  source.held = true;
  const auto needed = need(rooms, {"!r"});
  rooms.registrations_changed(interest_of({{"irc", {"@irc_.*"}}, {"late", {"@late_.*"}}}));
  EXPECT_EQ(source.asked.size(), 2);
  source.release();
  turn();
  ASSERT_TRUE(needed->pins);
  EXPECT_THAT(rooms.decide(message("@b:x")).services.list(), ElementsAre(0, 1));
  // Those in memory are dropped, used or not.
  rooms.registrations_changed(interest_of({{"irc", {"@irc_.*"}}}));
  EXPECT_THROW(rooms.decide(message("@b:x")), RoomNotLoaded);
  source.held = false;
  needed->pins.reset();
  EXPECT_THAT(decide(message("@b:x")), ElementsAre(0));
}

// Goal: a room of a hundred thousand members keeps the loop from nothing else.
TEST_F(RoomsTest, LetsTheLoopDoOtherThingsWhileALargeRoomIsLoaded) {
  StoredRoom& large = source.rooms["!r"];
  for (int i = 0; i < 100'000; ++i) large.members.push_back(fmt::format("@user{}:x", i));
  large.members.push_back("@irc_a:x");
  bool done = false;
  const auto needed = rooms.need({"!r"}).then([&](const RoomPins& /*gone*/) { done = true; });
  int turns = 0;
  while (!done && turns < 10'000) {
    loop.run_for(Duration::zero());
    ++turns;
  }
  EXPECT_TRUE(done);
  EXPECT_GE(turns, 45);
  EXPECT_THAT(decide(message("@user1:x")), ElementsAre(Irc));
  EXPECT_LT(rooms.bytes(), 2000);
}

TEST_F(RoomsTest, PinsMayOutliveIt) {
  source.held = true;
  auto brief = std::make_unique<Rooms>(loop, source, interest);
  const auto waiting = need(*brief, {"!w"});
  source.held = false;
  const auto had = need(*brief, {"!r"});
  EXPECT_TRUE(had->pins);
  brief.reset();
  turn();
  EXPECT_TRUE(waiting->error);
}

}  // namespace
}  // namespace snowfox::appservice
