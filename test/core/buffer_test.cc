#include <snowfox/core/buffer.h>

#include <algorithm>
#include <deque>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace snowfox {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::string pattern(std::size_t size, std::uint32_t seed = 5) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

TEST(BufferPoolTest, LendsAtLeastWhatIsAskedFor) {
  BufferPool pool;
  for (const std::size_t bytes : {0U, 1U, 2000U, 2048U, 16'000U, 16'384U, 65'000U, 65'536U, 1'000'000U}) {
    Buffer* buffer = pool.lend(bytes);
    EXPECT_GE(buffer->capacity(), bytes);
    EXPECT_EQ(buffer->size(), 0U);
    EXPECT_EQ(buffer->free_space().size(), buffer->capacity());
    EXPECT_EQ(buffer->next, nullptr);
    EXPECT_GE(pool.lent_bytes(), bytes);
    std::fill(buffer->free_space().begin(), buffer->free_space().end(), std::byte{1});
    pool.give_back(buffer);
    EXPECT_EQ(pool.lent_bytes(), 0U);
  }
}

TEST(BufferPoolTest, LendsTheSameBufferAgain) {
  BufferPool pool;
  Buffer* first = pool.lend(100);
  first->filled(50);
  pool.give_back(first);
  Buffer* second = pool.lend(100);
  EXPECT_EQ(first, second);
  EXPECT_EQ(second->size(), 0U);
  EXPECT_EQ(pool.kept_bytes(), 0U);
  pool.give_back(second);
  EXPECT_EQ(pool.kept_bytes(), BufferPool::kSmall);
}

