#include "appservice/admin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "appservice/secrets.h"

#include "admin_world.h"
#include "support/sockets.h"

namespace snowfox::appservice {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kRoot = "/_snowfox/appservice/v1";

struct Reply {
  int status = 0;
  std::string head;
  std::string body;
  nlohmann::json json() const { return nlohmann::json::parse(body); }
};

class AdminTest : public testing::Test {
 protected:
  void start(const std::vector<std::string>& ids = {"a", "b", "quiet"},
             const Address& address = Address::tcp("127.0.0.1", 0)) {
    world_ = std::make_unique<AdminWorld>(loop_, ids, address);
    ASSERT_TRUE(until([&] { return world_->ready(); }));
  }
  bool until(const std::function<bool()>& condition) {
    const TimePoint end = loop_.now() + std::chrono::minutes(5);
    while (!condition() && loop_.now() < end) loop_.run_for(std::chrono::milliseconds(1));
    return condition();
  }
  /// It has all events that it was sent, and that is written down.
  bool at_rest(const std::string& id, std::uint64_t events) {
    return status(id).sent_events == events && status(id).backlog == 0;
  }
  DeliveryStatus status(const std::string& id) { return world_->scheduler().find(id)->status(); }

  Reply ask(const std::string& method, const std::string& path, const std::string& fields = "X-SnowFox-Admin: 1\r\n",
            const std::string& host = "localhost:1") {
    const Descriptor client = connect_to(world_->address());
    send_some(client.get(),
              method + " " + path + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n" + fields + "\r\n");
    std::string all;
    EXPECT_TRUE(until([&] {
      all += receive_some(client.get());
      return at_end(client.get());
    }));
    Reply reply;
    const std::size_t end = all.find("\r\n\r\n");
    if (!all.starts_with("HTTP/1.1 ") || end == std::string::npos) return reply;
    reply.status = std::stoi(all.substr(9, 3));
    reply.head = all.substr(0, end + 2);
    reply.body = all.substr(end + 4);
    return reply;
  }
  nlohmann::json service(const std::string& id) {
    return ask("GET", kRoot + "/services?service=" + id).json().at("services").at(0);
  }
  std::string metrics() { return ask("GET", "/metrics").body; }

  /// One who watches: a connection, and what came over it.
  struct Watching {
    Descriptor socket;
    std::string received;
  };
  Watching watch(const std::string& query = "") {
    Watching one{connect_to(world_->address()), ""};
    send_some(one.socket.get(), "GET " + kRoot + "/watch" + query + " HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    return one;
  }
  bool hears(Watching& watching, const std::string& what) {
    return until([&] {
      watching.received += receive_some(watching.socket.get());
      return watching.received.find(what) != std::string::npos;
    });
  }

  LoopManager loop_;
  std::unique_ptr<AdminWorld> world_;
};

TEST_F(AdminTest, ListsServicesThoseWithTroubleFirst) {
  start({"a", "b", "quiet", "z"});
  world_->behaviours["z"] = {500, "on fire"};
  world_->submit("z", 3);
  world_->submit("a", 2);
  ASSERT_TRUE(until([&] { return !status("z").up && status("z").next_retry && at_rest("a", 2); }));

  const Reply reply = ask("GET", kRoot + "/services");
  EXPECT_EQ(reply.status, 200);
  EXPECT_THAT(reply.head, AllOf(HasSubstr("Content-Type: application/json\r\n"), HasSubstr("Cache-Control: no-store")));
  const nlohmann::json all = reply.json();
  EXPECT_EQ(all.at("version"), "1.2.3");
  EXPECT_LE(all.at("started"), all.at("now"));
  EXPECT_EQ(all.at("store").at("where"), "sqlite:store.db");
  EXPECT_EQ(all.at("store").at("trouble"), "");
  EXPECT_TRUE(all.at("store").at("backlog_bytes").is_number_unsigned());
  EXPECT_EQ(all.at("intake"), (nlohmann::json{{"events_total", 7}, {"waiting", 2}}));
  EXPECT_EQ(all.at("totals").at("services"), 4);
  EXPECT_EQ(all.at("totals").at("down"), 1);
  EXPECT_EQ(all.at("totals").at("backlog"), 3);
  EXPECT_EQ(all.at("unregistered"), nlohmann::json::array());

  const nlohmann::json& services = all.at("services");
  ASSERT_EQ(services.size(), 4U);
  const nlohmann::json& first = services[0];
  EXPECT_EQ(first.at("id"), "z");
  EXPECT_EQ(first.at("url"), "http://z/base") << "without what is secret";
  EXPECT_EQ(first.at("state"), "down");
  EXPECT_EQ(first.at("doing"), "waiting to retry");
  EXPECT_EQ(first.at("backlog"), 3);
  EXPECT_EQ(first.at("transaction"), 1);
  EXPECT_EQ(first.at("failures"), 1);
  EXPECT_EQ(first.at("failed_transactions"), 1);
  EXPECT_GE(first.at("oldest_age_ms"), 0);
  EXPECT_GT(first.at("next_retry_ms"), 0);
  EXPECT_LE(first.at("next_retry_ms"), 132'000) << "two minutes and a tenth";
  EXPECT_EQ(first.at("last_error"), "HTTP 500: on fire");
  EXPECT_LE(first.at("down_since"), all.at("now"));
  EXPECT_EQ(services[1].at("id"), "a");
  EXPECT_EQ(services[1].at("state"), "up");
  EXPECT_EQ(services[1].at("sent_events"), 2);
  EXPECT_EQ(services[1].at("next_retry_ms"), nullptr);
  EXPECT_EQ(services[1].at("oldest_age_ms"), nullptr);
  EXPECT_EQ(services[3].at("url"), nullptr);
}

TEST_F(AdminTest, ListsThousandsOfServicesInParts) {
  std::vector<std::string> ids;
  for (int i = 0; i < 3000; ++i) ids.push_back("service-" + std::to_string(10'000 + i));
  start(ids);
  nlohmann::json all = ask("GET", kRoot + "/services").json();
  EXPECT_EQ(all.at("services").size(), 200U);
  EXPECT_EQ(all.at("matching"), 3000);
  all = ask("GET", kRoot + "/services?limit=1000&offset=2999").json();
  EXPECT_EQ(all.at("services").size(), 1U);
  EXPECT_EQ(all.at("services").at(0).at("id"), "service-12999");
  all = ask("GET", kRoot + "/services?match=SERVICE-1010&limit=5").json();
  EXPECT_EQ(all.at("services").size(), 5U);
  EXPECT_EQ(all.at("matching"), 10);
  EXPECT_EQ(ask("GET", kRoot + "/services?limit=1001").status, 400);
  EXPECT_EQ(ask("GET", kRoot + "/services?limit=-1").status, 400);
  EXPECT_EQ(ask("GET", kRoot + "/services?offset=").status, 400);
}

TEST_F(AdminTest, PausesAndResumes) {
  start();
  Reply reply = ask("POST", kRoot + "/services/a/pause");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.json().at("paused"), true);
  world_->submit("a", 1);
  ASSERT_TRUE(until([&] { return status("a").backlog == 1; }));
  EXPECT_EQ(service("a").at("paused"), true);
  reply = ask("POST", kRoot + "/services/a/resume");
  EXPECT_EQ(reply.json().at("paused"), false);
  EXPECT_TRUE(until([&] { return status("a").sent_events == 1; }));
}

TEST_F(AdminTest, TellsHowLongEventsWaitForAPausedService) {
  start();
  ask("POST", kRoot + "/services/a/pause");
  const std::string line = "\nsnowfox_appservice_lag_seconds{service=\"a\"} ";
  EXPECT_THAT(metrics(), HasSubstr(line + "0\n"));
  world_->submit("a", 1);
  ASSERT_TRUE(until([&] { return status("a").backlog == 1; }));
  EXPECT_TRUE(until([&] { return metrics().find(line + "0\n") == std::string::npos; }));
  EXPECT_THAT(metrics(), HasSubstr(line));
  EXPECT_GT(service("a").at("oldest_age_ms"), 0);
}

TEST_F(AdminTest, DoesNotGuessHowLongEventsHaveWaited) {
  start();
  world_->behaviours["a"] = {400};
  world_->submit("a", 1);
  ASSERT_TRUE(until([&] { return status("a").parked == 1; }));
  ask("POST", kRoot + "/services/a/pause");
  EXPECT_EQ(ask("POST", kRoot + "/services/a/parked/1/requeue").json().at("backlog"), 1);
  EXPECT_THAT(metrics(), AllOf(Not(HasSubstr("snowfox_appservice_lag_seconds{service=\"a\"}")),
                               HasSubstr("snowfox_appservice_lag_seconds{service=\"b\"} 0\n")));
  EXPECT_EQ(service("a").at("oldest_age_ms"), nullptr);
}

TEST_F(AdminTest, TriesAgainWhatWaits) {
  start();
  Reply reply = ask("POST", kRoot + "/services/a/retry");
  EXPECT_EQ(reply.status, 409);
  EXPECT_EQ(reply.json().at("errcode"), "M_BAD_STATE");
  world_->behaviours["a"] = {503};
  world_->submit("a", 1);
  ASSERT_TRUE(until([&] { return status("a").next_retry.has_value(); }));
  world_->behaviours["a"] = {200};
  reply = ask("POST", kRoot + "/services/a/retry");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.json().at("next_retry_ms"), 0);
  EXPECT_TRUE(until([&] { return status("a").up && status("a").sent_events == 1; }));
}

TEST_F(AdminTest, TellsWhatIsParkedAndPutsItBack) {
  start();
  world_->behaviours["a"] = {400, "no such thing as secret-hs-a"};
  world_->submit("a", 2);
  ASSERT_TRUE(until([&] { return status("a").parked == 1; }));
  const nlohmann::json parked = ask("GET", kRoot + "/services/a/parked").json();
  EXPECT_EQ(parked.at("service"), "a");
  EXPECT_EQ(parked.at("number"), 1);
  ASSERT_EQ(parked.at("parked").size(), 1U);
  EXPECT_EQ(parked.at("parked").at(0).at("id"), 1);
  EXPECT_EQ(parked.at("parked").at(0).at("events"), 2);
  EXPECT_EQ(parked.at("parked").at(0).at("reason"), "HTTP 400: no such thing as …");

  EXPECT_EQ(ask("POST", kRoot + "/services/a/parked/2/requeue").status, 404);
  EXPECT_EQ(ask("POST", kRoot + "/services/a/parked/99999999999999999999/requeue").status, 404);
  EXPECT_EQ(ask("POST", kRoot + "/services/a/parked/x/requeue").status, 404);
  world_->behaviours["a"] = {200};
  EXPECT_EQ(ask("POST", kRoot + "/services/a/parked/1/requeue").status, 200);
  EXPECT_TRUE(until([&] { return status("a").sent_events == 2 && status("a").parked == 0; }));
  EXPECT_EQ(ask("GET", kRoot + "/services/a/parked").json().at("parked"), nlohmann::json::array());
}

TEST_F(AdminTest, Pings) {
  start();
  Reply reply = ask("POST", kRoot + "/services/a/ping");
  EXPECT_EQ(reply.status, 200);
  EXPECT_GE(reply.json().at("duration_ms"), 0);
  world_->behaviours["a"] = {500, "secret-as-a"};
  reply = ask("POST", kRoot + "/services/a/ping");
  EXPECT_EQ(reply.status, 502);
  EXPECT_EQ(reply.json().at("errcode"), "M_BAD_STATUS");
  EXPECT_EQ(reply.json().at("status"), 500);
  EXPECT_EQ(reply.json().at("body"), R"({"error":"…"})");
  EXPECT_THAT(reply.head, HasSubstr("Cache-Control: no-store\r\n"));
  EXPECT_THAT(reply.body, Not(HasSubstr("secret")));
  world_->behaviours["a"] = {0, "refused"};
  EXPECT_EQ(ask("POST", kRoot + "/services/a/ping").json().at("errcode"), "M_CONNECTION_FAILED");
  reply = ask("POST", kRoot + "/services/quiet/ping");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.json().at("errcode"), "M_URL_NOT_SET");
}

TEST_F(AdminTest, KnowsNoOtherServices) {
  start();
  for (const std::string path : {"/services/x/pause", "/services/x/resume", "/services/x/retry", "/services/x/ping",
                                 "/services/x/parked/1/requeue"}) {
    const Reply reply = ask("POST", kRoot + path);
    EXPECT_EQ(reply.status, 404) << path;
    EXPECT_EQ(reply.json().at("errcode"), "M_NOT_FOUND") << path;
  }
  EXPECT_EQ(ask("GET", kRoot + "/services/x/parked").status, 404);
  EXPECT_EQ(ask("GET", kRoot + "/services?service=x").status, 404);
}

TEST_F(AdminTest, SaysThatTheStoreIsInTrouble) {
  start();
  world_->store().told = "the disk is full";
  EXPECT_EQ(ask("GET", kRoot + "/services").json().at("store").at("trouble"), "the disk is full");
  for (const std::string path : {"/services/a/pause", "/services/a/parked/1/requeue"}) {
    const Reply reply = ask("POST", kRoot + path);
    EXPECT_EQ(reply.status, 503) << path;
    EXPECT_THAT(reply.head, HasSubstr("Retry-After: "));
    EXPECT_EQ(reply.json().at("errcode"), "M_UNKNOWN");
  }
  EXPECT_EQ(ask("GET", kRoot + "/services/a/parked").status, 503);
  EXPECT_FALSE(status("a").paused);
  EXPECT_THAT(metrics(), HasSubstr("\nsnowfox_appservice_store_trouble 1\n"));
}

// Goal: no page of another site can change anything, nor read anything under a name that it has made to mean this host.
TEST_F(AdminTest, RefusesWhatAnotherSiteCouldSend) {
  start();
  world_->admin().set_hosts({"admin.example.org"});
  for (const std::string fields : {"", "X-SnowFox-Admin: 0\r\n", "X-SnowFox-Admin:\r\n"}) {
    const Reply reply = ask("POST", kRoot + "/services/a/pause", fields);
    EXPECT_EQ(reply.status, 403);
    EXPECT_THAT(reply.json().at("error"), HasSubstr("X-SnowFox-Admin: 1"));
  }
  EXPECT_EQ(ask("GET", kRoot + "/services/a/pause").status, 405);
  EXPECT_THAT(ask("OPTIONS", kRoot + "/services/a/pause").head, Not(HasSubstr("Access-Control")));
  for (const std::string host : {"evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example",
                                 "[::1].evil.example", "[evil]", "1", "::1"}) {
    for (const std::string path : {"/", "/services", "/watch", "/services/a/parked"}) {
      // 400 for what is no host at all.
      EXPECT_THAT(ask("GET", path == "/" ? path : kRoot + path, "", host).status, ::testing::AnyOf(403, 400))
          << host << path;
    }
    EXPECT_THAT(ask("POST", kRoot + "/services/a/pause", "X-SnowFox-Admin: 1\r\n", host).status,
                ::testing::AnyOf(403, 400))
        << host;
  }
  EXPECT_FALSE(status("a").paused);
  for (const std::string host :
       {"127.0.0.1", "10.1.2.3:9009", "[::1]:9009", "[::1]", "LocalHost", "admin.example.org:1"}) {
    EXPECT_EQ(ask("GET", kRoot + "/services", "", host).status, 200) << host;
  }
}

TEST_F(AdminTest, ServesAPageThatLetsNothingElseIn) {
  start();
  const Reply page = ask("GET", "/");
  EXPECT_EQ(page.status, 200);
  EXPECT_THAT(page.head, AllOf(HasSubstr("Content-Type: text/html; charset=utf-8\r\n"), HasSubstr("default-src 'none'"),
                               HasSubstr("frame-ancestors 'none'"), HasSubstr("X-Content-Type-Options: nosniff\r\n"),
                               HasSubstr("Referrer-Policy: no-referrer\r\n"), Not(HasSubstr("unsafe"))));
  const std::size_t at = page.head.find("script-src 'nonce-") + 18;
  const std::string nonce = page.head.substr(at, page.head.find('\'', at) - at);
  EXPECT_EQ(nonce.size(), 32U);
  EXPECT_THAT(page.body, AllOf(StartsWith("<!doctype html>"), HasSubstr("<script nonce=\"" + nonce + "\">"),
                               HasSubstr("<style nonce=\"" + nonce + "\">"), Not(HasSubstr("{{")), HasSubstr("</html>"),
                               Not(HasSubstr("innerHTML")), Not(HasSubstr("http://")), Not(HasSubstr("https://"))));
  EXPECT_THAT(ask("GET", "/").body, Not(HasSubstr(nonce)));
}

TEST_F(AdminTest, TellsWatchersWhatHasChanged) {
  start();
  Watching one = watch();
  ASSERT_TRUE(hears(one, "\n\n"));
  EXPECT_THAT(one.received, AllOf(HasSubstr("Content-Type: text/event-stream\r\n"), HasSubstr("\ndata: {"),
                                  HasSubstr("\"state\":\"up\""), Not(HasSubstr("\"state\":\"down\""))));
  world_->behaviours["a"] = {500, "no\nmore <b>"};
  world_->submit("a", 1);
  ASSERT_TRUE(hears(one, R"("last_error":"HTTP 500: no more <b>")"));
  EXPECT_THAT(one.received, HasSubstr("\"state\":\"down\""));
  const auto count = [&] {
    std::size_t number = 0;
    for (std::size_t at = 0; (at = one.received.find("data: ", at)) != std::string::npos; ++at) ++number;
    return number;
  };
  const std::size_t before = count();
  // Meanwhile nothing changes but the time.
  Watching other = watch("?service=b");
  ASSERT_TRUE(hears(other, "\n\n"));
  EXPECT_THAT(other.received, Not(HasSubstr("\"id\":\"a\"")));
  world_->store().told = "the disk is full";
  ASSERT_TRUE(hears(other, "the disk is full"));
  ASSERT_TRUE(hears(one, "the disk is full"));
  EXPECT_EQ(count(), before + 1);
}

TEST_F(AdminTest, HasSoManyWatchersAndForgetsThoseThatGo) {
  start();
  std::vector<Watching> all;
  for (std::size_t i = 0; i < Watchers::kMost; ++i) {
    all.push_back(watch());
    ASSERT_TRUE(hears(all.back(), "\n\n"));
  }
  const Reply refused = ask("GET", kRoot + "/watch");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.json().at("errcode"), "M_LIMIT_EXCEEDED");
  EXPECT_EQ(ask("HEAD", kRoot + "/watch").status, 200);
  all.pop_back();
  // Closed connections are noticed at the latest when something is written to them.
  EXPECT_TRUE(until([&] {
    world_->store().told += '.';
    return world_->admin().watchers() < Watchers::kMost;
  }));
  Watching next = watch();
  EXPECT_TRUE(hears(next, "\ndata: {"));
}

// Goal: who does not read costs what the kernel and the watermark hold, and hears how things are once it reads.
TEST_F(AdminTest, LeavesOutWatchersThatDoNotRead) {
  const TemporaryDirectory directory;
  std::vector<std::string> ids;
  for (int i = 0; i < 1000; ++i) ids.push_back(std::string(500, 'x') + std::to_string(i));
  // Of a Unix socket the kernel holds little.
  start(ids, Address::unix_socket(directory / "admin"));
  Watching slow = watch("?limit=1000");
  Watching quick = watch("?limit=1");
  ASSERT_TRUE(hears(quick, "\n\n"));
  for (int i = 0; i < 4; ++i) {
    world_->store().told = "trouble " + std::to_string(i) + ".";
    ASSERT_TRUE(hears(quick, world_->store().told));
  }
  std::size_t most = 0;
  for (const auto& waiting : loop_.waiting()) most = std::max(most, waiting.pending_bytes);
  EXPECT_GT(most, 1U << 20) << "what waits for the slow one";
  EXPECT_LT(most, 3U << 20) << "five times what there is to tell would be more";
  world_->store().told = "the last trouble";
  EXPECT_TRUE(hears(slow, "the last trouble"));
  EXPECT_THAT(slow.received.find("trouble 3."), std::string::npos) << "it was left out";
}

TEST_F(AdminTest, EndsItsWatchersWhenTheDaemonEnds) {
  start();
  Watching one = watch();
  ASSERT_TRUE(hears(one, "\n\n"));
  bool done = false;
  world_->admin().finish();
  world_->protocol().finish([&] { done = true; });
  EXPECT_TRUE(hears(one, "\r\n0\r\n\r\n"));
  one.socket.reset();
  EXPECT_TRUE(until([&] { return done; }));
  EXPECT_EQ(ask("GET", kRoot + "/watch").status, 503);
}

TEST_F(AdminTest, CountsForEachServiceThatIsThere) {
  start();
  world_->behaviours["b"] = {500};
  world_->submit("a", 3);
  world_->submit("b", 2);
  ASSERT_TRUE(until([&] { return at_rest("a", 3) && status("b").next_retry; }));
  std::string text = metrics();
  for (const std::string line :
       {"synapse_appservice_api_sent_transactions{service=\"a\"} 1",
        "synapse_appservice_api_sent_events{service=\"a\"} 3",
        "synapse_appservice_api_failed_transactions{service=\"b\"} 1", "snowfox_appservice_up{service=\"a\"} 1",
        "snowfox_appservice_up{service=\"b\"} 0", "snowfox_appservice_backlog_events{service=\"b\"} 2",
        "snowfox_appservice_parked_transactions{service=\"a\"} 0", "snowfox_appservice_paused{service=\"a\"} 0",
        "snowfox_appservice_lag_seconds{service=\"a\"} 0", "snowfox_appservice_store_trouble 0",
        "# TYPE snowfox_appservice_intake_events_total counter\nsnowfox_appservice_intake_events_total 7",
        "# TYPE snowfox_appservice_intake_waiting gauge\nsnowfox_appservice_intake_waiting 2"}) {
    EXPECT_THAT(text, HasSubstr("\n" + line + "\n"));
  }
  EXPECT_THAT(text, Not(HasSubstr("snowfox_appservice_lag_seconds{service=\"b\"} 0\n")));

  world_->scheduler().set_registrations(AdminWorld::registrations({"a", "c"}));
  text = metrics();
  EXPECT_THAT(text, AllOf(HasSubstr("snowfox_appservice_up{service=\"c\"} 1\n"), Not(HasSubstr("service=\"b\""))));
  const nlohmann::json all = ask("GET", kRoot + "/services").json();
  EXPECT_EQ(all.at("unregistered"), (nlohmann::json{{{"id", "b"}, {"backlog", 2}, {"parked", 0}}}));
}

TEST_F(AdminTest, TellsNoToken) {
  start({"a"});
  world_->behaviours["a"] = {500, "you said secret-hs-a and I say secret-as-a"};
  world_->submit("a", 1);
  ASSERT_TRUE(until([&] { return status("a").next_retry.has_value(); }));
  const std::string body = ask("GET", kRoot + "/services").body;
  EXPECT_THAT(body, AllOf(HasSubstr("you said … and I say …"), Not(HasSubstr("secret")), Not(HasSubstr("password"))));
  EXPECT_THAT(metrics(), Not(HasSubstr("secret")));

  EXPECT_EQ(without_secrets("PUT /x?access_token=a%2Fb%20c: a/b c?", {"a/b c"}), "PUT /x?access_token=…: …?");
}

}  // namespace
}  // namespace snowfox::appservice
