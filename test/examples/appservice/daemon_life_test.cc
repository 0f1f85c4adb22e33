// How the daemon begins, follows its configuration, and ends.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "examples/appservice/daemon_world.h"

namespace snowfox::appservice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class DaemonLifeTest : public DaemonTest {
 protected:
  /// SIGHUP, and what the log says of it.
  void reload(const std::string& outcome) {
    const std::size_t before = occurrences(outcome);
    program->signal(SIGHUP);
    until([&] { return occurrences(outcome) > before; });
  }
  std::size_t occurrences(const std::string& text) const {
    const std::string errors = program->errors();
    std::size_t count = 0;
    for (std::size_t at = 0; (at = errors.find(text, at)) != std::string::npos; ++at) ++count;
    return count;
  }
};

TEST_F(DaemonLifeTest, TellsHowItIsUsed) {
  EXPECT_EQ(Program("appservice", {"--help"}).wait(), 0);
  EXPECT_EQ(Program("appservice", {"--version"}).wait(), 0);
  EXPECT_EQ(refusal("appservice", {}).first, 2);
  EXPECT_EQ(refusal("appservice", {"--config"}).first, 2);
  const auto [code, said] = refusal("appservice", {"--config", "/none/c.yaml"});
  EXPECT_EQ(code, 1);
  EXPECT_THAT(said, HasSubstr("/none/c.yaml"));
}

TEST_F(DaemonLifeTest, ChecksAConfigurationAndDoesNothingElse) {
  write_service("a", "http://127.0.0.1:1");
  write_configuration();
  std::vector<std::string> check = arguments();
  check.emplace_back("--check-config");
  Program good("appservice", check);
  EXPECT_THAT(good.line(), HasSubstr("ok, 1 service"));
  EXPECT_EQ(good.wait(), 0);
  EXPECT_FALSE(std::filesystem::exists(directory / "store.db"));

  write("b.yaml",
        "id: 'b|c'\nas_token: as-secret-a\nsender_localpart: b\nurl: ftp://x\n"
        "namespaces: {users: [{exclusive: true, regex: '('}]}\n");
  write_configuration("a.yaml, b.yaml", "events_per_transaction: 0", "colour: red\n");
  const auto [code, first] = refusal("appservice", check);
  EXPECT_EQ(code, 1);
  EXPECT_THAT(first, HasSubstr("c.yaml"));
  EXPECT_THAT(first, HasSubstr("limits.events_per_transaction"));
  EXPECT_THAT(first, HasSubstr("colour"));
  write_configuration("a.yaml, b.yaml");
  const auto [again, second] = refusal("appservice", check);
  EXPECT_EQ(again, 1);
  for (const char* key : {"b.yaml:1", "url", "hs_token", "namespaces.users[0].regex"}) {
    EXPECT_THAT(second, HasSubstr(key));
  }
  said += first + second;
}

TEST_F(DaemonLifeTest, AddsChangesAndRemovesServicesWhileItRuns) {
  start_with_service();
  HttpService other(loop);
  submit(event("$1"));
  until([&] { return service.events().size() == 1; });

  write_service("b", other.url());
  write_configuration("a.yaml, b.yaml");
  reload("in force");
  EXPECT_EQ(submit({event("$2", "@b_1:example.org"), event("$3")}).status, 200);
  until([&] { return other.events().size() == 1 && service.events().size() == 2; });

  // Another address for the one, and the other one goes.
  write_service("a", other.url());
  write_configuration("a.yaml");
  reload("in force");
  EXPECT_EQ(submit({event("$4"), event("$5", "@b_1:example.org")}).status, 200);
  until([&] { return other.events().size() == 2; });
  EXPECT_THAT(other.events(), ElementsAre("$2", "$4"));
  EXPECT_THAT(service.events(), ElementsAre("$1", "$3"));
  EXPECT_EQ(errcode(ping("b")), "403 M_FORBIDDEN");
  EXPECT_EQ(end(), 0);
}

TEST_F(DaemonLifeTest, IsAskedByTheNamesThatItsConfigurationHas) {
  const auto asked_as = [this](const std::string& host) {
    HttpClientRequest request;
    request.url = admin + "/_snowfox/appservice/v1/services";
    request.headers.add("Host", host);
    return settle(client.send(std::move(request)));
  };
  start_with_service("", "admin_hosts: [admin.example.org]\n");
  EXPECT_EQ(asked_as("admin.example.org").status, 200);
  const HttpClientResponse refused = asked_as("other.example.org");
  EXPECT_EQ(refused.status, 403);
  EXPECT_THAT(refused.body, HasSubstr("admin_hosts"));
  write_configuration("a.yaml", "", "admin_hosts: [other.example.org]\n");
  reload("in force");
  EXPECT_EQ(asked_as("admin.example.org").status, 403);
  EXPECT_EQ(asked_as("other.example.org:443").status, 200);
  EXPECT_EQ(end(), 0);
}

