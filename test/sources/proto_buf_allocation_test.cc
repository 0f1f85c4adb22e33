// What a message costs a server in memory: nothing, once it is warm; and what a connection costs. This is an executable
// of its own because it counts each call of malloc() and its kin, whoever makes it: ours, the standard library's,
// protobuf's or libuv's.
#include <snowfox/sources/proto_buf_source.h>

#include <malloc.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <snowfox/core/loop_manager.h>

#include "support/framed.h"
#include "support/run_until.h"
#include "support/sockets.h"
#include "test_messages.pb.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SNOWFOX_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SNOWFOX_SANITIZED 1
#endif
#endif

namespace {

std::size_t allocations = 0;
std::size_t held_bytes = 0;  // by blocks that are in use, with what the heap itself needs of each

[[maybe_unused]] void* counted(void* block) noexcept {
  ++allocations;
  if (block != nullptr) held_bytes += malloc_usable_size(block) + sizeof(std::size_t);
  return block;
}
[[maybe_unused]] void uncount(void* block) noexcept {
  if (block != nullptr) held_bytes -= malloc_usable_size(block) + sizeof(std::size_t);
}

}  // namespace

#ifndef SNOWFOX_SANITIZED
// glibc's own, under the names by which a program that replaces malloc() still reaches them.
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* block, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void __libc_free(void* block);

void* malloc(std::size_t bytes) { return counted(__libc_malloc(bytes)); }
void* calloc(std::size_t count, std::size_t bytes) { return counted(__libc_calloc(count, bytes)); }
void* realloc(void* block, std::size_t bytes) {
  uncount(block);
  return counted(__libc_realloc(block, bytes));
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) { return counted(__libc_memalign(alignment, bytes)); }
int posix_memalign(void** block, std::size_t alignment, std::size_t bytes) {
  *block = counted(__libc_memalign(alignment, bytes));
  return *block == nullptr ? ENOMEM : 0;
}
void free(void* block) {
  uncount(block);
  __libc_free(block);
}
}
#endif

namespace snowfox {
namespace {

using test::Envelope;

class ProtoBufAllocationTest : public testing::Test {
 protected:
  void SetUp() override {
#ifdef SNOWFOX_SANITIZED
    GTEST_SKIP() << "a sanitizer has a heap of its own";
#endif
    ASSERT_NE(allocations, 0U) << "nothing is being counted";
  }

