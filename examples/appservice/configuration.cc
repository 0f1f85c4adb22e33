#include "appservice/configuration.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include <snowfox/context/yaml_forms.h>
#include <snowfox/context/yaml_value.h>

namespace snowfox::appservice {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kMostDomainBytes = 230;

bool has_zero_byte(std::string_view text) noexcept { return text.find('\0') != std::string_view::npos; }

/// `path` as the file that has `value` in it means it.
std::string beside(const YamlValue& value, std::string_view path) {
  const auto directory = std::filesystem::path(value.place().file).parent_path();
  return (directory / path).lexically_normal().string();
}

void file_path(const YamlValue& value, std::string& target) {
  const auto text = value.scalar("the path of a file");
  if (!text) return;
  if (text->empty() || has_zero_byte(*text)) return value.expected("the path of a file");
  target = beside(value, *text);
}

void visible_secret(const YamlValue& value, std::string& target) {
  const YamlValue hidden = value.as_secret();
  const auto text = hidden.scalar("a text");
  if (!text) return;
  const auto visible = [](char c) { return c > ' ' && c < '\x7f'; };
  if (text->empty() || !std::all_of(text->begin(), text->end(), visible)) {
    return hidden.refuse("must be visible ASCII characters, without spaces, and not empty");
  }
  target = *text;
}

void store(const YamlValue& value, StoreConfiguration& target) {
  constexpr std::string_view kExpected = "sqlite:PATH or postgres:URI";
  const YamlValue hidden = value.as_secret();
  const auto text = hidden.scalar(kExpected);
  if (!text) return;
  constexpr std::string_view kSqlite = "sqlite:";
  constexpr std::string_view kPostgres = "postgres:";
  if (has_zero_byte(*text)) return hidden.expected(kExpected);
  if (text->starts_with(kSqlite) && text->size() > kSqlite.size()) {
    target = {StoreConfiguration::Kind::Sqlite, beside(value, text->substr(kSqlite.size()))};
  } else if (text->starts_with("postgres://") || text->starts_with("postgresql://")) {
    target = {StoreConfiguration::Kind::Postgres, std::string(*text)};
  } else if (text->starts_with(kPostgres) && text->size() > kPostgres.size()) {
    target = {StoreConfiguration::Kind::Postgres, std::string(text->substr(kPostgres.size()))};
  } else {
    hidden.expected(kExpected);
  }
}

void domain(const YamlValue& value, std::string& target) {
  constexpr std::string_view kExpected = "a server's name, such as example.org";
  const auto text = value.scalar(kExpected);
  if (!text) return;
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view(".-:[]").find(c) != std::string_view::npos;
  };
  if (text->empty() || text->size() > kMostDomainBytes || !std::all_of(text->begin(), text->end(), allowed)) {
    return value.expected(kExpected);
  }
  target = *text;
}

void host_name(const YamlValue& value, std::string& target) {
  constexpr std::string_view kExpected = "a host's name, such as admin.example.org, without a port";
  const auto text = value.scalar(kExpected);
  if (!text) return;
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == '_';
  };
  if (text->empty() || text->size() > kMostDomainBytes || !std::all_of(text->begin(), text->end(), allowed)) {
    return value.expected(kExpected);
  }
  target = *text;
}

void read_limits(YamlMapping& yaml, Limits& limits) {
  yaml.optional("events_per_transaction", limits.events_per_transaction, between(std::size_t{1}, std::size_t{1000}));
  yaml.optional("bytes_per_transaction", limits.bytes_per_transaction, in_bytes(1024, 1U << 30));
  yaml.optional("connect_timeout", limits.connect_timeout, between(1ms, 1h));
  yaml.optional("response_timeout", limits.response_timeout, between(1ms, 1h));
  yaml.optional("body_timeout", limits.body_timeout, between(1ms, 1h));
  yaml.optional("park_after", limits.park_after, between(0U, 1'000'000U));
  yaml.optional("park_server_errors_after", limits.park_server_errors_after, between(0U, 1'000'000U));
  yaml.optional("first_retry", limits.first_retry, between(1ms, 1h));
  yaml.optional("longest_retry", limits.longest_retry, between(1ms, 24h));
  yaml.optional("max_event_bytes", limits.max_event_bytes, in_bytes(256, 16U << 20));
  yaml.optional("max_submit_bytes", limits.max_submit_bytes, in_bytes(256, 32U << 20));

  if (limits.longest_retry < limits.first_retry) yaml.refuse("longest_retry", "must not be less than first_retry");
  // With its `unsigned`, and `{"events":[` around it.
  const std::size_t least = 2 * limits.max_event_bytes + 256;
  if (limits.bytes_per_transaction < least) {
    yaml.refuse("bytes_per_transaction",
                fmt::format("an event of max_event_bytes would not fit: at least {} are needed", least));
  }
  if (limits.max_submit_bytes < limits.max_event_bytes) {
    yaml.refuse("max_submit_bytes", "must not be less than max_event_bytes");
  }
}

}  // namespace

std::string StoreConfiguration::shown() const {
  if (kind == Kind::Sqlite) return "sqlite:" + path_or_uri;
  const std::size_t scheme = path_or_uri.find("://");
  if (scheme == std::string::npos) return "postgres";  // who knows where a password is
  std::string_view rest = std::string_view(path_or_uri).substr(scheme + 3);
  const std::size_t options = rest.find_first_of("?#");
  const std::size_t at = rest.rfind('@');
  // An `@` of the options; or a password with a `?` in it that ought to have been quoted.
  if (at != std::string_view::npos && at > options) return "postgres";
  rest = rest.substr(0, options);
  if (at != std::string_view::npos) rest.remove_prefix(at + 1);
  return "postgres://" + std::string(rest);
}

std::vector<std::string> Configuration::registration_files() const {
  std::vector<std::string> files;
  for (const auto& file : registrations) files.push_back(file.value);
  return files;
}

void read_yaml(YamlMapping& yaml, Configuration& configuration) {
  yaml.optional("listen", configuration.listen);
  yaml.optional("admin", configuration.admin);
  yaml.optional("admin_hosts", configuration.admin_hosts, each(host_name));
  yaml.optional("submit_token", configuration.submit_token, visible_secret);
  yaml.required("store", configuration.store, store);
  yaml.required("registrations", configuration.registrations, each(located(file_path)));
  yaml.required("homeserver_domain", configuration.homeserver_domain, domain);
  yaml.section("limits", [&configuration](YamlMapping& limits) { read_limits(limits, configuration.limits); });
  yaml.optional("log", configuration.log);
  yaml.optional("legacy_query_token", configuration.legacy_query_token);
  yaml.optional("shutdown_timeout", configuration.shutdown_timeout, between(0s, 1h));
  yaml.optional("remember_event_ids", configuration.remember_event_ids,
                between(std::size_t{0}, std::size_t{100'000'000}));
  if (configuration.listen == configuration.admin && configuration.listen.port() != 0) {
    yaml.refuse("admin", "must be another address than listen");
  }
}

}  // namespace snowfox::appservice
