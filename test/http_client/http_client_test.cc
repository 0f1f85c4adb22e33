#include <snowfox/http_client/http_client.h>

#include <gmock/gmock.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <snowfox/core/error.h>
#include <snowfox/core/explanation.h>
#include <snowfox/core/trail.h>
#include <snowfox/promises/sleep.h>

#include "hostile_server.h"
#include "http_client_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

void answer_all(HostileServer::Connection& connection) {
  while (!connection.read_request().empty()) connection.write(response_with("hello"));
}

/// Answers with the request itself.
void echo_all(HostileServer::Connection& connection) {
  for (std::string request; !(request = connection.read_request()).empty();) connection.write(response_with(request));
}

// Goal: what a server answers is what the program gets, whatever the status.
TEST_F(HttpClientTest, GetsWhatTheServerAnswers) {
  HostileServer server([](auto& connection) {
    connection.read_request();
    connection.write(response_with("gone", "404 Not Found", "X-Why: because\r\nx-why: of that\r\n"));
  });
  const HttpClientResponse response = response_to({.url = server.url("/thing")});
  EXPECT_EQ(response.status, 404);
  EXPECT_FALSE(response.ok());
  EXPECT_EQ(response.body, "gone");
  EXPECT_EQ(response.headers.find("X-WHY"), "because");
  EXPECT_EQ(response.headers.size(), 3U);
  EXPECT_EQ(response.http_version, 11);
  EXPECT_GT(response.timings.total, 0ns);
  EXPECT_GE(response.timings.total, response.timings.first_byte);
}

// Goal: methods, header fields and bodies go out as they are given, and nothing that was not.
TEST_F(HttpClientTest, SendsWhatItIsGivenAndNoMore) {
  HostileServer server(echo_all);
  const std::string put = response_to({.method = "PUT",
                                       .url = server.url("/a?b=c"),
                                       .headers = {{"Content-Type", "application/json"}, {"X-Empty", ""}},
                                       .body = R"({"a":1})",
                                       .correlation_id = CorrelationId("one")})
                              .body;
  EXPECT_EQ(put, "PUT /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(server.port()) +
                     "\r\nAccept: */*\r\nContent-Type: application/json\r\nX-Empty:\r\nX-Correlation-Id: one\r\n"
                     "Content-Length: 7\r\n\r\n{\"a\":1}");
  const std::string post = response_to({.method = "POST", .url = server.url()}).body;
  EXPECT_THAT(post, HasSubstr("Content-Length: 0\r\n"));
  EXPECT_THAT(post, Not(HasSubstr("Content-Type")));
  EXPECT_THAT(response_to({.method = "DELETE", .url = server.url()}).body,
              testing::StartsWith("DELETE / HTTP/1.1\r\n"));
  EXPECT_THAT(response_to({.method = "OPTIONS", .url = server.url(), .headers = {{"Host", "other"}}}).body,
              testing::StartsWith("OPTIONS / HTTP/1.1\r\nHost: other\r\n"));
}

// Goal: a large body arrives whole, is not announced by "Expect", and may be shared.
TEST_F(HttpClientTest, SendsALargeBodyThatSeveralShare) {
  HostileServer server([](auto& connection) {
    for (std::string request; !(request = connection.read_request()).empty();) {
      const std::size_t body = request.size() - request.find("\r\n\r\n") - 4;
      connection.write(response_with(std::to_string(body) + (request.find("Expect") != request.npos ? "!" : "")));
    }
  });
  const auto body = std::make_shared<const std::string>(5'000'000, 'x');
  Promise<HttpClientResponse> first = client().send({.method = "POST", .url = server.url(), .body = body});
  Promise<HttpClientResponse> second = client().send({.method = "PUT", .url = server.url(), .body = body});
  EXPECT_EQ(outcome_of(loop, std::move(first)).body, "5000000");
  EXPECT_EQ(outcome_of(loop, std::move(second)).body, "5000000");
}

// Goal: HEAD has no body, whatever its header says.
TEST_F(HttpClientTest, ExpectsNoBodyAfterHead) {
  HostileServer server([](auto& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
    connection.hang();
  });
  const HttpClientResponse response = response_to({.method = "HEAD", .url = server.url()});
  EXPECT_EQ(response.headers.find("content-length"), "1000");
  EXPECT_EQ(response.body, "");
}

