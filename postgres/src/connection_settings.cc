#include "connection_settings.h"

#include <arpa/inet.h>
#include <libpq-fe.h>

#include <algorithm>
#include <cstdlib>
#include <memory>

#include <snowfox/postgres/postgres_error.h>

namespace snowfox {
namespace {

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  for (std::size_t at = 0;;) {
    const std::size_t comma = list.find(',', at);
    parts.emplace_back(list.substr(at, comma - at));
    if (comma == list.npos) return parts;
    at = comma + 1;
  }
}

bool unix_socket(const std::string& host) noexcept {
  return host.empty() || host.front() == '/' || host.front() == '@';
}

bool address(const std::string& host) noexcept {
  in6_addr ignored{};
  return ::inet_pton(AF_INET, host.c_str(), &ignored) == 1 || ::inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

}  // namespace

ConnectionSettings::ConnectionSettings(const std::string& uri, const std::string& application_name) {
  char* error = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(PQconninfoParse(uri.c_str(), &error),
                                                                             &PQconninfoFree);
  // What libpq says of it shows pieces of it, perhaps of the password.
  PQfreemem(error);
  if (options == nullptr) throw PostgresError(PostgresErrc::BadUri, "read the connection URI of the database");
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr && *option->val != '\0') values_.emplace_back(option->keyword, option->val);
  }
  set_default("fallback_application_name", application_name);
  set_default("client_encoding", "UTF8");
  // Kerberos' libraries would look for servers of theirs, and block.
  set_default("gssencmode", "disable");
  // A peer that is gone without a word is noticed also where nothing is asked of it.
  set_default("keepalives_idle", "60");
  set_default("keepalives_interval", "10");
  set_default("keepalives_count", "3");
  set_default("tcp_user_timeout", "30000");

  if (get("host").empty() && get("hostaddr").empty() && get("service").empty()) {
    const char* host = std::getenv("PGHOST");
    if (host != nullptr && *host != '\0') set_default("host", host);
  }
  name_ = std::string(get("dbname").empty() ? "database" : get("dbname")) + " at " +
          std::string(!get("host").empty()       ? get("host")
                      : !get("hostaddr").empty() ? get("hostaddr")
                                                 : "the local host");

  if (!get("hostaddr").empty() || get("host").empty()) return;
  const std::vector<std::string> hosts = split(get("host"));
  const std::vector<std::string> ports = split(get("port"));
  if (ports.size() != 1 && ports.size() != hosts.size()) return;  // libpq refuses it
  const bool any = std::any_of(hosts.begin(), hosts.end(),
                               [](const std::string& host) { return !unix_socket(host) && !address(host); });
  if (!any) return;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    const bool known = unix_socket(hosts[i]) || address(hosts[i]);
    names_.push_back({hosts[i], known && !unix_socket(hosts[i]) ? hosts[i] : std::string(),
                      ports.size() == 1 ? ports[0] : ports[i]});
  }
}

std::string_view ConnectionSettings::get(std::string_view key) const noexcept {
  for (const auto& value : values_) {
    if (value.first == key) return value.second;
  }
  return {};
}

void ConnectionSettings::set_default(std::string_view key, std::string_view value) {
  if (get(key).empty()) values_.emplace_back(key, value);
}

std::vector<std::pair<std::string, std::string>> ConnectionSettings::parameters(
    const std::vector<DatabaseHost>& hosts) const {
  std::vector<std::pair<std::string, std::string>> parameters;
  for (const auto& value : values_) {
    const bool replaced = value.first == "host" || value.first == "port";
    if (hosts.empty() || !replaced) parameters.push_back(value);
  }
  if (hosts.empty()) return parameters;
  std::string names;
  std::string addresses;
  std::string ports;
  for (const DatabaseHost& host : hosts) {
    const char* comma = &host == &hosts.front() ? "" : ",";
    names += comma + host.name;
    addresses += comma + host.address;
    ports += comma + host.port;
  }
  parameters.emplace_back("host", names);
  parameters.emplace_back("hostaddr", addresses);
  parameters.emplace_back("port", ports);
  return parameters;
}

}  // namespace snowfox
