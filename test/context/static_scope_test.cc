#include <snowfox/context/static_scope.h>

#include <memory>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/null_drain.h>

#include "support/manual_loop.h"

namespace snowfox {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class StaticScopeTest : public ::testing::Test, protected ManualLoop {
 protected:
  StaticScope scope{loop};
};

TEST_F(StaticScopeTest, FindsADrainByItsName) {
  NullDrain drain(loop);
  EXPECT_TRUE(scope.add_drain("manager", drain.id()));
  EXPECT_EQ(scope.find_drain("manager"), drain.id());
  EXPECT_EQ(scope.find_drain("spawner"), kNoDrain);
}

TEST_F(StaticScopeTest, KeepsANameForADrainThatExists) {
  NullDrain first(loop);
  NullDrain second(loop);
  EXPECT_TRUE(scope.add_drain("manager", first.id()));
  EXPECT_FALSE(scope.add_drain("manager", second.id()));
  EXPECT_EQ(scope.find_drain("manager"), first.id());
}

TEST_F(StaticScopeTest, ForgetsADrainThatIsGone) {
  auto first = std::make_unique<NullDrain>(loop);
  scope.add_drain("manager", first->id());
  first.reset();
  EXPECT_EQ(scope.find_drain("manager"), kNoDrain);
  EXPECT_THAT(scope.drains(), ElementsAre());
  EXPECT_FALSE(scope.remove_drain("manager"));
  NullDrain second(loop);
  EXPECT_TRUE(scope.add_drain("manager", second.id()));
}

TEST_F(StaticScopeTest, ListsDrainsByNameAndRemovesNames) {
  NullDrain one(loop);
  NullDrain two(loop);
  scope.add_drain("b", one.id());
  scope.add_drain("a", two.id());
  EXPECT_THAT(scope.drains(), ElementsAre(Pair("a", two.id()), Pair("b", one.id())));
  EXPECT_TRUE(scope.remove_drain("b"));
  EXPECT_FALSE(scope.remove_drain("b"));
  EXPECT_THAT(scope.drains(), ElementsAre(Pair("a", two.id())));
  EXPECT_EQ(loop.drain(one.id()), &one);
}

TEST_F(StaticScopeTest, GivesTheOptionsBackAsTheTypeTheyAre) {
  struct Options {
    std::string run_directory;
  };
  scope.set_options(Options{"/run/node"});
  EXPECT_EQ(scope.options<Options>().run_directory, "/run/node");
  EXPECT_THROW(scope.options<int>(), std::bad_any_cast);
}

TEST_F(StaticScopeTest, SaysOnceThatTheProcessStops) {
  int said = 0;
  const auto token = scope.on_stopping().add([&] { ++said; });
  EXPECT_FALSE(scope.stopping());
  scope.announce_stopping();
  scope.announce_stopping();
  EXPECT_TRUE(scope.stopping());
  EXPECT_EQ(said, 1);
}

TEST_F(StaticScopeTest, ReturnsToTheFirstLogSettingsWhereAConfigurationHasNone) {
  log.set_level(LogLevel::Warning);
  StaticScope later(loop);
  later.apply({.level = LogLevel::Debug});
  EXPECT_EQ(log.level(), LogLevel::Debug);
  later.apply({});
  EXPECT_EQ(log.level(), LogLevel::Warning);
}

}  // namespace
}  // namespace snowfox
