// Bodies that come piece by piece.
#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/explanation.h>
#include <snowfox/promises/sleep.h>

#include "hostile_server.h"
#include "http_client_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;

class HttpClientStreamTest : public HttpClientTest {
 protected:
  static constexpr std::size_t kSize = 5'000'000;
  static void send_much(HostileServer::Connection& connection) {
    while (!connection.read_request().empty()) connection.write(response_with(std::string(kSize, 'x')));
  }
  HostileServer server{send_much};
};

// Goal: all of the body comes, in order, with the head; the response has none.
TEST_F(HttpClientStreamTest, GivesTheBodyPieceByPiece) {
  std::size_t bytes = 0;
  std::size_t pieces = 0;
  const HttpClientResponse response =
      response_to({.url = server.url(), .on_body = [&](const HttpClientResponse& head, std::string_view piece) {
                     EXPECT_EQ(head.status, 200);
                     EXPECT_EQ(head.headers.find("Content-Length"), std::to_string(kSize));
                     EXPECT_EQ(piece.find_first_not_of('x'), piece.npos);
                     bytes += piece.size();
                     ++pieces;
                     return Promise<void>();
                   }});
  EXPECT_EQ(bytes, kSize);
  EXPECT_GT(pieces, 10U);
  EXPECT_EQ(response.body, "");
  EXPECT_EQ(response.status, 200);
}

