#include <snowfox/context/belongings.h>

#include <memory>
#include <string>

#include <gtest/gtest.h>

namespace snowfox {
namespace {

struct Farewell {
  Farewell(std::string& to, char letter) : text(to), own(letter) {}
  ~Farewell() { text += own; }
  std::string& text;
  char own;
};

TEST(BelongingsTest, DestroysTheLastFirst) {
  std::string order;
  {
    Belongings belongings;
    EXPECT_EQ(belongings.keep(std::make_unique<Farewell>(order, 'a')).own, 'a');
    belongings.keep(std::make_unique<int>(5));
    belongings.keep(std::make_unique<Farewell>(order, 'b'));
    EXPECT_EQ(order, "");
  }
  EXPECT_EQ(order, "ba");
}

TEST(BelongingsTest, IsEmptyAfterBeingCleared) {
  std::string order;
  Belongings belongings;
  belongings.keep(std::make_unique<Farewell>(order, 'a'));
  belongings.clear();
  belongings.clear();
  EXPECT_EQ(order, "a");
}

}  // namespace
}  // namespace snowfox
