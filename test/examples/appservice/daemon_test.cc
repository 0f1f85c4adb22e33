// What the daemon answers to those who talk to it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "examples/appservice/daemon_world.h"

namespace snowfox::appservice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

TEST_F(DaemonTest, SendsWhatWasSubmittedToWhomItIsFor) {
  start_with_service();
  const HttpClientResponse one = submit(event("$1"));
  EXPECT_EQ(one.status, 200);
  EXPECT_EQ(Json::parse(one.body), (Json{{"event_ids", {"$1"}}}));
  const HttpClientResponse list = submit({event("$2"), event("$3", "@nobody:example.org"), event("$4")});
  EXPECT_EQ(Json::parse(list.body), (Json{{"event_ids", {"$2", "$3", "$4"}}}));
  until([&] { return service.events().size() == 3; });
  EXPECT_THAT(service.events(), ElementsAre("$1", "$2", "$4"));
  EXPECT_EQ(service.requests[0].method + " " + service.requests[0].target, "PUT /_matrix/app/v1/transactions/1");
  EXPECT_EQ(service.requests[0].authorization, "Bearer hs-secret-a");
  EXPECT_THAT(service.requests[0].fields, HasSubstr("Content-Type: application/json\n"));
  const Json sent = Json::parse(service.requests[0].body)["events"][0];
  EXPECT_EQ(sent["content"], (Json{{"body", "hello"}}));
  EXPECT_EQ(end(), 0);
}

TEST_F(DaemonTest, NamesWhatItHasTakenWhateverCharactersAreInAnId) {
  start_with_service();
  const std::vector<std::string> ids = {"$plain", "$\"quoted\"", "$back\\slash", "$line\nfeed\x01",
                                        "$\u00fcml\u00e4ut"};
  Json events = Json::array();
  for (const std::string& id : ids) events.push_back(event(id));
  EXPECT_EQ(Json::parse(submit(events).body), (Json{{"event_ids", ids}}));
  EXPECT_EQ(Json::parse(submit(Json::array()).body), (Json{{"event_ids", Json::array()}}));
  until([&] { return service.events().size() == ids.size(); });
  EXPECT_EQ(service.events(), ids);
  EXPECT_EQ(end(), 0);
}

TEST_F(DaemonTest, KnowsAnEventThatItHasHadBefore) {
  start_with_service();
  EXPECT_EQ(submit(event("$1")).status, 200);
  EXPECT_EQ(Json::parse(submit({event("$1"), event("$2"), event("$2")}).body),
            (Json{{"event_ids", {"$1", "$2", "$2"}}}));
  EXPECT_EQ(submit(event("$3")).status, 200);
  until([&] { return service.events().size() >= 3; });
  EXPECT_EQ(end(), 0);
  start();
  EXPECT_EQ(submit(event("$2")).status, 200);
  EXPECT_EQ(submit(event("$4")).status, 200);
  until([&] { return service.events().size() >= 4; });
  EXPECT_THAT(service.events(), ElementsAre("$1", "$2", "$3", "$4"));
}

TEST_F(DaemonTest, AsksForTheSubmitToken) {
  start_with_service();
  const std::string url = api + std::string(kSubmit);
  const std::string body = event("$1").dump();
  EXPECT_EQ(errcode(ask("POST", url, body)), "401 M_MISSING_TOKEN");
  EXPECT_EQ(errcode(ask("POST", url, body, "other")), "403 M_FORBIDDEN");
  EXPECT_EQ(errcode(ask("POST", url, body, "as-secret-a")), "403 M_FORBIDDEN");
  EXPECT_EQ(errcode(ask("POST", url + "?access_token=" + kSubmitToken, body)), "401 M_MISSING_TOKEN");
  for (const char* path : {"/_snowfox/appservice/v1/users/@a_1:x", "/_snowfox/appservice/v1/rooms/%23a_1:x"}) {
    EXPECT_EQ(errcode(ask("GET", api + path)), "401 M_MISSING_TOKEN");
    EXPECT_EQ(errcode(ask("GET", api + path, "", "other")), "403 M_FORBIDDEN");
  }
  EXPECT_THAT(service.requests, IsEmpty());
}

