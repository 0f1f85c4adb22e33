#include "appservice/configuration.h"

#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/context/configuration_error.h>
#include <snowfox/context/yaml_reader.h>

namespace snowfox::appservice {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::string_view kLeast =
    "store: sqlite:queue.db\nregistrations: [irc.yaml, /etc/other.yaml]\nhomeserver_domain: example.org\n";

Configuration read(std::string_view text) {
  return YamlReader::parse(text, "/srv/appservice/main.yaml").read<Configuration>();
}
/// What the file says that has the least and then this.
Configuration read_with(const std::string& more) { return read(fmt::format("{}{}", kLeast, more)); }
std::string error_of(const std::string& more, std::string_view least = kLeast) {
  try {
    read(fmt::format("{}{}", least, more));
  } catch (const ConfigurationError& error) {
    return error.what();
  }
  return "none";
}

TEST(ConfigurationTest, HasDefaultsForWhatMayBeLeftOut) {
  const Configuration configuration = read(kLeast);
  EXPECT_EQ(configuration.listen.str(), "tcp:127.0.0.1:9008");
  EXPECT_EQ(configuration.admin.str(), "tcp:127.0.0.1:9009");
  EXPECT_THAT(configuration.admin_hosts, testing::IsEmpty());
  EXPECT_EQ(configuration.submit_token, "");
  EXPECT_EQ(configuration.limits.events_per_transaction, 100);
  EXPECT_EQ(configuration.limits.bytes_per_transaction, 4194304);
  EXPECT_EQ(configuration.limits.first_retry, 2s);
  EXPECT_EQ(configuration.limits.longest_retry, 512s);
  EXPECT_EQ(configuration.limits.park_after, 10);
  EXPECT_EQ(configuration.limits.park_server_errors_after, 0);
  EXPECT_FALSE(configuration.legacy_query_token);
  EXPECT_EQ(configuration.remember_event_ids, 1'000'000);
}

TEST(ConfigurationTest, TakesPathsToBeginWhereItsFileIs) {
  const Configuration configuration = read(kLeast);
  EXPECT_EQ(configuration.store.kind, StoreConfiguration::Kind::Sqlite);
  EXPECT_EQ(configuration.store.path_or_uri, "/srv/appservice/queue.db");
  EXPECT_THAT(configuration.registration_files(), testing::ElementsAre("/srv/appservice/irc.yaml", "/etc/other.yaml"));
  EXPECT_EQ(configuration.registrations[0].place.line, 2);
}

TEST(ConfigurationTest, HasWhatTheFileSays) {
  const Configuration configuration = read_with(R"(
listen: 0.0.0.0:8008
admin: "[::1]:8009"
admin_hosts: [admin.example.org, bastion]
submit_token: s3cret
limits:
  events_per_transaction: 50
  bytes_per_transaction: 1MiB
  connect_timeout: 1s
  response_timeout: 2s
  body_timeout: 3s
  park_after: 0
  park_server_errors_after: 7
  first_retry: 10ms
  longest_retry: 1m
  max_event_bytes: 32KiB
  max_submit_bytes: 1MiB
log: {level: debug, format: json}
legacy_query_token: true
shutdown_timeout: 5s
remember_event_ids: 10
)");
  EXPECT_EQ(configuration.listen.str(), "tcp:0.0.0.0:8008");
  EXPECT_EQ(configuration.admin.str(), "tcp:[::1]:8009");
  EXPECT_THAT(configuration.admin_hosts, testing::ElementsAre("admin.example.org", "bastion"));
  EXPECT_EQ(configuration.submit_token, "s3cret");
  EXPECT_EQ(configuration.limits.events_per_transaction, 50);
  EXPECT_EQ(configuration.limits.bytes_per_transaction, 1U << 20);
  EXPECT_EQ(configuration.limits.connect_timeout, 1s);
  EXPECT_EQ(configuration.limits.response_timeout, 2s);
  EXPECT_EQ(configuration.limits.body_timeout, 3s);
  EXPECT_EQ(configuration.limits.park_after, 0);
  EXPECT_EQ(configuration.limits.park_server_errors_after, 7);
  EXPECT_EQ(configuration.limits.first_retry, 10ms);
  EXPECT_EQ(configuration.limits.longest_retry, 1min);
  EXPECT_EQ(configuration.limits.max_event_bytes, 32U << 10);
  EXPECT_EQ(configuration.limits.max_submit_bytes, 1U << 20);
  EXPECT_EQ(configuration.log.level, LogLevel::Debug);
  EXPECT_TRUE(configuration.legacy_query_token);
  EXPECT_EQ(configuration.shutdown_timeout, 5s);
  EXPECT_EQ(configuration.remember_event_ids, 10);
}

TEST(ConfigurationTest, ListensForAdministratorsOnTheLoopbackUnlessToldOtherwise) {
  EXPECT_EQ(read_with("admin: 7000\n").admin.str(), "tcp:127.0.0.1:7000");
  EXPECT_EQ(read_with("admin: '*:7000'\n").admin.str().find("127.0.0.1"), std::string::npos);
}

TEST(ConfigurationTest, NamesFileLineAndKeyOfWhatIsWrong) {
  EXPECT_THAT(error_of("limits:\n  events_per_transaction: 0\n"),
              AllOf(HasSubstr("/srv/appservice/main.yaml:5:"), HasSubstr("limits.events_per_transaction")));
  EXPECT_THAT(error_of("limits: {events_per_transaction: 1001}\n"), HasSubstr("1000"));
  EXPECT_THAT(error_of("limits: {first_retry: 10s, longest_retry: 5s}\n"), HasSubstr("longest_retry"));
  EXPECT_THAT(error_of("limits: {bytes_per_transaction: 100KiB}\n"), HasSubstr("would not fit"));
  EXPECT_THAT(error_of("limits: {max_submit_bytes: 1KiB}\n"), HasSubstr("max_submit_bytes"));
  EXPECT_THAT(error_of("listne: 1\n"), HasSubstr("listne"));
  EXPECT_THAT(error_of("limits: {retries: 1}\n"), HasSubstr("retries"));
  EXPECT_THAT(error_of("admin: 127.0.0.1:9008\n"), HasSubstr("another address"));
  for (const char* name : {"'*'", "'a:1'", "''", "[a]", "'http://a'"}) {
    EXPECT_THAT(error_of(fmt::format("admin_hosts: [{}]\n", name)), HasSubstr("admin_hosts[0]")) << name;
  }
  EXPECT_THAT(error_of("", ""), AllOf(HasSubstr("store"), HasSubstr("registrations"), HasSubstr("homeserver_domain")));
  EXPECT_THAT(error_of("homeserver_domain: 'a b'\nregistrations: []\n", "store: sqlite:x\n"),
              HasSubstr("server's name"));
}

TEST(ConfigurationTest, ShowsNoSecret) {
  EXPECT_THAT(error_of("submit_token: 'two words hidden'\n"),
              AllOf(HasSubstr("submit_token"), Not(HasSubstr("hidden"))));
  EXPECT_THAT(error_of("submit_token: [hidden]\n"), AllOf(HasSubstr("submit_token"), Not(HasSubstr("hidden"))));
  EXPECT_THAT(error_of("submit_token: ''\n"), HasSubstr("submit_token"));
  constexpr std::string_view kRest = "registrations: []\nhomeserver_domain: a\n";
  EXPECT_THAT(error_of("store: mysql://u:hidden@h\n", kRest), AllOf(HasSubstr("store"), Not(HasSubstr("hidden"))));
  EXPECT_THAT(error_of("store: 'sqlite:'\n", kRest), HasSubstr("store"));
  EXPECT_THAT(error_of("store: 'postgres:'\n", kRest), HasSubstr("store"));
}

TEST(ConfigurationTest, KnowsHowAStoreIsReachedAndShowsNoPassword) {
  const auto store = [](const std::string& text) {
    return read(fmt::format("store: \"{}\"\nregistrations: []\nhomeserver_domain: a\n", text)).store;
  };
  const auto shown = [&](const std::string& text) {
    EXPECT_EQ(store(text).kind, StoreConfiguration::Kind::Postgres);
    return store(text).shown();
  };
  EXPECT_EQ(store("sqlite:/var/q.db").shown(), "sqlite:/var/q.db");
  EXPECT_EQ(store("postgres:postgresql://u:hidden@h:5432/db").path_or_uri, "postgresql://u:hidden@h:5432/db");
  EXPECT_EQ(store("postgres://u:hidden@h/db").path_or_uri, "postgres://u:hidden@h/db");
  EXPECT_EQ(store("postgres:host=h password=hidden").path_or_uri, "host=h password=hidden");
  EXPECT_EQ(shown("postgres:postgresql://u:hidden@h:5432/db"), "postgres://h:5432/db");
  EXPECT_EQ(shown("postgres://u:hid/den@h/db?password=hidden"), "postgres://h/db");
  for (const char* text :
       {"postgres://u:hid?den@h/db", "postgres://h/db?password=hid@den", "postgres:host=h password=hidden",
        "postgres://u:hi#dden@h/db", "postgres://u:hi@dden@h/db"}) {
    EXPECT_THAT(shown(text), AllOf(Not(HasSubstr("hi")), Not(HasSubstr("den")))) << text;
  }
}

}  // namespace
}  // namespace snowfox::appservice
