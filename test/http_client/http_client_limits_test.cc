// How much is under way at a time, and how names are looked up.
#include <dlfcn.h>
#include <netdb.h>
#include <gmock/gmock.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include <snowfox/core/error.h>

#include "hostile_server.h"
#include "http_client_fixture.h"

namespace {

std::atomic<int> lookups_begun = 0;
std::atomic<int> lookups_under_way = 0;
std::atomic<bool> answer_lookups = false;

}  // namespace

/// Stands before the C library's: what ends in `.slow` is looked up until `answer_lookups`, and is then this host;
/// `.unknown` takes a while and is nothing.
extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result) {
  const std::string name = node == nullptr ? "" : node;
  const bool slow = name.ends_with(".slow");
  if (slow || name.ends_with(".unknown")) {
    ++lookups_begun;
    ++lookups_under_way;
    while (slow && !answer_lookups) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (!slow) std::this_thread::sleep_for(std::chrono::milliseconds(30));
    --lookups_under_way;
    if (!slow) return EAI_NONAME;
    node = "127.0.0.1";
  }
  using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(node, service, hints, result);
}

namespace snowfox {
namespace {

using namespace std::chrono_literals;

class HttpClientLimitsTest : public HttpClientTest {
 protected:
  static void answer_all(HostileServer::Connection& connection) {
    while (!connection.read_request().empty()) connection.write(response_with("hello"));
  }
  std::vector<Promise<HttpClientResponse>> send_many(std::size_t count, const HttpClientRequest& request) {
    std::vector<Promise<HttpClientResponse>> promises;
    for (std::size_t i = 0; i < count; ++i) promises.push_back(client().send(request));
    return promises;
  }
};

// Goal: no server gets more connections than it may, and all requests are answered in the end.
TEST_F(HttpClientLimitsTest, KeepsToTheLimitOfAHost) {
  options.most_per_host = 3;
  HostileServer server(answer_all);
  auto promises = send_many(50, {.url = server.url()});
  EXPECT_EQ(client().waiting(), 47U);
  for (auto& promise : promises) EXPECT_EQ(outcome_of(loop, std::move(promise)).body, "hello");
  EXPECT_EQ(server.connections(), 3);
}

// Goal: a server that does not answer takes no place from others; where all are taken, all hosts have their turns.
TEST_F(HttpClientLimitsTest, LetsHostsTakeTurns) {
  options.most_per_host = 2;
  options.most_in_all = 3;
  HostileServer hanging([](auto& connection) { connection.hang(); });
  HostileServer answering(answer_all);
  const auto stuck = send_many(10, {.url = hanging.url()});
  auto promises = send_many(10, {.url = answering.url()});
  for (auto& promise : promises) EXPECT_EQ(outcome_of(loop, std::move(promise)).body, "hello");
  EXPECT_EQ(hanging.connections(), 2);
}

// Goal: more than may wait are refused at once.
TEST_F(HttpClientLimitsTest, RefusesWhatMayNotWait) {
  options.most_per_host = 1;
  options.most_waiting = 2;
  HostileServer hanging([](auto& connection) { connection.hang(); });
  auto promises = send_many(4, {.url = hanging.url()});
  EXPECT_FALSE(promises[2].settled());
  EXPECT_TRUE(promises[3].settled());
  EXPECT_EQ(snowfox::error_of(loop, std::move(promises[3])).code(), Errc::LimitReached);
  promises[1] = {};
  EXPECT_EQ(client().waiting(), 1U);
  promises[1] = client().send({.url = hanging.url()});
  EXPECT_FALSE(promises[1].settled());
}

// Goal: who waits for a turn times out, too.
TEST_F(HttpClientLimitsTest, TimesOutWhileWaiting) {
  options.most_per_host = 1;
  HostileServer hanging([](auto& connection) { connection.hang(); });
  const auto stuck = client().send({.url = hanging.url()});
  const HttpClientError error = error_of({.url = hanging.url(), .timeouts = HttpClientTimeouts{.total = 30ms}});
  EXPECT_EQ(error.code(), HttpClientErrc::TotalTimeout);
  EXPECT_FALSE(error.may_have_arrived());
}

// Goal: a thousand exchanges begun and dropped at all stages leave nothing behind.
TEST_F(HttpClientLimitsTest, SurvivesAStormOfCancellations) {
  HostileServer server([](auto& connection) {
    for (std::string request; !(request = connection.read_request()).empty();) {
      connection.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe");
      std::this_thread::sleep_for(1ms);
      connection.write("llo");
    }
  });
  options.most_per_host = 20;
  std::vector<Promise<HttpClientResponse>> promises(100);
  unsigned random = 1;
  for (int i = 0; i < 3000; ++i) {
    random = random * 1103515245U + 12345U;
    promises[(random >> 16) % promises.size()] = client().send({.url = server.url()});
    if (i % 3 == 0) pass(0ms);
    if (i % 100 == 0) pass(2ms);
  }
  for (auto& promise : promises) {
    if (!promise.valid()) continue;
    EXPECT_EQ(outcome_of(loop, std::move(promise)).body, "hello");
  }
  EXPECT_EQ(client().under_way(), 0U);
  EXPECT_GT(client().counters().cancelled, 1000U);
}

// Goal: while a name is looked up the loop goes on, one lookup does for all who wait for it, and to give up waits for
// no thread.
TEST_F(HttpClientLimitsTest, LooksANameUpOnceAndNeverBlocks) {
  lookups_begun = 0;
  answer_lookups = false;
  HostileServer server(answer_all);
  const std::string url = "http://name.slow:" + std::to_string(server.port()) + "/";
  const TimePoint begin = loop.now();
  HttpClientError error = error_of({.url = url, .timeouts = HttpClientTimeouts{.connect = 50ms}});
  EXPECT_EQ(error.code(), HttpClientErrc::ConnectTimeout) << error.what();
  EXPECT_FALSE(error.may_have_arrived());
  {
    const auto dropped = client().send({.url = url});
    while (lookups_begun < 2) pass(1ms);
  }
  EXPECT_LT(loop.now() - begin, 5s);
  EXPECT_EQ(lookups_under_way, 2);

  auto promises = send_many(50, {.url = url});
  while (lookups_begun < 3) pass(1ms);
  pass(20ms);
  EXPECT_EQ(lookups_begun, 3);
  answer_lookups = true;
  for (auto& promise : promises) EXPECT_EQ(outcome_of(loop, std::move(promise)).body, "hello");
  EXPECT_EQ(client().counters().lookups, 3U);
  EXPECT_EQ(response_to({.url = url}).body, "hello");
  while (lookups_under_way != 0) std::this_thread::sleep_for(1ms);
}

// Goal: a name that is not known is told as such, to all who waited for it, by one lookup.
TEST_F(HttpClientLimitsTest, TellsOfAnUnknownName) {
  lookups_begun = 0;
  auto promises = send_many(20, {.url = "http://name.unknown/"});
  for (auto& promise : promises) {
    EXPECT_EQ(snowfox::error_of(loop, std::move(promise)).code(), HttpClientErrc::CouldNotResolve);
  }
  EXPECT_EQ(lookups_begun, 1);
}

// Goal: addresses that are given are not looked up.
TEST_F(HttpClientLimitsTest, TakesAddressesThatAreGiven) {
  HostileServer server(answer_all);
  const std::string host = "service.example:" + std::to_string(server.port());
  options.addresses = {host + ":127.0.0.1"};
  EXPECT_EQ(response_to({.url = "http://" + host + "/"}).body, "hello");
  EXPECT_EQ(client().counters().lookups, 0U);
}

}  // namespace
}  // namespace snowfox
