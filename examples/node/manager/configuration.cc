#include "manager/configuration.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <csignal>
#include <set>
#include <string_view>
#include <utility>

#include <snowfox/context/yaml_forms.h>
#include <snowfox/context/yaml_value.h>

namespace snowfox::node {
namespace {

using namespace std::chrono_literals;

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0' ? name.data() : "snow-fox";
}

template <typename Number>
bool is_number(std::string_view text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

/// What the system would read only up to there.
bool has_zero_byte(std::string_view text) { return text.find('\0') != std::string_view::npos; }

/// A user, by name or number.
void user(const YamlValue& value, uid_t& target) {
  const auto text = value.scalar("the name or number of a user");
  if (!text || is_number(*text, target)) return;
  const passwd* entry = has_zero_byte(*text) ? nullptr : getpwnam(std::string(*text).c_str());
  if (entry == nullptr) return value.refuse("there is no user '" + std::string(*text) + "'");
  target = entry->pw_uid;
}

void group(const YamlValue& value, gid_t& target) {
  const auto text = value.scalar("the name or number of a group");
  if (!text || is_number(*text, target)) return;
  const struct group* entry = has_zero_byte(*text) ? nullptr : getgrnam(std::string(*text).c_str());
  if (entry == nullptr) return value.refuse("there is no group '" + std::string(*text) + "'");
  target = entry->gr_gid;
}

/// A list of the program and its arguments; or a text, which a shell takes apart.
void command(const YamlValue& value, std::vector<std::string>& target) {
  if (value.kind() == YamlValue::Kind::Scalar) {
    target = {"/bin/sh", "-c", std::string(value.text())};
  } else {
    snowfox::read_yaml(value, target);
  }
  if (target.empty() || target.front().empty()) value.expected("a program and its arguments");
}

/// TERM, SIGTERM or 15.
void signal(const YamlValue& value, int& target) {
  const auto text = value.scalar("the name or number of a signal");
  if (!text) return;
  const std::string_view name = text->starts_with("SIG") ? text->substr(3) : *text;
  for (int number = 1; number < NSIG; ++number) {
    const char* abbreviation = sigabbrev_np(number);
    if (abbreviation != nullptr && (name == abbreviation || name == std::to_string(number))) {
      target = number;
      return;
    }
  }
  value.expected("a signal, such as TERM");
}

}  // namespace

void read_yaml(YamlMapping& yaml, ApiConfiguration& api) {
  yaml.optional("listen", api.listen);
  yaml.optional("allow", api, [](const YamlValue& value, ApiConfiguration& target) {
    value.mapping([&target](YamlMapping& allow) {
      allow.optional("users", target.users, each(user));
      allow.optional("groups", target.groups, each(group));
    });
  });
  yaml.optional("max_clients", api.max_clients, between(std::size_t{0}, std::size_t{100'000}));
  yaml.optional("idle_timeout", api.idle_timeout);
}

void read_yaml(YamlMapping& yaml, ServiceConfiguration& service) {
  yaml.required("id", service.id, located(not_empty));
  yaml.optional("version", service.version);
  yaml.required("command", service.command, command);
  yaml.optional("environment", service.environment);
  yaml.optional("user", service.user, not_empty);
  yaml.optional("group", service.group, not_empty);
  yaml.optional("working_directory", service.working_directory, not_empty);
  yaml.optional(
      "restart", service.restart,
      one_of<Restart>({{"never", Restart::Never}, {"on-failure", Restart::OnFailure}, {"always", Restart::Always}}));
  yaml.optional("backoff", service.backoff, between(100ms, 1h));
  yaml.optional("stop_signal", service.stop_signal, signal);
  yaml.optional("stop_timeout", service.stop_timeout, between(0s, 1h));
  yaml.optional("autostart", service.autostart);
}

void read_yaml(YamlMapping& yaml, Configuration& configuration) {
  configuration.node_name = host_name();
  yaml.optional("node", configuration, [](const YamlValue& value, Configuration& target) {
    value.mapping([&target](YamlMapping& node) { node.optional("name", target.node_name, not_empty); });
  });
  yaml.optional("log", configuration.log);
  yaml.optional("api", configuration.api);
  yaml.optional("scheduler", configuration, [](const YamlValue& value, Configuration& target) {
    value.mapping([&target](YamlMapping& scheduler) { scheduler.optional("tick", target.tick, between(100ms, 1h)); });
  });
  yaml.optional("services", configuration.services);

  std::set<std::string_view> ids;
  for (const ServiceConfiguration& service : configuration.services) {
    if (ids.insert(service.id.value).second) continue;
    yaml.refuse("services", "the id '" + service.id.value + "' is given twice, again in line " +
                                std::to_string(service.id.place.line));
  }
}

}  // namespace snowfox::node
