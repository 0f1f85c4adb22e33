#include <snowfox/context/content_hash.h>

#include <gtest/gtest.h>

namespace snowfox {
namespace {

TEST(ContentHashTest, IsTheSameForTheSameContent) {
  EXPECT_EQ(ContentHash().add("name: x\n").str(), ContentHash().add("name: x\n").str());
  EXPECT_EQ(ContentHash().add("").str().size(), 16U);
}

TEST(ContentHashTest, IsAnotherForAnotherContent) {
  EXPECT_NE(ContentHash().add("name: x\n").str(), ContentHash().add("name: y\n").str());
  EXPECT_NE(ContentHash().add("").str(), ContentHash().str());
}

TEST(ContentHashTest, TellsPartsApart) {
  EXPECT_NE(ContentHash().add("ab").add("c").str(), ContentHash().add("a").add("bc").str());
}

}  // namespace
}  // namespace snowfox