// Goal: as long as the program has not taken a piece, no next one comes, little is read ahead, and no time-out runs.
TEST_F(HttpClientStreamTest, LetsTheServerWait) {
  HttpClientTimeouts timeouts{.stall = 300ms};
  std::size_t bytes = 0;
  std::size_t most_ahead = 0;
  bool waiting = false;
  bool waited = false;
  const HttpClientResponse response =
      response_to({.url = server.url(),
                   .timeouts = timeouts,
                   .on_body = [&](const HttpClientResponse&, std::string_view piece) -> Promise<void> {
                     EXPECT_FALSE(waiting);
                     bytes += piece.size();
                     most_ahead = std::max<std::size_t>(most_ahead, client().counters().body_bytes - bytes);
                     if (bytes > 200'000 && !waited) {
                       waiting = waited = true;
                       return sleep(loop, 700ms).then([&] {
                         most_ahead = std::max<std::size_t>(most_ahead, client().counters().body_bytes - bytes);
                         waiting = false;
                       });
                     }
                     return {};
                   }});
  EXPECT_EQ(bytes, kSize);
  EXPECT_LT(most_ahead, 100'000U);
  EXPECT_EQ(response.status, 200);
}

// Goal: what is thrown where the body is taken ends the exchange with that; so does a promise that is rejected.
TEST_F(HttpClientStreamTest, EndsWithWhatTheProgramThrows) {
  const auto end_with = [&](HttpClientRequest::OnBody on_body) {
    try {
      response_to({.url = server.url(), .on_body = std::move(on_body)});
      return std::string("nothing");
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
  };
  EXPECT_EQ(end_with([](const auto&, auto) -> Promise<void> { throw std::runtime_error("no room"); }), "no room");
  EXPECT_EQ(end_with([&](const auto&, auto) { return rejected<void>(loop, std::runtime_error("no way")); }), "no way");
  EXPECT_EQ(client().connections_open(), 0U);
}

// Goal: CleanExit out of there ends the loop, as out of any handler.
TEST_F(HttpClientStreamTest, LetsTheProgramEndTheLoop) {
  const Promise<HttpClientResponse> promise =
      client().send({.url = server.url(), .on_body = [](const auto&, auto) -> Promise<void> { throw CleanExit(); }});
  EXPECT_EQ(loop.run(), 0);
  EXPECT_TRUE(promise.settled());
}

// Goal: the promise may be dropped where the body is taken, and while the next piece waits.
TEST_F(HttpClientStreamTest, MayBeDroppedFromWithin) {
  Promise<HttpClientResponse> promise;
  int pieces = 0;
  promise = client().send({.url = server.url(), .on_body = [&](const auto&, std::string_view piece) -> Promise<void> {
                             ++pieces;
                             promise = {};
                             EXPECT_EQ(piece.find_first_not_of('x'), piece.npos);
                             return {};
                           }});
  while (pieces == 0) pass(1ms);
  pass(10ms);
  EXPECT_EQ(pieces, 1);
  EXPECT_EQ(client().connections_open(), 0U);
  promise = client().send({.url = server.url(), .on_body = [&](const auto&, std::string_view) -> Promise<void> {
                             ++pieces;
                             return sleep(loop, 10s);
                           }});
  while (pieces == 1) pass(1ms);
  pass(10ms);
  EXPECT_EQ(pieces, 2);
  promise = {};
  pass(10ms);
  EXPECT_EQ(pieces, 2);
  EXPECT_EQ(client().under_way(), 0U);
  EXPECT_EQ(client().connections_open(), 0U);
}

// A download whose parts hold each other: nothing outside holds the promise.
struct Download {
  Promise<HttpClientResponse> answer;
  std::size_t bytes = 0;
};

// Goal: what takes the body may hold the promise itself, which goes with it when the exchange ends: well, with an
// error, or with the client.
TEST_F(HttpClientStreamTest, MayOwnItsOwnPromise) {
  HostileServer breaking([](auto& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n1234");
  });
  HostileServer silent([](auto& connection) { connection.hang(); });
  const auto begin = [&](const std::string& url) {
    const auto download = std::make_shared<Download>();
    download->answer = client().send({.url = url, .on_body = [download](const auto&, std::string_view piece) {
                                        download->bytes += piece.size();
                                        return Promise<void>();
                                      }});
    return std::weak_ptr<Download>(download);
  };
  const auto answered = begin(server.url());
  EXPECT_TRUE(run_until(loop, [&] { return answered.expired(); }));
  EXPECT_EQ(client().counters().answered, 1U);
  const auto broken = begin(breaking.url());
  EXPECT_TRUE(run_until(loop, [&] { return broken.expired(); }));
  EXPECT_EQ(client().counters().failed, 1U);
  EXPECT_EQ(client().counters().cancelled, 0U);
  EXPECT_EQ(client().under_way(), 0U);
  const auto left = begin(silent.url());
  pass(10ms);
  drop_client();
  EXPECT_TRUE(left.expired());
}

// Goal: so may what a piece is waited for with, and a time-out drops both.
TEST_F(HttpClientStreamTest, MayWaitForWhatOwnsItsPromise) {
  auto download = std::make_shared<Download>();
  const std::weak_ptr<Download> watched = download;
  download->answer =
      client().send({.url = server.url(),
                     .timeouts = HttpClientTimeouts{.total = 300ms},
                     .on_body = [&](const auto&, std::string_view) {
                       return sleep(loop, 1h).then([held = std::exchange(download, nullptr)] { held->bytes = 1; });
                     }});
  EXPECT_TRUE(run_until(loop, [&] { return watched.expired(); }));
  EXPECT_EQ(client().counters().failed, 1U);
  EXPECT_EQ(client().under_way(), 0U);
}

// Goal: whoever is told that an exchange has ended may drop its promise then and there.
TEST_F(HttpClientStreamTest, MayBeDroppedByWhoIsToldOfItsEnd) {
  Promise<HttpClientResponse> promise;
  int ends = 0;
  const auto token = loop.lifecycle().step.add([&](const Step& step) {
    if (step.kind != StepKind::Fulfilled && step.kind != StepKind::Rejected) return;
    ++ends;
    promise = {};
  });
  for (const char* url : {"/", "http://127.0.0.1:1/"}) {
    promise = client().send({.url = *url == '/' ? server.url() : url});
    EXPECT_TRUE(run_until(loop, [&] { return !promise.valid(); }));
  }
  EXPECT_EQ(ends, 2);
  EXPECT_EQ(client().counters().cancelled, 0U);
  EXPECT_EQ(client().under_way(), 0U);
}

// Goal: the loop may end in the middle of a body that nobody takes.
TEST_F(HttpClientStreamTest, IsRejectedWhenTheLoopEnds) {
  std::error_code why;
  client()
      .send({.url = server.url(), .on_body = [&](const auto&, auto) { return sleep(loop, 10s); }})
      .then([](const HttpClientResponse&) {})
      .otherwise([&](const std::exception_ptr& error) { why = code_of(error); })
      .detach();
  sleep(loop, 50ms).then([&] { loop.stop(); }).detach();
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(why, Errc::ShuttingDown);
}

}  // namespace
}  // namespace snowfox
