#include <snowfox/context/configuration_error.h>

#include <vector>

#include <gtest/gtest.h>

namespace snowfox {
namespace {

TEST(ConfigurationPlaceTest, TellsWhatIsKnown) {
  EXPECT_EQ((ConfigurationPlace{"node.yml", 3, 7, "log.level"}.str()), "node.yml:3:7: log.level");
  EXPECT_EQ((ConfigurationPlace{"node.yml", 3, 0, ""}.str()), "node.yml:3");
  EXPECT_EQ((ConfigurationPlace{"node.yml", 0, 0, "log"}.str()), "node.yml: log");
  EXPECT_EQ((ConfigurationPlace{"", 0, 0, "log"}.str()), "log");
  EXPECT_EQ(ConfigurationPlace().str(), "");
}

TEST(ConfigurationErrorTest, TellsEachProblemOnALineOfItsOwn) {
  const ConfigurationError error({{{"a.yml", 1, 2, "x"}, "first"}, {{"b.yml", 3, 4, ""}, "second"}});
  EXPECT_STREQ(error.what(), "a.yml:1:2: x: first\nb.yml:3:4: second");
  EXPECT_EQ(error.problems().size(), 2U);
  EXPECT_EQ(error.problems()[0].str(), "a.yml:1:2: x: first");
}

TEST(ConfigurationErrorTest, TellsOneThatIsNowhere) {
  EXPECT_STREQ(ConfigurationError(ConfigurationProblem{{}, "no such thing"}).what(), "no such thing");
}

TEST(ConfigurationErrorTest, CountsWhatIsTooMuchToTell) {
  const ConfigurationError error(std::vector<ConfigurationProblem>(25, {{}, "wrong"}), 3);
  EXPECT_EQ(error.problems().size(), ConfigurationError::kMaxProblems);
  EXPECT_EQ(error.omitted(), 8U);
  EXPECT_TRUE(std::string(error.what()).ends_with("wrong\nand 8 more"));
}

}  // namespace
}  // namespace snowfox
