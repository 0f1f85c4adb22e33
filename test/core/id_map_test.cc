#include <snowfox/core/id_map.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/correlation_id.h>

namespace snowfox {
namespace {

using ::testing::UnorderedElementsAre;

CorrelationId numbered(int number) { return CorrelationId("id-" + std::to_string(number)); }

TEST(IdMapTest, FindsNothingInAnEmptyMap) {
  const IdMap<int> map;
  EXPECT_TRUE(map.empty());
  EXPECT_EQ(map.find(numbered(1)), nullptr);
}

TEST(IdMapTest, FindsWhatWasInserted) {
  IdMap<std::string> map;
  std::string* inserted = map.insert(numbered(1), "one");
  ASSERT_NE(inserted, nullptr);
  EXPECT_EQ(map.find(numbered(1)), inserted);
  EXPECT_EQ(*inserted, "one");
  EXPECT_EQ(map.find(numbered(2)), nullptr);
  EXPECT_EQ(map.size(), 1);
}

TEST(IdMapTest, RefusesASecondValueUnderAnId) {
  IdMap<std::string> map;
  map.insert(numbered(1), "one");
  EXPECT_EQ(map.insert(numbered(1), "other"), nullptr);
  EXPECT_EQ(*map.find(numbered(1)), "one");
  EXPECT_EQ(map.size(), 1);
}

TEST(IdMapTest, ForgetsWhatIsErased) {
  IdMap<std::string> map;
  map.insert(numbered(1), "one");
  EXPECT_TRUE(map.erase(numbered(1)));
  EXPECT_FALSE(map.erase(numbered(1)));
  EXPECT_EQ(map.find(numbered(1)), nullptr);
  EXPECT_TRUE(map.empty());
  EXPECT_NE(map.insert(numbered(1), "again"), nullptr);
}

TEST(IdMapTest, GivesAwayAValueThatCannotBeCopied) {
  IdMap<std::unique_ptr<int>> map;
  map.insert(numbered(1), std::make_unique<int>(1));
  const auto taken = map.take(numbered(1));
  ASSERT_TRUE(taken);
  EXPECT_EQ(**taken, 1);
  EXPECT_FALSE(map.take(numbered(1)));
}

TEST(IdMapTest, TreatsTheEmptyIdAsAnyOther) {
  IdMap<int> map;
  EXPECT_NE(map.insert(CorrelationId(), 1), nullptr);
  EXPECT_EQ(*map.find(CorrelationId()), 1);
  EXPECT_TRUE(map.erase(CorrelationId()));
}

// Goal: pointers may be kept, so that a value may hold a timer or be known to others.
TEST(IdMapTest, LeavesValuesWhereTheyAreWhileItGrowsAndShrinks) {
  struct Fixed {
    explicit Fixed(int given) : number(given) {}
    Fixed(const Fixed&) = delete;
    Fixed& operator=(const Fixed&) = delete;
    int number;
  };
  IdMap<Fixed> map;
  std::vector<Fixed*> places;
  places.reserve(10'000);
  for (int i = 0; i < 10'000; ++i) places.push_back(map.insert(numbered(i), i));
  for (int i = 0; i < 10'000; i += 2) map.erase(numbered(i));
  for (int i = 1; i < 10'000; i += 2) {
    ASSERT_EQ(map.find(numbered(i)), places[i]);
    ASSERT_EQ(places[i]->number, i);
  }
}

// Goal: erasing what others had to give way to must not hide them. Kept nearly as full as its index allows.
TEST(IdMapTest, AgreesWithAnotherMapWhateverIsDone) {
  IdMap<int> map;
  std::unordered_map<int, int> expected;
  std::mt19937 random(7);
  for (int step = 0; step < 200'000; ++step) {
    const int key = static_cast<int>(random() % 320);
    if (random() % 16 != 0) {
      ASSERT_EQ(map.insert(numbered(key), step) != nullptr, expected.emplace(key, step).second);
    } else {
      ASSERT_EQ(map.erase(numbered(key)), expected.erase(key) == 1);
    }
    const int looked_for = static_cast<int>(random() % 320);
    const int* found = map.find(numbered(looked_for));
    const auto place = expected.find(looked_for);
    ASSERT_EQ(found != nullptr, place != expected.end());
    if (found != nullptr) {
      ASSERT_EQ(*found, place->second);
    }
  }
  ASSERT_EQ(map.size(), expected.size());
}

TEST(IdMapTest, HoldsAMillionEntries) {
  constexpr int kCount = 1'000'000;
  CorrelationIdGenerator ids("client");
  std::vector<CorrelationId> all;
  IdMap<int> map;
  for (int i = 0; i < kCount; ++i) {
    all.push_back(ids.next());
    ASSERT_NE(map.insert(all.back(), i), nullptr);
  }
  EXPECT_EQ(map.size(), kCount);
  for (int i = 0; i < kCount; ++i) {
    const int* found = map.find(all[i]);
    ASSERT_NE(found, nullptr);
    ASSERT_EQ(*found, i);
  }
  for (int i = 0; i < kCount; ++i) ASSERT_TRUE(map.erase(all[i]));
  EXPECT_TRUE(map.empty());
}

TEST(IdMapTest, VisitsEachEntryAndMayBeChangedMeanwhile) {
  IdMap<int> map;
  for (int i = 0; i < 4; ++i) map.insert(numbered(i), i);
  std::vector<int> visited;
  map.for_each([&](const CorrelationId& id, int& value) {
    visited.push_back(value);
    map.erase(id);
  });
  EXPECT_THAT(visited, UnorderedElementsAre(0, 1, 2, 3));
  EXPECT_TRUE(map.empty());
}

TEST(IdMapTest, DestroysEachValueOnce) {
  const auto counted = std::make_shared<int>();
  {
    IdMap<std::shared_ptr<int>> map;
    for (int i = 0; i < 100; ++i) map.insert(numbered(i), counted);
    for (int i = 0; i < 50; ++i) map.erase(numbered(i));
    EXPECT_EQ(counted.use_count(), 51);
    map.clear();
    EXPECT_EQ(counted.use_count(), 1);
    map.insert(numbered(1), counted);
  }
  EXPECT_EQ(counted.use_count(), 1);
}

TEST(IdMapTest, IsUnchangedIfMakingAValueThrows) {
  struct Picky {
    explicit Picky(int number) {
      if (number < 0) throw std::invalid_argument("negative");
    }
  };
  IdMap<Picky> map;
  EXPECT_THROW(map.insert(numbered(1), -1), std::invalid_argument);
  EXPECT_EQ(map.find(numbered(1)), nullptr);
  EXPECT_NE(map.insert(numbered(1), 1), nullptr);
  EXPECT_EQ(map.size(), 1);
}

TEST(IdMapTest, LetsADestructorCallBack) {
  struct CallsBack {
    explicit CallsBack(std::function<void()> given) : call(std::move(given)) {}
    CallsBack(const CallsBack&) = delete;
    CallsBack& operator=(const CallsBack&) = delete;
    ~CallsBack() { call(); }
    std::function<void()> call;
  };
  IdMap<CallsBack> map;
  map.insert(numbered(1), [&] { map.insert(numbered(1), [] {}); });
  map.erase(numbered(1));
  EXPECT_EQ(map.size(), 1);
  EXPECT_NE(map.find(numbered(1)), nullptr);
}

}  // namespace
}  // namespace snowfox
