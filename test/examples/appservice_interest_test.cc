#include "appservice/interest.h"

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "appservice_registrations.h"

namespace snowfox::appservice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(ServiceSetTest, HoldsEachServiceOnceInOrder) {
  ServiceSet set;
  EXPECT_TRUE(set.empty());
  for (const ServiceIndex service : {700U, 3U, 64U, 3U, 63U, 0U}) set.insert(service);
  EXPECT_THAT(set.list(), ElementsAre(0, 3, 63, 64, 700));
  EXPECT_EQ(set.size(), 5);
  EXPECT_TRUE(set.contains(64));
  EXPECT_FALSE(set.contains(65));
  EXPECT_FALSE(set.contains(100'000));
  ServiceSet other;
  other.insert(65);
  other.insert(set);
  EXPECT_THAT(other.list(), ElementsAre(0, 3, 63, 64, 65, 700));
  EXPECT_FALSE(other == set);
}

TEST(InterestTest, KnowsWhoWantsAUserAnAliasAndARoom) {
  const Interest interest(registrations_of({{"irc", {"@irc_.*"}, {"#irc_.*"}, {"!irc.*"}},
                                            {"all", {".*"}},
                                            {"none"},
                                            {"mail", {"@(mail|irc)_.*", "@post_.*"}}}));
  EXPECT_THAT(interest.users("@irc_a:example.org")->list(), ElementsAre(0, 1, 3));
  EXPECT_THAT(interest.users("@post_a:example.org")->list(), ElementsAre(1, 3));
  EXPECT_THAT(interest.users("@irc_bot:example.org")->list(), ElementsAre(0, 1, 3));
  EXPECT_THAT(interest.users("@none_bot:example.org")->list(), ElementsAre(1, 2));
  EXPECT_THAT(interest.users("@none_bot:example.com")->list(), ElementsAre(1));
  EXPECT_THAT(interest.users("")->list(), ElementsAre(1));
  EXPECT_THAT(interest.aliases("#irc_x:example.org")->list(), ElementsAre(0));
  EXPECT_THAT(interest.aliases("#x:example.org")->list(), IsEmpty());
  EXPECT_THAT(interest.rooms("!irc1:example.org")->list(), ElementsAre(0));
  EXPECT_TRUE(interest.user_matches(3, "@mail_x:y"));
  EXPECT_FALSE(interest.user_matches(0, "@mail_x:y"));
  EXPECT_TRUE(interest.alias_matches(0, "#irc_x:y"));
  EXPECT_FALSE(interest.alias_matches(1, "#irc_x:y"));
  EXPECT_TRUE(interest.room_matches(0, "!irc"));
}

TEST(InterestTest, LetsTheFirstEntryThatMatchesDecideWhoseAUserIs) {
  const Interest interest(registrations_of({{"open", {"@irc_guest_.*", "EXCLUSIVE @irc_.*"}},
                                            {"late", {"EXCLUSIVE @irc_.*"}, {"EXCLUSIVE #irc_.*"}, {"EXCLUSIVE !irc"}},
                                            {"free", {"@free_.*"}}}));
  EXPECT_EQ(interest.exclusive_user("@irc_x:y"), 0);
  // The first service leaves it to others, though it has a later entry that does not.
  EXPECT_EQ(interest.exclusive_user("@irc_guest_x:y"), 1);
  EXPECT_EQ(interest.exclusive_user("@free_x:y"), std::nullopt);
  EXPECT_EQ(interest.exclusive_user("@x:y"), std::nullopt);
  EXPECT_EQ(interest.exclusive_alias("#irc_x:y"), 1);
  EXPECT_EQ(interest.exclusive_alias("#x:y"), std::nullopt);
  EXPECT_EQ(interest.exclusive_room("!irc"), 1);
}

TEST(InterestTest, CountsAServicesOwnUserAsItsAlone) {
  const Interest interest(registrations_of({{"a", {"@free_bot.*"}}, {"free"}, {"b", {"EXCLUSIVE @free_.*"}}}));
  EXPECT_EQ(interest.exclusive_user("@free_bot:example.org"), 1);
  EXPECT_EQ(interest.exclusive_user("@free_bot:example.com"), 2);
}

TEST(InterestTest, RemembersUsersAndForgetsThoseNotSeenForLongest) {
  const Interest interest(registrations_of({{"a", {".*a.*"}}}), {.cached_users = 2});
  for (const char* user : {"@a:x", "@b:x", "@a:x", "@a:x"}) interest.users(user);
  EXPECT_EQ(interest.counters().executions, 2);
  EXPECT_EQ(interest.counters().cache_hits, 2);
  interest.users("@c:x");  // @b goes
  EXPECT_EQ(interest.cached_users(), 2);
  interest.users("@a:x");
  EXPECT_EQ(interest.counters().executions, 3);
  EXPECT_THAT(interest.users("@b:x")->list(), IsEmpty());
  EXPECT_EQ(interest.counters().executions, 4);
}

TEST(InterestTest, GivesUsersOfTheSameServicesTheSameSet) {
  const Interest interest(registrations_of({{"a", {"@a.*"}}, {"b", {"@b.*"}}}));
  EXPECT_EQ(interest.users("@a1"), interest.users("@a2"));
  EXPECT_NE(interest.users("@a1"), interest.users("@b1"));
  EXPECT_EQ(interest.users("@x"), interest.users("@y"));
}

TEST(InterestTest, TellsOnceOfAPatternThatGivesUp) {
  std::vector<std::string> told;
  const Interest interest(
      registrations_of({{"irc", {"@x", "@(a+)+$"}}}),
      {.on_gave_up = [&](const Registration& service, std::string_view key, const Pattern& pattern) {
        told.push_back(fmt::format("{} {} {}", service.id, key, pattern.text()));
      }});
  for (const char last : {'!', '?', '.'}) {
    EXPECT_TRUE(interest.users("@" + std::string(200, 'a') + last)->empty());
  }
  EXPECT_THAT(told, ElementsAre("irc namespaces.users[1] @(a+)+$"));
  EXPECT_EQ(interest.counters().gave_up, 3);
}

// Goal: a thousand bridges are no thousand times the work. Not one of these users is looked at by more than the service
// whose it is and the one that looks at all.
TEST(InterestTest, TriesAUserAgainstFewOfAThousandServices) {
  std::vector<TestService> services;
  for (int i = 0; i < 999; ++i) {
    services.push_back({fmt::format("s{}", i), {fmt::format("EXCLUSIVE ^@s{}_.*:example\\.org$", i)}});
  }
  services.push_back({"logger", {"@.*:example\\.org"}});
  const Interest interest(registrations_of(services));
  constexpr int kUsers = 5000;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < kUsers; ++i) {
      const std::string user = fmt::format("@s{}_{}:example.org", i % 999, i);
      ASSERT_THAT(interest.users(user)->list(), ElementsAre(i % 999, 999));
    }
  }
  EXPECT_EQ(interest.counters().executions, 2 * kUsers);
}

}  // namespace
}  // namespace snowfox::appservice