TEST(BufferPoolTest, KeepsOnlySoMuchForTheNextBorrower) {
  BufferPool pool;
  std::vector<Buffer*> lent;
  for (int i = 0; i < 1000; ++i) lent.push_back(pool.lend(60'000));
  EXPECT_EQ(pool.lent_bytes(), 1000 * BufferPool::kLarge);
  for (Buffer* buffer : lent) pool.give_back(buffer);
  EXPECT_EQ(pool.lent_bytes(), 0U);
  EXPECT_LE(pool.kept_bytes(), 4U << 20);
  EXPECT_GT(pool.kept_bytes(), 3U << 20);
}

TEST(BufferPoolTest, KeepsNoBufferThatIsLargerThanItsSizes) {
  BufferPool pool;
  pool.give_back(pool.lend(1U << 20));
  EXPECT_EQ(pool.kept_bytes(), 0U);
}

TEST(BufferTest, IsFilledAtItsEndAndEmptiedAtItsFront) {
  BufferPool pool;
  Buffer* buffer = pool.lend(100);
  std::copy_n(bytes_of("abcdef").begin(), 6, buffer->free_space().begin());
  buffer->filled(6);
  EXPECT_EQ(text_of(buffer->data()), "abcdef");
  buffer->consumed(4);
  EXPECT_EQ(text_of(buffer->data()), "ef");
  EXPECT_EQ(buffer->size(), 2U);
  EXPECT_EQ(buffer->free_space().size(), buffer->capacity() - 6);
  pool.give_back(buffer);
}

TEST(ReceiveBufferTest, HoldsNothingWhileItIsEmpty) {
  BufferPool pool;
  ReceiveBuffer received(pool);
  EXPECT_TRUE(received.empty());
  EXPECT_TRUE(received.data().empty());
  EXPECT_EQ(pool.lent_bytes(), 0U);
  received.settle();
  EXPECT_FALSE(received.prepare().empty());
  received.settle();
  EXPECT_EQ(pool.lent_bytes(), 0U);
  received.append(bytes_of("abc"));
  received.consume(3);
  EXPECT_TRUE(received.empty());
  received.settle();
  EXPECT_EQ(pool.lent_bytes(), 0U);
}

TEST(ReceiveBufferTest, GivesItsBufferBackWhenItGoes) {
  BufferPool pool;
  {
    ReceiveBuffer received(pool);
    received.append(bytes_of("abc"));
    EXPECT_GT(pool.lent_bytes(), 0U);
  }
  EXPECT_EQ(pool.lent_bytes(), 0U);
}

TEST(ReceiveBufferTest, KeepsALittleRestInASmallBuffer) {
  BufferPool pool;
  ReceiveBuffer received(pool);
  received.append(bytes_of(pattern(60'000)));
  received.consume(59'990);
  received.settle();
  EXPECT_EQ(pool.lent_bytes(), BufferPool::kSmall);
  EXPECT_EQ(text_of(received.data()), pattern(60'000).substr(59'990));
}

TEST(ReceiveBufferTest, LeavesWhatWasConsumedInPlace) {
  BufferPool pool;
  ReceiveBuffer received(pool);
  received.append(bytes_of("first,second"));
  const auto first = received.data().first(5);
  received.consume(6);
  EXPECT_EQ(text_of(first), "first");
  EXPECT_EQ(text_of(received.data()), "second");
}

// Goal: who announces 16 MiB and sends little is lent little; who sends it all gets room for it, at most twice as much.
TEST(ReceiveBufferTest, GrowsWithWhatComesInNotWithWhatWasAnnounced) {
  BufferPool pool;
  ReceiveBuffer received(pool);
  constexpr std::size_t kAnnounced = 16U << 20;
  EXPECT_LE(received.prepare().size(), BufferPool::kLarge);
  EXPECT_LE(pool.lent_bytes(), BufferPool::kLarge);
  const std::string all = pattern(kAnnounced);
  std::size_t done = 0;
  while (done < all.size()) {
    const auto room = received.prepare();
    ASSERT_FALSE(room.empty());
    EXPECT_LE(pool.lent_bytes(), std::max(2 * done + 100, BufferPool::kLarge));
    const std::size_t part = std::min(room.size(), all.size() - done);
    std::copy_n(bytes_of(all).begin() + static_cast<std::ptrdiff_t>(done), part, room.begin());
    received.filled(part);
    received.need(kAnnounced);
    done += part;
    received.settle();
  }
  EXPECT_TRUE(text_of(received.data()) == all);
  received.need(0);
  received.consume(all.size() - 3);
  received.settle();
  EXPECT_EQ(text_of(received.data()), all.substr(all.size() - 3));
  EXPECT_EQ(pool.lent_bytes(), BufferPool::kSmall);
}

// Goal: it is a queue of bytes, whatever sizes come and go and whenever it settles. A deque is the model.
TEST(ReceiveBufferTest, IsAQueueOfBytesUnderRandomUse) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::mt19937 random(seed);
    BufferPool pool;
    ReceiveBuffer received(pool);
    std::string model;
    std::uint8_t next = 0;
    for (int step = 0; step < 400; ++step) {
      switch (random() % 4) {
        case 0: {
          const auto room = received.prepare();
          ASSERT_FALSE(room.empty());
          const std::size_t part = random() % 2 == 0 ? room.size() : 1 + random() % room.size();
          for (std::size_t i = 0; i < part; ++i) {
            room[i] = std::byte{next};
            model.push_back(static_cast<char>(next++));
          }
          received.filled(part);
          break;
        }
        case 1: {
          const std::size_t part = std::min<std::size_t>(model.size(), random() % 70'000);
          if (part == 0) break;
          received.consume(part);
          model.erase(0, part);
          break;
        }
        case 2:
          received.settle();
          EXPECT_LE(pool.lent_bytes(), std::max<std::size_t>(2 * BufferPool::kLarge, 4 * model.size()));
          break;
        case 3: received.need(random() % 3 == 0 ? 0 : random() % 200'000); break;
      }
      ASSERT_TRUE(text_of(received.data()) == model) << "seed " << seed << " step " << step;
    }
  }
}

}  // namespace
}  // namespace snowfox