  /// One connection of a server that sends each message back, its code plus one.
  Descriptor connect() {
    auto [ours, theirs] = make_socket_pair();
    serve_proto_buf(loop_, Channel::make(loop_, std::move(ours)), protocol_);
    return std::move(theirs);
  }
  static std::string request(std::size_t body_bytes) {
    Envelope message;
    message.set_correlation_id("4bf92f3577b34da6a3ce929d0e0e4736");
    message.set_code(1);
    message.set_body(std::string(body_bytes, 'b'));
    return framed(message);
  }
  /// Sends `bytes` on each connection and lets the server answer `messages` times in all. The client's side is raw: it
  /// writes from and reads into memory that is there already.
  void exchange(const std::vector<Descriptor>& clients, const std::string& bytes, std::size_t messages) {
    const std::size_t due = handled_ + messages;
    for (const Descriptor& client : clients) {
      if (::send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
        std::abort();
    }
    while (handled_ < due) {
      EventRef event = loop_.wait(std::chrono::seconds(20));
      if (event == nullptr) std::abort();
      loop_.dispatch(std::move(event));
    }
    loop_.run_for(Duration::zero());
    for (const Descriptor& client : clients) {
      std::size_t left = bytes.size();
      while (left != 0) {
        const ssize_t count = ::recv(client.get(), room_.data(), std::min(room_.size(), left), MSG_DONTWAIT);
        if (count <= 0) std::abort();
        left -= static_cast<std::size_t>(count);
      }
    }
  }
  /// Allocations of `rounds` exchanges, after so many that warm everything up.
  std::size_t allocations_of(const std::vector<Descriptor>& clients, const std::string& bytes, std::size_t messages,
                             int rounds) {
    for (int i = 0; i < rounds; ++i) exchange(clients, bytes, messages);
    const std::size_t before = allocations;
    for (int i = 0; i < rounds; ++i) exchange(clients, bytes, messages);
    return allocations - before;
  }

  LoopManager loop_;
  std::size_t handled_ = 0;
  ProtoBufProtocol<Envelope> protocol_{[this](MessageEvent<Envelope>& event) {
    ++handled_;
    event.message().set_code(event.message().code() + 1);
    event.answer(event.message());
  }};
  std::vector<char> room_ = std::vector<char>(1 << 16);
};

TEST_F(ProtoBufAllocationTest, AllocatesNothingForAMessageAtATime) {
  std::vector<Descriptor> clients;
  clients.push_back(connect());
  EXPECT_EQ(allocations_of(clients, request(100), 1, 1000), 0U);
}

TEST_F(ProtoBufAllocationTest, AllocatesNothingForMessagesInBatches) {
  std::vector<Descriptor> clients;
  clients.push_back(connect());
  std::string batch;
  for (int i = 0; i < 200; ++i) batch += request(100);
  EXPECT_EQ(allocations_of(clients, batch, 200, 100), 0U);
}

TEST_F(ProtoBufAllocationTest, AllocatesNothingForManyConnections) {
  std::vector<Descriptor> clients;
  for (int i = 0; i < 100; ++i) clients.push_back(connect());
  EXPECT_EQ(allocations_of(clients, request(100) + request(1), 200, 100), 0U);
}

TEST_F(ProtoBufAllocationTest, AllocatesNothingForLargerMessages) {
  std::vector<Descriptor> clients;
  clients.push_back(connect());
  EXPECT_EQ(allocations_of(clients, request(40'000), 1, 300), 0U);
}

// Goal: the same when frames come in pieces, so that the beginnings of frames are kept between turns.
TEST_F(ProtoBufAllocationTest, AllocatesNothingForMessagesInPieces) {
  const Descriptor client = connect();
  const std::string whole = request(100);
  const auto exchange_in_pieces = [&] {
    for (std::size_t at = 0; at < whole.size(); at += 50) {
      const std::size_t part = std::min<std::size_t>(50, whole.size() - at);
      if (::send(client.get(), whole.data() + at, part, MSG_NOSIGNAL) != static_cast<ssize_t>(part)) std::abort();
      loop_.run_for(Duration::zero());
    }
    if (::recv(client.get(), room_.data(), room_.size(), MSG_DONTWAIT) != static_cast<ssize_t>(whole.size()))
      std::abort();
  };
  for (int i = 0; i < 500; ++i) exchange_in_pieces();
  const std::size_t before = allocations;
  for (int i = 0; i < 500; ++i) exchange_in_pieces();
  EXPECT_EQ(allocations - before, 0U);
}

// Goal: a connection without anything under way is a channel, a source and a drain, and no more than that: 64, 112 and
// 112 bytes, of which 8 each are the heap's own. Its places in the loop's tables, 8 bytes each, are there already.
TEST_F(ProtoBufAllocationTest, HoldsLittleForAnIdleConnection) {
  constexpr std::size_t kConnections = 200;
  std::vector<Descriptor> clients;
  clients.reserve(kConnections);
  const auto held_by_connections = [&] {
    const std::size_t before = held_bytes;
    for (std::size_t i = 0; i < kConnections; ++i) clients.push_back(connect());
    exchange(clients, request(100), kConnections);
    const std::size_t after = held_bytes;
    clients.clear();
    while (loop_.source_count() != 0) loop_.run_for(Duration::zero());
    return after - before;
  };
  held_by_connections();
  EXPECT_LE(held_by_connections() / kConnections, 288U);
}

// Goal: the counter counts. A message that is answered by way of the heap is found out.
TEST_F(ProtoBufAllocationTest, NoticesAnAllocation) {
  std::vector<Descriptor> clients;
  clients.push_back(connect());
  std::vector<std::unique_ptr<std::string>> kept;
  kept.reserve(10'000);
  protocol_.on_message = [&](MessageEvent<Envelope>& event) {
    ++handled_;
    kept.push_back(std::make_unique<std::string>("a text that is too long to be held in the string itself"));
    event.answer(event.message());
  };
  EXPECT_EQ(allocations_of(clients, request(100), 1, 1000), 2000U);
}

}  // namespace
}  // namespace snowfox