TEST_F(DaemonLifeTest, GoesOnAsItWasIfTheNewConfigurationIsWrong) {
  start_with_service();
  write_configuration("a.yaml, none.yaml");
  reload("refused");
  EXPECT_THAT(program->errors(), HasSubstr("none.yaml"));
  EXPECT_EQ(submit(event("$1")).status, 200);
  until([&] { return service.events().size() == 1; });
  EXPECT_EQ(end(), 0);
}

TEST_F(DaemonLifeTest, LetsWhatIsOnItsWayArriveBeforeItEnds) {
  std::vector<HttpResponder> waiting;
  service.answer = [&](HttpEvent& event, const HttpService::Request&) { waiting.push_back(event.take_responder()); };
  start_with_service();
  submit(event("$1"));
  submit(event("$2"));
  until([&] { return waiting.size() == 1; });
  program->signal(SIGTERM);
  until_said("ending");
  waiting[0].answer({.content_type = "application/json", .body = "{}"});
  std::optional<int> code;
  until([&] { return (code = program->ended()).has_value(); });
  EXPECT_EQ(code, 0);
  EXPECT_EQ(service.requests.size(), 1);

  service.answer = [](HttpEvent& event, const HttpService::Request&) { HttpService::ok(event); };
  start();
  until([&] { return service.events().size() == 2; });
  // The first was acknowledged, and that was written down: it does not come again.
  EXPECT_EQ(service.requests.size(), 2);
  EXPECT_THAT(service.events(), ElementsAre("$1", "$2"));
}

TEST_F(DaemonLifeTest, DoesNotWaitForAServiceThatHangsLongerThanItIsGiven) {
  std::vector<HttpResponder> waiting;
  service.answer = [&](HttpEvent& event, const HttpService::Request&) { waiting.push_back(event.take_responder()); };
  start_with_service({}, "shutdown_timeout: 1s\n");
  submit(event("$1"));
  until([&] { return waiting.size() == 1; });
  end();  // the test's own patience is less than a service's
  waiting.clear();
  service.answer = [](HttpEvent& event, const HttpService::Request&) { HttpService::ok(event); };
  service.requests.clear();
  start();
  until([&] { return service.events().size() == 1; });
  EXPECT_EQ(service.requests[0].path, "/_matrix/app/v1/transactions/1");
}

TEST_F(DaemonLifeTest, LetsNoSecondOneHaveItsStore) {
  start_with_service();
  const auto [code, text] = refusal("appservice", arguments());
  EXPECT_EQ(code, 1);
  EXPECT_THAT(text, HasSubstr("in use by another process"));
  EXPECT_EQ(submit(event("$1")).status, 200);
  EXPECT_EQ(end(), 0);
  start();
}

TEST_F(DaemonLifeTest, SaysWhichStoreItCannotOpen) {
  store = "sqlite:none/store.db";
  write_service("a", "http://127.0.0.1:1");
  write_configuration();
  const auto [code, text] = refusal("appservice", arguments());
  EXPECT_EQ(code, 1);
  EXPECT_THAT(text, HasSubstr("none/store.db"));
}

TEST_F(DaemonLifeTest, CountsWhatItDoesAndTellsNoToken) {
  start_with_service();
  submit({event("$1"), event("$2")});
  until([&] { return metric(R"(synapse_appservice_api_sent_events{service="a"})") == 2; });
  EXPECT_EQ(metric(R"(synapse_appservice_api_sent_transactions{service="a"})"), 1);
  EXPECT_EQ(metric(R"(synapse_appservice_api_failed_transactions{service="a"})"), 0);
  // It has them before it is written down that it has.
  until([&] { return metric(R"(snowfox_appservice_backlog_events{service="a"})") == 0; });
  EXPECT_EQ(ask("GET", admin + "/").status, 200);
  const Json shown = Json::parse(ask("GET", admin + "/_snowfox/appservice/v1/services").body);
  EXPECT_EQ(shown.at("services").at(0).at("sent_events"), 2);
  EXPECT_EQ(ask("GET", api + "/metrics").status, 404);
  EXPECT_EQ(end(), 0);
}

}  // namespace
}  // namespace snowfox::appservice
