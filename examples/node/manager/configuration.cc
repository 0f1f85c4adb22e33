#include "manager/configuration.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include <snowfox/context/content_hash.h>
#include <snowfox/context/yaml_forms.h>
#include <snowfox/context/yaml_value.h>

#include "common/groups.h"
#include "common/service_id.h"

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
  if (std::any_of(target.begin(), target.end(), has_zero_byte)) return value.refuse("a zero byte in an argument");
  if (target.empty() || target.front().empty()) value.expected("a program and its arguments");
}

void service_id(const YamlValue& value, std::string& target) {
  const std::string what = fmt::format("1 to {} letters, digits and .-_@+, not first a dot", kMaxServiceIdBytes);
  const auto text = value.scalar(what);
  if (!text) return;
  if (!is_service_id(*text)) return value.expected(what);
  target = *text;
}

void absolute_path(const YamlValue& value, std::string& target) {
  const auto text = value.scalar("an absolute path");
  if (!text) return;
  if (!text->starts_with('/') || has_zero_byte(*text)) return value.expected("an absolute path");
  target = *text;
}

/// What a process cannot be given would be found out when it is started, by whom it hits.
void environment(const YamlValue& value, std::map<std::string, std::string>& target) {
  snowfox::read_yaml(value, target);
  for (const auto& [name, content] : target) {
    if (name.empty() || name.find('=') != std::string::npos || has_zero_byte(name) || has_zero_byte(content)) {
      return value.refuse("a variable has no name, or '=' in it, or a zero byte");
    }
  }
}

void service_user(const YamlValue& value, ServiceUser& target) {
  uid_t number = 0;
  user(value, number);
  const passwd* entry = getpwuid(number);
  if (entry == nullptr) {
    target.user = number;
    return;
  }
  target = {number,         entry->pw_gid, groups_of(entry->pw_name, entry->pw_gid),
            entry->pw_name, entry->pw_dir, entry->pw_shell};
}

void service_group(const YamlValue& value, ServiceUser& target) {
  gid_t number = 0;
  group(value, number);
  target.group = number;
  target.groups = target.name.empty() ? std::vector{number} : groups_of(target.name.c_str(), number);
}

/// `log`, `discard`, or a file's path.
void output(const YamlValue& value, OutputSettings& target) {
  const auto text = value.scalar("log, discard, or the absolute path of a file");
  if (!text) return;
  if (*text == "log") {
    target.kind = OutputSettings::Kind::Log;
  } else if (*text == "discard") {
    target.kind = OutputSettings::Kind::Discard;
  } else if (text->starts_with('/') && !text->ends_with('/') && !has_zero_byte(*text)) {
    target.kind = OutputSettings::Kind::File;
    target.file = *text;
  } else {
    value.expected("log, discard, or the absolute path of a file");
  }
}

/// What any program may rely on, unless it is given something else.
void complete_environment(ServiceConfiguration& service) {
  auto& all = service.environment;
  for (const char* name : {"PATH", "LANG", "LC_ALL", "TZ"}) {
    if (const char* ours = std::getenv(name)) all.emplace(name, ours);
  }
  if (!service.user.name.empty()) {
    all.emplace("USER", service.user.name);
    all.emplace("LOGNAME", service.user.name);
    all.emplace("HOME", service.user.home);
    all.emplace("SHELL", service.user.shell);
  }
  all.emplace("SNOW_FOX_SERVICE", *service.id);
}

std::string fingerprint_of(const ServiceConfiguration& service) {
  ContentHash hash;
  hash.add(service.version).add(service.working_directory);
  for (const std::string& argument : service.command) hash.add(argument);
  hash.add("environment");
  for (const auto& [name, value] : service.environment) hash.add(name).add(value);
  hash.add("user");
  if (service.user.user) hash.add(std::to_string(*service.user.user));
  hash.add("group");
  if (service.user.group) hash.add(std::to_string(*service.user.group));
  for (const gid_t one : service.user.groups) hash.add(std::to_string(one));
  if (!service.no_new_privileges) hash.add("new_privileges");
  // Where it goes is the manager's business; whether there is a pipe is the process's.
  hash.add(service.output.kind == OutputSettings::Kind::Discard ? "discard" : "pipe");
  return hash.str();
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
  yaml.required("id", service.id, located(service_id));
  yaml.optional("version", service.version);
  yaml.required("command", service.command, command);
  yaml.optional("environment", service.environment, environment);
  yaml.optional("user", service.user, service_user);
  yaml.optional("group", service.user, service_group);
  yaml.optional("no_new_privileges", service.no_new_privileges);
  yaml.optional("working_directory", service.working_directory, absolute_path);
  yaml.optional(
      "restart", service.restart,
      one_of<Restart>({{"never", Restart::Never}, {"on-failure", Restart::OnFailure}, {"always", Restart::Always}}));
  yaml.optional("backoff", service.backoff, between(100ms, 1h));
  yaml.optional("backoff_limit", service.backoff_limit, between(100ms, 24h));
  yaml.optional("stable_after", service.stable_after, between(0s, 24h));
  yaml.optional("restart_limit", service.restart_limit, between(0U, 1'000'000U));
  yaml.optional("stop_signal", service.stop_signal, signal);
  yaml.optional("stop_timeout", service.stop_timeout, between(0s, 1h));
  yaml.optional("autostart", service.autostart);
  yaml.optional("on_shutdown", service.on_shutdown,
                one_of<OnShutdown>({{"stop", OnShutdown::Stop}, {"leave", OnShutdown::Leave}}));
  yaml.optional("output", service.output, output);
  yaml.optional("output_limit", service.output.limit_bytes, in_bytes(1024, std::uint64_t{1} << 40));
  yaml.optional("output_files", service.output.files, between(0U, 1000U));
  if (service.on_shutdown == OnShutdown::Leave && service.output.kind != OutputSettings::Kind::Discard) {
    yaml.refuse("on_shutdown",
                "a service that is left when the node ends needs 'output: discard': nobody else reads it");
  }
  if (service.user.user && !service.user.group) {
    yaml.refuse("user", "is not known to the system, so a group must be given, too");
  }
  complete_environment(service);
  service.fingerprint = fingerprint_of(service);
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

  if (configuration.services.size() > kMostServices) {
    yaml.refuse("services", fmt::format("expected at most {} of them", kMostServices));
  }
  std::set<std::string_view> ids;
  for (const ServiceConfiguration& service : configuration.services) {
    if (ids.insert(service.id.value).second) continue;
    yaml.refuse("services", "the id '" + service.id.value + "' is given twice, again in line " +
                                std::to_string(service.id.place.line));
  }
}

}  // namespace snowfox::node