// Goal: each exchange carries its correlation id, in both forms where it is a trace id.
TEST_F(HttpClientTest, CarriesTheCorrelationId) {
  HostileServer server(echo_all);
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  std::string sent = response_to({.url = server.url(), .correlation_id = CorrelationId(trace)}).body;
  EXPECT_THAT(sent, HasSubstr("X-Correlation-Id: " + trace + "\r\n"));
  EXPECT_THAT(sent, testing::ContainsRegex("traceparent: 00-" + trace + "-[0-9a-f]{16}-01\r\n"));
  sent =
      response_to({.url = server.url(), .correlation_id = CorrelationId("4BF92F35-77b3-4da6-a3ce-929d0e0e4736")}).body;
  EXPECT_THAT(sent, HasSubstr("traceparent: 00-" + trace + "-"));
  sent = response_to({.url = server.url(), .correlation_id = CorrelationId("client-7/42")}).body;
  EXPECT_THAT(sent, Not(HasSubstr("traceparent")));
  sent = response_to({.url = server.url()}).body;
  EXPECT_THAT(sent, testing::ContainsRegex("traceparent: 00-[0-9a-f]{32}-"));
  sent = response_to({.url = server.url(), .correlation_id = CorrelationId("a\r\nX-Evil: 1")}).body;
  EXPECT_THAT(sent, Not(HasSubstr("Evil")));
  sent = response_to({.url = server.url(), .headers = {{"x-correlation-id", "mine"}}}).body;
  EXPECT_THAT(sent, testing::AllOf(HasSubstr("x-correlation-id: mine\r\n"), Not(HasSubstr("X-Correlation-Id"))));
}

// Goal: what would be another request than meant is not sent.
TEST_F(HttpClientTest, RefusesWhatCannotBeSent) {
  HostileServer server(answer_all);
  const std::vector<HttpClientRequest> bad{
      {.url = ""},
      {.url = "file:///etc/passwd"},
      {.url = "ftp://127.0.0.1/"},
      {.url = "http:///path"},
      {.url = "http://127.0.0.1:99999/"},
      {.url = "http://name:secret@127.0.0.1/"},
      {.url = server.url("/a b")},
      {.url = server.url("/a\r\nX-Evil: 1")},
      {.method = "", .url = server.url()},
      {.method = "GET /x", .url = server.url()},
      {.method = "CONNECT", .url = server.url()},
      {.method = "HEAD", .url = server.url(), .body = "x"},
      {.url = server.url(), .headers = {{"X", "a\r\nX-Evil: 1"}}},
      {.url = server.url(), .headers = {{"X: y", "a"}}},
      {.url = server.url(), .headers = {{"Content-Length", "5"}}},
      {.url = server.url(), .headers = {{"Transfer-Encoding", "chunked"}}},
  };
  for (const HttpClientRequest& request : bad) {
    Promise<HttpClientResponse> promise = client().send(request);
    EXPECT_TRUE(promise.settled()) << request.url;
    const HttpClientError error = snowfox::error_of(loop, std::move(promise));
    EXPECT_EQ(error.code(), HttpClientErrc::BadRequest) << error.what();
    EXPECT_THAT(error.what(), Not(HasSubstr("secret")));
  }
  EXPECT_EQ(server.connections(), 0);
  EXPECT_EQ(client().counters().refused, bad.size());
}

// Goal: an error names method and URL, but neither query nor credentials.
TEST_F(HttpClientTest, KeepsSecretsOutOfErrors) {
  const HttpClientError error = error_of({.url = "http://127.0.0.1:1/path?access_token=secret#secret"});
  EXPECT_EQ(error.code(), HttpClientErrc::CouldNotConnect);
  EXPECT_THAT(error.what(), HasSubstr("GET http://127.0.0.1:1/path: "));
  EXPECT_THAT(error.what(), Not(HasSubstr("secret")));
  EXPECT_FALSE(error.may_have_arrived());
}

// Goal: one connection does for requests one after the other.
TEST_F(HttpClientTest, UsesAConnectionAgain) {
  HostileServer server(answer_all);
  EXPECT_FALSE(response_to({.url = server.url()}).reused);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(response_to({.url = server.url()}).reused);
  EXPECT_EQ(server.connections(), 1);
  EXPECT_EQ(client().counters().connections_opened, 1U);
  EXPECT_EQ(client().counters().reused, 10U);
  EXPECT_EQ(client().connections_open(), 1U);
}

// Goal: nothing is sent, and no promise settled, within send().
TEST_F(HttpClientTest, DoesNothingWithinSend) {
  HostileServer server(answer_all);
  Promise<HttpClientResponse> promise = client().send({.url = server.url()});
  EXPECT_FALSE(promise.settled());
  EXPECT_EQ(client().counters().connections_opened, 0U);
  EXPECT_EQ(client().under_way(), 1U);
  EXPECT_EQ(outcome_of(loop, std::move(promise)).body, "hello");
  EXPECT_EQ(client().under_way(), 0U);
}

