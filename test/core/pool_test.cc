#include <snowfox/core/pool.h>

#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <snowfox/core/event.h>

namespace snowfox {
namespace {

// Goal: no block is lent twice. Each is filled with a pattern of its own that must still be there at its end.
TEST(PoolTest, LendsEachBlockToOneHolder) {
  std::mt19937 random(11);
  struct Held {
    unsigned char* block;
    std::size_t bytes;
    unsigned char pattern;
  };
  std::vector<Held> held;
  for (int step = 0; step < 50'000; ++step) {
    if (held.empty() || random() % 2 == 0) {
      const std::size_t bytes = 1 + random() % 1500;
      auto* block = static_cast<unsigned char*>(pool_allocate(bytes));
      const auto pattern = static_cast<unsigned char>(random());
      std::memset(block, pattern, bytes);
      held.push_back({block, bytes, pattern});
      continue;
    }
    const std::size_t at = random() % held.size();
    std::swap(held[at], held.back());
    const auto [block, bytes, pattern] = held.back();
    held.pop_back();
    for (std::size_t i = 0; i < bytes; ++i) ASSERT_EQ(block[i], pattern);
    pool_free(block, bytes);
  }
  for (const Held& left : held) pool_free(left.block, left.bytes);
}

TEST(PoolTest, AlignsForAnyFundamentalType) {
  for (std::size_t bytes = 1; bytes <= 1100; ++bytes) {
    void* block = pool_allocate(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % alignof(std::max_align_t), 0U) << bytes;
    pool_free(block, bytes);
  }
}

TEST(PoolTest, FreesNothingForNull) { pool_free(nullptr, 32); }

TEST(PoolTest, AllocatesNothingInNoBytes) {
  void* block = pool_allocate(0);
  EXPECT_NE(block, nullptr);
  pool_free(block, 0);
}

class BigEvent final : public Event {
 public:
  explicit BigEvent(int& gone) : gone_(gone) {}
  ~BigEvent() override { ++gone_; }
  void handle() override {}

 private:
  int& gone_;
  [[maybe_unused]] char much_[2000] = {};
};

TEST(PoolTest, TakesAnEventBackByItsRealSize) {
  int gone = 0;
  for (int i = 0; i < 100; ++i) {
    EventRef big = std::make_unique<BigEvent>(gone);
    EventRef small = make_event([] {});
  }
  EXPECT_EQ(gone, 100);
}

// Goal: a block may be freed by another thread than the one that took it, also as that thread ends.
TEST(PoolTest, TakesBackWhatAnotherThreadTook) {
  std::vector<void*> blocks(3000);
  std::thread([&] {
    for (void*& block : blocks) block = pool_allocate(100);
  }).join();
  for (void* block : blocks) std::memset(block, 1, 100);
  for (void* block : blocks) pool_free(block, 100);
  std::vector<void*> more;
  for (int i = 0; i < 3000; ++i) more.push_back(pool_allocate(100));
  EXPECT_EQ(std::set<void*>(more.begin(), more.end()).size(), more.size());
  std::thread([&] {
    for (void* block : more) pool_free(block, 100);
  }).join();
}

}  // namespace
}  // namespace snowfox