TEST_F(DaemonTest, SaysWhatIsWrongWithASubmissionAndWhere) {
  start_with_service("max_submit_bytes: 100000, max_event_bytes: 10000");
  const std::string url = api + std::string(kSubmit);
  Json bad_sender = event("$2");
  bad_sender["sender"] = 7;
  Json large = event("$3");
  large["content"]["body"] = std::string(20'000, 'x');
  const std::string deep = R"({"event_id":"$4","content":)" + std::string(5000, '[') + std::string(5000, ']') + "}";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "400 M_NOT_JSON"},
      {"{", "400 M_NOT_JSON"},
      {"7", "400 M_BAD_JSON"},
      {"\"text\"", "400 M_BAD_JSON"},
      {"[[]]", "400 M_BAD_JSON"},
      {"[" + event("$1").dump() + ",]", "400 M_NOT_JSON"},
      {event("$1").dump() + "x", "400 M_NOT_JSON"},
      {std::string("{\"event_id\":\"\xff\xfe\"}"), "400 M_NOT_JSON"},
      {std::string("\0\0\0", 3), "400 M_NOT_JSON"},
      {deep, "400 M_NOT_JSON"},
      {Json{event("$1"), bad_sender}.dump(), "400 M_BAD_JSON"},
      {large.dump(), "413 M_TOO_LARGE"},
  };
  for (const auto& [body, code] : cases) {
    const HttpClientResponse response = ask("POST", url, body, kSubmitToken);
    EXPECT_EQ(errcode(response), code) << body.substr(0, 100) << "\n" << response.body;
    EXPECT_THAT(Json::parse(response.body).value("error", ""), Not(IsEmpty()));
  }
  EXPECT_THAT(submit({event("$1"), bad_sender}).body, HasSubstr("events[1].sender: expected a string"));
  EXPECT_EQ(errcode(ask("POST", url, std::string(100'001, ' '), kSubmitToken)), "413 M_TOO_LARGE");
  // None of the lists was taken in part.
  EXPECT_EQ(submit(event("$9")).status, 200);
  until([&] { return !service.events().empty(); });
  EXPECT_THAT(service.events(), ElementsAre("$9"));
}

TEST_F(DaemonTest, RefusesPathsAndMethodsItDoesNotKnow) {
  start_with_service();
  EXPECT_EQ(errcode(ask("GET", api + "/")), "404 M_UNRECOGNIZED");
  EXPECT_EQ(errcode(ask("GET", api + "/_matrix/client/v1/appservice//ping")), "404 M_UNRECOGNIZED");
  EXPECT_EQ(errcode(ask("PUT", api + std::string(kSubmit), "{}", kSubmitToken)), "405 M_UNRECOGNIZED");
  EXPECT_EQ(errcode(ask("GET", ping_url("a"))), "405 M_UNRECOGNIZED");
  // The two addresses are for different people.
  EXPECT_EQ(errcode(ask("GET", api + "/metrics")), "404 M_UNRECOGNIZED");
  EXPECT_EQ(errcode(ask("POST", admin + std::string(kSubmit), "{}", kSubmitToken)), "404 M_UNRECOGNIZED");
}

TEST_F(DaemonTest, AsksForPatienceUntilTheStoreWasRead) {
  store = "postgres://127.0.0.1:1/nowhere";
  write_service("a", service.url());
  write_configuration("a.yaml", "", "shutdown_timeout: 0s\n");
  try {
    start();
  } catch (const std::exception&) {
    GTEST_SKIP() << "built without PostgreSQL";
  }
  EXPECT_EQ(ask("GET", admin + "/ready").status, 503);
  EXPECT_EQ(ask("GET", admin + "/live").status, 200);
  const HttpClientResponse answer = ping();
  EXPECT_EQ(answer.status, 503);
  EXPECT_TRUE(answer.headers.contains("Retry-After"));
  EXPECT_EQ(ask("GET", api + "/_snowfox/appservice/v1/users/@a_1:x", "", kSubmitToken).status, 503);
  EXPECT_EQ(end(), 0);
}

// --- pings ---

TEST_F(DaemonTest, TellsHowLongAPingTook) {
  start_with_service();
  const HttpClientResponse response = ping("a", R"({"transaction_id":"t1"})");
  EXPECT_EQ(response.status, 200);
  EXPECT_GE(Json::parse(response.body).at("duration_ms").get<int>(), 0);
  ASSERT_EQ(service.requests.size(), 1U);
  EXPECT_EQ(service.requests[0].method + " " + service.requests[0].target, "POST /_matrix/app/v1/ping");
  EXPECT_EQ(Json::parse(service.requests[0].body), (Json{{"transaction_id", "t1"}}));
  EXPECT_EQ(service.requests[0].authorization, "Bearer hs-secret-a");
  EXPECT_EQ(ping("a", "").status, 200);
  EXPECT_EQ(ask("POST", ping_url("a") + "?access_token=as-secret-a", "{}").status, 200);
}

TEST_F(DaemonTest, LetsOnlyTheServiceItselfAskForAPing) {
  write_service("a", service.url());
  write_service("b", service.url());
  write_service("n", "null");
  write_configuration("a.yaml, b.yaml, n.yaml");
  start();
  until([&] { return ask("GET", admin + "/ready").status == 200; });
  EXPECT_EQ(errcode(ask("POST", ping_url("a"), "{}")), "401 M_MISSING_TOKEN");
  EXPECT_EQ(errcode(ask("POST", ping_url("a"), "{}", "other")), "403 M_FORBIDDEN");
  EXPECT_EQ(errcode(ask("POST", ping_url("a"), "{}", "hs-secret-a")), "403 M_FORBIDDEN");
  EXPECT_EQ(errcode(ask("POST", ping_url("a"), "{}", "as-secret-b")), "403 M_FORBIDDEN");
  EXPECT_EQ(errcode(ask("POST", ping_url("unknown"), "{}", "as-secret-b")), "403 M_FORBIDDEN");
  EXPECT_EQ(errcode(ping("n")), "400 M_URL_NOT_SET");
  EXPECT_EQ(errcode(ping("a", R"({"transaction_id":7})")), "400 M_BAD_JSON");
  for (const char* text : {"{", "transaction_id=t1", "\xff", " "}) {
    EXPECT_EQ(errcode(ping("a", text)), "400 M_NOT_JSON") << text;
  }
  for (const char* text : {"[]", "7", "null", "\"t1\""}) {
    EXPECT_EQ(errcode(ping("a", text)), "400 M_BAD_JSON") << text;
  }
  EXPECT_EQ(errcode(ping("a", std::string(20'000, ' '))), "413 M_TOO_LARGE");
  EXPECT_THAT(service.requests, IsEmpty());
}

TEST_F(DaemonTest, TellsWhyAPingDidNotArrive) {
  std::vector<HttpResponder> kept;
  service.answer = [](HttpEvent& event, const auto&) {
    event.answer({.status = 500, .content_type = "application/json", .body = "{\"errcode\":\"M_\xff\"}"});
  };
  write_service("b", "http://127.0.0.1:1");
  write_service("a", service.url());
  write_configuration("a.yaml, b.yaml", "response_timeout: 100ms, body_timeout: 100ms");
  start();
  until([&] { return ask("GET", admin + "/ready").status == 200; });
  const HttpClientResponse status = ping("a");
  EXPECT_EQ(errcode(status), "502 M_BAD_STATUS");
  EXPECT_EQ(Json::parse(status.body).at("status"), 500);
  EXPECT_EQ(errcode(ping("b")), "502 M_CONNECTION_FAILED");
  service.answer = [&kept](HttpEvent& event, const auto&) { kept.push_back(event.take_responder()); };
  EXPECT_EQ(errcode(ping("a")), "504 M_CONNECTION_TIMEOUT");
  service.answer = [](HttpEvent& event, const auto&) { event.responder().abort(); };
  EXPECT_EQ(errcode(ping("a")), "502 M_CONNECTION_FAILED");
}

// Goal: it is the connecting that takes too long, for there is no answer that could.
TEST_F(DaemonTest, TellsThatAPingsConnectionWasNotMadeInTime) {
  const CrowdedListener crowded;
  ASSERT_TRUE(crowded.full());
  write_service("a", crowded.url());
  write_configuration("a.yaml", "connect_timeout: 100ms, response_timeout: 1h, body_timeout: 1h");
  start();
  until([&] { return ask("GET", admin + "/ready").status == 200; });
  const HttpClientResponse answer = ping();
  EXPECT_EQ(errcode(answer), "504 M_CONNECTION_TIMEOUT");
  EXPECT_THAT(Json::parse(answer.body).value("error", ""), HasSubstr("could not connect in time"));
  EXPECT_EQ(end(), 0);
}

// --- users and rooms ---

TEST_F(DaemonTest, AsksTheServiceWhetherItKnowsOfANameOfItsNamespace) {
  start_with_service();
  const auto query = [&](const std::string& what) {
    return ask("GET", api + "/_snowfox/appservice/v1/" + what, "", kSubmitToken);
  };
  const HttpClientResponse user = query("users/%40a_1%2Fx%3Ay");
  EXPECT_EQ(Json::parse(user.body), (Json{{"exists", true}, {"service", "a"}}));
  EXPECT_EQ(service.requests.at(0).target, "/_matrix/app/v1/users/%40a_1%2Fx%3Ay");
  EXPECT_EQ(query("rooms/%23a_1:x").status, 200);
  EXPECT_EQ(service.requests.at(1).target, "/_matrix/app/v1/rooms/%23a_1%3Ax");
  EXPECT_EQ(errcode(query("users/@other:x")), "404 M_NOT_FOUND");
  EXPECT_EQ(errcode(query("users/%FF%00")), "404 M_NOT_FOUND");
  EXPECT_EQ(service.requests.size(), 2U) << "nobody is asked for what is nobody's";

  service.answer = [](HttpEvent& event, const auto&) {
    event.answer({.status = 404, .content_type = "application/json", .body = R"({"errcode":"M_NOT_FOUND"})"});
  };
  EXPECT_EQ(errcode(query("users/@a_1:x")), "404 M_NOT_FOUND");
  EXPECT_THAT(program->errors(), Not(HasSubstr("did not say")));
  service.answer = [](HttpEvent& event, const auto&) { event.answer({.status = 500}); };
  EXPECT_EQ(errcode(query("users/@a_1:x")), "404 M_NOT_FOUND");
  EXPECT_THAT(program->errors(), HasSubstr("did not say"));
}

// As matrix-appservice 2.0.0 does for an alias that it does not know.
TEST_F(DaemonTest, TakesAnErrorThatIsCalledASuccessForNo) {
  start_with_service();
  service.answer = [](HttpEvent& event, const auto&) {
    event.answer({.content_type = "application/json", .body = R"({"errcode":"M_NOT_FOUND"})"});
  };
  for (const char* what : {"rooms/%23a_1:x", "users/@a_1:x"}) {
    EXPECT_EQ(errcode(ask("GET", api + "/_snowfox/appservice/v1/" + what, "", kSubmitToken)), "404 M_NOT_FOUND");
  }
  EXPECT_EQ(service.requests.size(), 2U);
}

// --- how services are asked ---

// Goal: an answer that has begun is not waited for longer than one that has not.
TEST_F(DaemonTest, WaitsForNoAnswerThatStandsStill) {
  std::vector<HttpResponder> kept;
  service.answer = [&kept](HttpEvent& event, const auto&) {
    kept.push_back(event.take_responder());
    kept.back().begin({.content_type = "application/json", .body = "{"}, 2);
  };
  start_with_service("response_timeout: 1h, body_timeout: 100ms, first_retry: 50ms");
  EXPECT_EQ(submit(event("$1")).status, 200);
  until_said("the body stood still for too long");
  service.answer = [](HttpEvent& event, const auto&) { HttpService::ok(event); };
  until([&] { return metric(R"(synapse_appservice_api_sent_events{service="a"})") == 1; });
}

TEST_F(DaemonTest, WaitsForNoAnswerThatNeverEnds) {
  std::vector<HttpResponder> kept;
  service.answer = [&kept](HttpEvent& event, const auto&) {
    kept.push_back(event.take_responder());
    kept.back().begin({.content_type = "application/json", .body = "{"});
  };
  start_with_service("connect_timeout: 200ms, response_timeout: 200ms, body_timeout: 200ms, first_retry: 50ms");
  EXPECT_EQ(submit(event("$1")).status, 200);
  until([&] {
    for (HttpResponder& one : kept) one.write(" ");
    return program->errors().find("service is down") != std::string::npos;
  });
  service.answer = [](HttpEvent& event, const auto&) { HttpService::ok(event); };
  until([&] { return metric(R"(synapse_appservice_api_sent_events{service="a"})") == 1; });
}

TEST_F(DaemonTest, FollowsNoRedirectButThe308) {
  start_with_service("first_retry: 50ms");
  bool moved = false;
  service.answer = [&](HttpEvent& event, const HttpService::Request& request) {
    if (request.path.starts_with("/moved")) return HttpService::ok(event);
    const std::string where = "/moved" + request.path;
    event.answer({.status = std::exchange(moved, true) ? 308 : 302, .fields = {{"Location", where}}});
  };
  EXPECT_EQ(submit(event("$1")).status, 200);
  until([&] { return !service.requests.empty() && service.requests.back().path.starts_with("/moved"); });
  ASSERT_EQ(service.requests.size(), 3U);
  EXPECT_EQ(service.requests[2].method, "PUT");
  EXPECT_EQ(service.requests[2].body, service.requests[0].body);
  EXPECT_EQ(service.requests[2].authorization, "Bearer hs-secret-a");
  EXPECT_THAT(program->errors(), HasSubstr("HTTP 302"));
}

// Goal: services that hang keep none that is well from its events, though all are behind one address.
TEST_F(DaemonTest, SendsToAServiceThatIsWellThoughMoreThanAHundredBesideItHang) {
  constexpr int kHanging = 150;
  std::string files = "a.yaml";
  Json events = Json::array();
  for (int i = 0; i < kHanging; ++i) {
    const std::string id = "h" + std::to_string(i);
    write_service(id, service.url() + "/hang");
    files += ", " + id + ".yaml";
    events.push_back(event("$" + id, "@" + id + "_1:example.org"));
  }
  std::vector<HttpResponder> kept;
  service.answer = [&kept](HttpEvent& event, const HttpService::Request& request) {
    if (!request.path.starts_with("/hang")) return HttpService::ok(event);
    kept.push_back(event.take_responder());
  };
  write_service("a", service.url());
  write_configuration(files, "", "shutdown_timeout: 0s\n");
  start();
  until([&] { return ask("GET", admin + "/ready").status == 200; });
  EXPECT_EQ(submit(events).status, 200);
  until([&] { return kept.size() == kHanging; });
  EXPECT_EQ(submit(event("$well")).status, 200);
  until([&] { return service.requests.back().path == "/_matrix/app/v1/transactions/1"; });
  end();
}

// Anybody may ask for them, unless there is a submit token.
TEST_F(DaemonTest, SendsEventsThoughQueriesHang) {
  std::vector<HttpResponder> kept;
  service.answer = [&kept](HttpEvent& event, const HttpService::Request& request) {
    if (request.method == "PUT") return HttpService::ok(event);
    kept.push_back(event.take_responder());
  };
  start_with_service("", "shutdown_timeout: 0s\n");
  HttpClient many(loop, {.most_per_host = 1000});
  std::vector<Promise<HttpClientResponse>> asked;
  for (int i = 0; i < 150; ++i) {
    HttpClientRequest request;
    request.url = api + "/_snowfox/appservice/v1/users/@a_" + std::to_string(i) + ":example.org";
    request.headers.add("Authorization", "Bearer submit-secret-0");
    asked.push_back(many.send(std::move(request)));
  }
  until([&] { return kept.size() >= 20; });
  EXPECT_EQ(submit(event("$1")).status, 200);
  until([&] { return service.events().size() == 1; });
  EXPECT_LT(kept.size(), 100U) << "what is asked in passing has a limit";
  end();
}

// Goal: where a service's redirect leads, its token does not go along, though the request does.
TEST_F(DaemonTest, NeverTellsAnotherHostTheToken) {
  HttpService other(loop);
  start_with_service();
  service.answer = [&](HttpEvent& event, const HttpService::Request& request) {
    const std::string where = other.url() + request.path;
    event.answer({.status = 308, .fields = {{"Location", where}}});
  };
  EXPECT_EQ(ping("a", R"({"transaction_id":"t1"})").status, 200);
  EXPECT_EQ(submit(event("$1")).status, 200);
  until([&] { return metric(R"(synapse_appservice_api_sent_events{service="a"})") == 1; });

  ASSERT_EQ(service.requests.size(), 2U);
  ASSERT_EQ(other.requests.size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    const HttpService::Request& asked = service.requests[i];
    const HttpService::Request& moved = other.requests[i];
    EXPECT_EQ(asked.authorization, "Bearer hs-secret-a");
    EXPECT_EQ(moved.method + " " + moved.path, asked.method + " " + asked.path);
    EXPECT_EQ(moved.body, asked.body);
    EXPECT_EQ(moved.authorization, "");
    EXPECT_THAT(moved.target + moved.fields + moved.body, Not(HasSubstr("secret")));
  }
}

TEST_F(DaemonTest, SaysTheTokenInTheQueryIfToldTo) {
  std::vector<HttpResponder> kept;
  start_with_service("response_timeout: 100ms, body_timeout: 100ms, first_retry: 50ms", "legacy_query_token: true\n");
  EXPECT_EQ(ping().status, 200);
  EXPECT_EQ(service.requests[0].target, "/_matrix/app/v1/ping?access_token=hs-secret-a");
  // What fails is told without it: see TearDown().
  service.answer = [&kept](HttpEvent& event, const auto&) { kept.push_back(event.take_responder()); };
  EXPECT_EQ(errcode(ping()), "504 M_CONNECTION_TIMEOUT");
  EXPECT_EQ(submit(event("$1")).status, 200);
  until_said("service is down");
  service.answer = [](HttpEvent& event, const auto&) { event.responder().abort(); };
  EXPECT_EQ(errcode(ping()), "502 M_CONNECTION_FAILED");
  service.answer = [](HttpEvent& event, const HttpService::Request& request) {
    event.answer({.status = 302, .fields = {{"Location", request.target}}});
  };
  EXPECT_EQ(errcode(ping()), "502 M_BAD_STATUS");
}

}  // namespace
}  // namespace snowfox::appservice