// Goal: run() goes on as long as a response is waited for, and a connection that is kept does not prolong it.
TEST_F(HttpClientTest, KeepsTheLoopUntilTheResponseIsThere) {
  HostileServer server(answer_all);
  std::string body;
  client().send({.url = server.url()}).then([&](const HttpClientResponse& response) { body = response.body; }).detach();
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(body, "hello");
  EXPECT_EQ(client().connections_open(), 1U);
}

// Goal: a dropped promise ends its exchange at once, and its connection.
TEST_F(HttpClientTest, EndsAnExchangeWhosePromiseIsDropped) {
  std::atomic<bool> left = false;
  HostileServer server([&](auto& connection) {
    connection.read_request();
    connection.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n1234");
    connection.hang();
    left = true;
  });
  {
    const Promise<HttpClientResponse> promise = client().send({.url = server.url()});
    while (client().counters().body_bytes == 0) pass(1ms);
    EXPECT_EQ(client().connections_open(), 1U);
  }
  EXPECT_EQ(client().under_way(), 0U);
  EXPECT_EQ(client().connections_open(), 0U);
  EXPECT_EQ(client().counters().cancelled, 1U);
  while (!left) pass(1ms);
}

// Goal: whoever asks is told what an exchange waits for, and a trail has its steps.
TEST_F(HttpClientTest, ExplainsWhatItWaitsFor) {
  HostileServer server([](auto& connection) {
    connection.read_request();
    connection.hang();
  });
  Trail trail(loop);
  const CorrelationId id("why/1");
  {
    const Promise<HttpClientResponse> promise = client().send({.url = server.url(), .correlation_id = id});
    EXPECT_THAT(loop.explain(id).str(), HasSubstr("waits for an HTTP connection"));
    const auto says = [&](std::string_view text) { return loop.explain(id).str().find(text) != std::string::npos; };
    while (!says("waits for an HTTP response since")) pass(1ms);
    EXPECT_EQ(loop.explain(CorrelationId("other")).waits().size(), 0U);
  }
  EXPECT_THAT(loop.explain(id).str(), HasSubstr("abandoned"));
}

// Goal: the end of the loop, and of the client, rejects what is under way.
TEST_F(HttpClientTest, RejectsWhatIsUnderWayAtTheEnd) {
  HostileServer server([](auto& connection) { connection.hang(); });
  std::error_code why;
  const auto send = [&] {
    client()
        .send({.url = server.url()})
        .then([](const HttpClientResponse&) {})
        .otherwise([&](const std::exception_ptr& error) { why = code_of(error); })
        .detach();
  };
  send();
  sleep(loop, 20ms).then([&] { loop.stop(); }).detach();
  EXPECT_EQ(loop.run(), 0);
  EXPECT_EQ(why, Errc::ShuttingDown);
  why.clear();
  send();
  drop_client();
  pass(0ms);
  EXPECT_EQ(why, Errc::ShuttingDown);
}

// Goal: a proxy is used if it is given, that of the environment only if it is asked for.
TEST_F(HttpClientTest, UsesNoProxyUnlessAsked) {
  HostileServer proxy(echo_all);
  HostileServer server(answer_all);
  const std::string address = "http://127.0.0.1:" + std::to_string(proxy.port());
  ::setenv("http_proxy", address.c_str(), 1);
  EXPECT_EQ(response_to({.url = server.url()}).body, "hello");
  HttpClientOptions by_environment;
  by_environment.proxy_from_environment = true;
  HttpClient second(loop, by_environment);
  EXPECT_THAT(outcome_of(loop, second.send({.url = server.url("/x")})).body,
              HasSubstr("GET " + server.url("/x") + " "));
  ::unsetenv("http_proxy");
  HttpClientOptions given;
  given.proxy = address;
  HttpClient third(loop, given);
  EXPECT_THAT(outcome_of(loop, third.send({.url = "http://nowhere.example/x"})).body,
              HasSubstr("GET http://nowhere.example/x "));
}

// Goal: a certificate file that is not there is told when the client is made.
TEST_F(HttpClientTest, TellsOfAMissingFileAtOnce) {
  options.tls.ca_file = "/nowhere/ca.pem";
  EXPECT_THROW(client(), std::system_error);
}

}  // namespace
}  // namespace snowfox
