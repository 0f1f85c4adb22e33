#include <snowfox/core/intrusive_list.h>

#include <deque>
#include <memory>
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace snowfox {
namespace {

using testing::ElementsAre;

struct OtherTag {};

struct Item : ListNode<Item>, ListNode<OtherTag> {
  explicit Item(int given) : value(given) {}
  int value;
};
using List = IntrusiveList<Item, Item>;
using OtherList = IntrusiveList<Item, OtherTag>;

std::vector<int> values(List& list) {
  std::vector<int> all;
  for (Item* item = list.empty() ? nullptr : &list.front(); item != nullptr; item = list.after(*item)) {
    all.push_back(item->value);
  }
  return all;
}

TEST(IntrusiveListTest, GivesBackInTheOrderTaken) {
  Item one(1), two(2), three(3);
  List list;
  EXPECT_TRUE(list.empty());
  list.push_back(one);
  list.push_back(two);
  list.push_back(three);
  EXPECT_EQ(&list.pop_front(), &one);
  EXPECT_FALSE(one.ListNode<Item>::linked());
  EXPECT_THAT(values(list), ElementsAre(2, 3));
}

TEST(IntrusiveListTest, LetsAMemberLeaveFromAnyPlace) {
  Item one(1), two(2), three(3);
  List list;
  for (Item* item : {&one, &two, &three}) list.push_back(*item);
  two.ListNode<Item>::unlink();
  EXPECT_THAT(values(list), ElementsAre(1, 3));
  two.ListNode<Item>::unlink();
  one.ListNode<Item>::unlink();
  three.ListNode<Item>::unlink();
  EXPECT_TRUE(list.empty());
  list.push_back(two);
  EXPECT_THAT(values(list), ElementsAre(2));
}

TEST(IntrusiveListTest, LosesAMemberThatIsDestroyed) {
  Item one(1), three(3);
  auto two = std::make_unique<Item>(2);
  List list;
  list.push_back(one);
  list.push_back(*two);
  list.push_back(three);
  two.reset();
  EXPECT_THAT(values(list), ElementsAre(1, 3));
}

TEST(IntrusiveListTest, LetsItsMembersGoWhenItIsDestroyed) {
  Item one(1), two(2);
  {
    List list;
    list.push_back(one);
    list.push_back(two);
  }
  EXPECT_FALSE(one.ListNode<Item>::linked());
  EXPECT_FALSE(two.ListNode<Item>::linked());
}

TEST(IntrusiveListTest, KeepsAnObjectInTwoListsApart) {
  Item one(1);
  List list;
  OtherList other;
  list.push_back(one);
  other.push_back(one);
  one.ListNode<Item>::unlink();
  EXPECT_TRUE(list.empty());
  EXPECT_EQ(&other.front(), &one);
}

TEST(IntrusiveListTest, TakesAllOfAnotherToItsEnd) {
  Item one(1), two(2), three(3);
  List list;
  List other;
  list.take(other);
  EXPECT_TRUE(list.empty());
  other.push_back(two);
  other.push_back(three);
  list.take(other);
  EXPECT_THAT(values(list), ElementsAre(2, 3));
  EXPECT_TRUE(other.empty());
  other.push_back(one);
  other.take(list);
  EXPECT_THAT(values(other), ElementsAre(1, 2, 3));
  EXPECT_TRUE(list.empty());
}

// Goal: it is a queue whatever is done to it. A deque of pointers is the model.
TEST(IntrusiveListTest, DoesWhatADequeDoes) {
  std::mt19937 random(7);
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < 50; ++i) items.push_back(std::make_unique<Item>(i));
  List list;
  std::deque<int> model;
  for (int step = 0; step < 20'000; ++step) {
    Item& item = *items[random() % items.size()];
    if (item.ListNode<Item>::linked()) {
      if (random() % 3 == 0) {
        EXPECT_EQ(list.pop_front().value, model.front());
        model.pop_front();
      } else {
        item.ListNode<Item>::unlink();
        std::erase(model, item.value);
      }
    } else {
      list.push_back(item);
      model.push_back(item.value);
    }
    ASSERT_EQ(list.empty(), model.empty());
    if (step % 64 == 0) {
      ASSERT_EQ(values(list), std::vector<int>(model.begin(), model.end()));
    }
  }
}

}  // namespace
}  // namespace snowfox
