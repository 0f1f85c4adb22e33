// What a request costs in memory: nothing, once its connection is warm; and what becomes of it when there is none. An
// executable of its own, because it replaces operator new.
#include <cstdlib>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/loop_manager.h>
#include <snowfox/http/http_source.h>

#include "support/sanitized.h"
#include "support/sockets.h"

namespace {

std::size_t allocations = 0;
std::size_t failing = SIZE_MAX;  // the one after so many more

void* allocate(std::size_t bytes) {
  ++allocations;
  if (failing != SIZE_MAX && failing-- == 0) throw std::bad_alloc();
  void* const memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* allocate_or_null(std::size_t bytes) noexcept {
  try {
    return allocate(bytes);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

void* operator new(std::size_t bytes) { return allocate(bytes); }
void* operator new[](std::size_t bytes) { return allocate(bytes); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return allocate_or_null(bytes); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return allocate_or_null(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace snowfox {
namespace {

class Counter final : public HttpBodyReceiver {
 public:
  explicit Counter(HttpResponder responder) : responder_(std::move(responder)) {}
  void on_piece(std::string_view piece) override { bytes_ += piece.size(); }
  void on_end() override { responder_.answer({.body = std::to_string(bytes_)}); }

 private:
  HttpResponder responder_;
  std::size_t bytes_ = 0;
};

class HttpAllocationTest : public testing::Test {
 protected:
  HttpAllocationTest() {
    loop_.log().set_level(LogLevel::Off);
    later_.reserve(16);
    protocol_.router.add("GET", "/", [](HttpEvent& event) { event.answer({.content_type = "a/b", .body = "home"}); });
    protocol_.router.add("POST", "/echo/{name}",
                         [](HttpEvent& event) { event.answer({.body = event.request().body()}); });
    protocol_.router.add("GET", "/later", [this](HttpEvent& event) { later_.push_back(event.take_responder()); });
    protocol_.router.add(
        "PUT", "/stream",
        [](HttpEvent& event) { event.receive_body(std::make_unique<Counter>(event.take_responder())); },
        {.stream = true});
  }

  void connect() {
    auto [ours, theirs] = make_socket_pair();
    client_ = std::move(theirs);
    connection_ = serve_http(loop_, Channel::make(loop_, std::move(ours)), protocol_);
  }
  void turn() { loop_.run_for(Duration::zero()); }

  /// Of so many rounds of `requests`, after some that warm everything up.
  std::size_t allocations_of(std::string_view requests, int answers_later = 0) {
    const auto round = [&] {
      if (send_some(client_.get(), requests) != requests.size()) std::abort();
      turn();
      for (int i = answers_later; i > 0; --i) {
        later_.back().answer({.body = "later"});
        later_.pop_back();
        turn();
      }
      while (::recv(client_.get(), room_.data(), room_.size(), MSG_DONTWAIT) > 0) continue;
    };
    for (int i = 0; i < 100; ++i) round();
    const std::size_t before = allocations;
    for (int i = 0; i < 100; ++i) round();
    return allocations - before;
  }

  LoopManager loop_;
  std::vector<HttpResponder> later_;
  HttpProtocol protocol_;
  Descriptor client_;
  HttpConnection connection_{};
  std::vector<char> room_ = std::vector<char>(1 << 16);
};

std::string post(std::string_view body) {
  return "POST /echo/name HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
         std::string(body);
}
constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: x\r\nUser-Agent: test\r\n\r\n";
constexpr std::string_view kLater = "GET /later HTTP/1.1\r\nHost: x\r\n\r\n";
constexpr std::string_view kChunked =
    "POST /echo/%61 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

TEST_F(HttpAllocationTest, AllocatesNothingForARequest) {
  if (kSanitized) GTEST_SKIP() << "a sanitizer has a heap of its own";
  connect();
  EXPECT_EQ(allocations_of(kGet), 0U);
  EXPECT_EQ(allocations_of(post(std::string(1024, 'b'))), 0U);
  EXPECT_EQ(allocations_of(std::string(kGet) + post("body") + std::string(kGet)), 0U);
  EXPECT_EQ(allocations_of(kLater, 1), 0U);
}

// Goal: whichever allocation fails, it costs at most its connection; nobody else's, nor the loop's books.
TEST_F(HttpAllocationTest, GetsOverWantOfMemory) {
  const std::string requests = std::string(kGet) + post("body") + std::string(kLater) + std::string(kChunked) +
                               std::string(kGet) + std::string(kLater) +
                               "PUT /stream HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
  const std::string rest = "4\r\ndefg\r\n0\r\n\r\nGET /nowhere HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n";
  for (std::size_t k = 0;; ++k) {
    ASSERT_LT(k, 2000U);
    connect();
    ASSERT_EQ(send_some(client_.get(), requests), requests.size());
    failing = k;
    turn();
    while (!later_.empty()) {
      HttpResponder last = std::move(later_.back());
      later_.pop_back();
      try {
        last.answer({.body = "later"});
      } catch (const std::bad_alloc&) {
        // Then it is let go of.
      }
    }
    turn();
    const std::size_t left = failing;
    failing = SIZE_MAX;
    send_some(client_.get(), rest);
    failing = left;
    turn();
    turn();
    const bool all = failing != SIZE_MAX;
    failing = SIZE_MAX;
    loop_.run_for(std::chrono::milliseconds(all ? 0 : 15));  // a source that found no memory is asked again by then
    turn();

    const std::string answers = receive_some(client_.get());
    EXPECT_TRUE(at_end(client_.get())) << k << " " << answers;
    EXPECT_TRUE(answers.empty() || answers.starts_with("HTTP/1.1 200 OK") || answers.starts_with("HTTP/1.1 500")) << k;
    if (all) {
      EXPECT_THAT(answers, testing::EndsWith("no single space follows it\"}"));
    }
    client_ = {};
    turn();
    EXPECT_EQ(loop_.source(connection_.source), nullptr) << k;
    EXPECT_EQ(loop_.drain(connection_.drain), nullptr) << k;
    EXPECT_EQ(loop_.audit().findings(), std::vector<std::string>{}) << k;
    EXPECT_EQ(loop_.buffers().lent_bytes(), 0U) << k;
    if (all) break;
  }
}

}  // namespace
}  // namespace snowfox
