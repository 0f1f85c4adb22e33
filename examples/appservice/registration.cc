#include "appservice/registration.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <set>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include <snowfox/context/yaml_forms.h>
#include <snowfox/context/yaml_reader.h>
#include <snowfox/context/yaml_value.h>

namespace snowfox::appservice {
namespace {

constexpr std::size_t kMostIdBytes = 255;  // of anything that Matrix calls an id
constexpr std::size_t kMostTokenBytes = 4096;
constexpr std::size_t kMostUrlBytes = 2048;

bool is_visible(char c) noexcept { return c > ' ' && c < '\x7f'; }
bool all_visible(std::string_view text) noexcept { return std::all_of(text.begin(), text.end(), is_visible); }

/// What urllib.parse.quote() leaves as it is.
bool survives_quoting(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_.-~/").find(c) != std::string_view::npos;
}

void service_id(const YamlValue& value, std::string& target) {
  const auto text = value.scalar("a text");
  if (!text) return;
  if (text->empty()) return value.refuse("must not be empty");
  if (text->size() > kMostIdBytes) return value.refuse(fmt::format("longer than {} bytes", kMostIdBytes));
  if (text->find('|') != std::string_view::npos) return value.refuse("must not contain '|'");
  const auto control = [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; };
  if (std::any_of(text->begin(), text->end(), control)) return value.refuse("must not contain control characters");
  target = *text;
}

/// It is written into a header: what would end one would be a second header.
void token(const YamlValue& value, std::string& target) {
  const YamlValue hidden = value.as_secret();
  const auto text = hidden.scalar("a text");
  if (!text) return;
  if (text->empty()) return hidden.refuse("must not be empty");
  if (text->size() > kMostTokenBytes) return hidden.refuse(fmt::format("longer than {} bytes", kMostTokenBytes));
  if (!all_visible(*text)) return hidden.refuse("must be visible ASCII characters, without spaces");
  target = *text;
}

void localpart(const YamlValue& value, std::string& target) {
  const auto text = value.scalar("a text");
  if (!text) return;
  if (text->empty()) return value.refuse("must not be empty");
  if (text->size() > kMostIdBytes) return value.refuse(fmt::format("longer than {} bytes", kMostIdBytes));
  if (!std::all_of(text->begin(), text->end(), survives_quoting)) {
    return value.refuse("has characters that would be quoted in a URL");
  }
  target = *text;
}

bool is_port(std::string_view text) noexcept {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port != 0;
}

/// What is wrong with a service's base URL; empty if nothing is.
std::string_view fault_of_url(std::string_view url) {
  if (url.size() > kMostUrlBytes) return "too long";
  if (!all_visible(url)) return "must be visible ASCII characters, without spaces";
  if (url.find_first_of("\\\"<>^`{|}") != std::string_view::npos) return "has characters that no URL has";
  std::string scheme(url.substr(0, std::min(url.find("://"), url.size())));
  std::transform(scheme.begin(), scheme.end(), scheme.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; });
  if (scheme != "http" && scheme != "https") return "must begin with http:// or https://";
  if (url.find_first_of("?#") != std::string_view::npos) return "must have no query and no fragment";
  const std::string_view rest = url.substr(scheme.size() + 3);
  const std::string_view authority = rest.substr(0, rest.find('/'));
  if (authority.find('@') != std::string_view::npos) return "must have no user name and password";
  const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
  if (bracket == std::string_view::npos) return "has no host";
  const std::size_t colon = authority.find(':', bracket);
  const std::string_view host = authority.substr(0, colon);
  if (host.empty() || host == "[]") return "has no host";
  if (bracket != 0 && colon == std::string_view::npos && bracket + 1 != authority.size()) return "has no host";
  if (bracket != 0 && colon != std::string_view::npos && colon != bracket + 1) return "has no host";
  if (colon != std::string_view::npos && !is_port(authority.substr(colon + 1))) return "has no port after ':'";
  return {};
}

/// Nothing of it is told: people write passwords into URLs.
void service_url(const YamlValue& value, std::optional<std::string>& target) {
  if (value.kind() == YamlValue::Kind::Null) {
    target.reset();
    return;
  }
  const YamlValue hidden = value.as_secret();
  const auto text = hidden.scalar("a URL or null");
  if (!text) return;
  if (const std::string_view fault = fault_of_url(*text); !fault.empty()) return hidden.refuse(fault);
  std::string_view url = *text;
  while (url.ends_with('/')) url.remove_suffix(1);
  target = url;
}

void pattern(const YamlValue& value, std::optional<Pattern>& target) {
  const auto text = value.scalar("a regular expression");
  if (!text) return;
  try {
    target.emplace(std::string(*text));
  } catch (const PatternError& error) {
    value.refuse(fmt::format("no regular expression: {} at offset {}", error.what(), error.offset()));
  }
}

/// Notes the keys of `yaml` that are not among `known`.
void note_others(const YamlMapping& yaml, std::initializer_list<std::string_view> known,
                 std::vector<ConfigurationProblem>* notes) {
  const YamlValue& value = yaml.value();
  for (std::size_t i = 0; notes != nullptr && i < value.size(); ++i) {
    if (std::find(known.begin(), known.end(), value.key(i)) != known.end()) continue;
    if (notes->size() >= 1000) return;
    notes->push_back({value.entry(i).place(), "this key means nothing here and is ignored"});
  }
}

void read_namespace(const YamlValue& value, Namespace& target, std::vector<ConfigurationProblem>* notes) {
  if (!value.list()) return;
  for (std::size_t i = 0; i < value.size(); ++i) {
    value.element(i).mapping([&](YamlMapping& yaml) {
      bool exclusive = false;
      std::optional<Pattern> regex;
      yaml.required("exclusive", exclusive);
      yaml.required("regex", regex, pattern);
      note_others(yaml, {"exclusive", "regex"}, notes);
      if (regex) target.push_back({exclusive, std::move(*regex)});
    });
  }
}

std::string canonical(const std::string& path) {
  std::error_code error;
  const auto found = std::filesystem::weakly_canonical(path, error);
  return error ? path : found.string();
}

/// A registration, and where it says what must not be said twice.
struct Read {
  Registration registration;
  ConfigurationPlace id;
  ConfigurationPlace token;
};

Read read_file(const std::string& file, Io& io, std::vector<ConfigurationProblem>& notes) {
  const YamlOptions options{.ignore_unknown_keys = true, .max_bytes = Registrations::kMostFileBytes};
  const YamlTexts texts = YamlTexts::read(file, options, io);
  if (texts.directory) throw ConfigurationError({{.file = file}, "is a directory, expected a file"});
  Read read;
  YamlReader::parse(texts, options).read(read, [&](const YamlValue& root, Read& target) {
    root.mapping([&](YamlMapping& yaml) {
      read_registration(yaml, target.registration, &notes);
      for (std::size_t i = 0; i < root.size(); ++i) {
        if (root.key(i) == "id") target.id = root.entry(i).place();
        if (root.key(i) == "as_token") target.token = root.entry(i).place();
      }
    });
  });
  read.registration.file = file;
  return read;
}

}  // namespace

void read_registration(YamlMapping& yaml, Registration& registration, std::vector<ConfigurationProblem>* notes) {
  yaml.required("id", registration.id, service_id);
  yaml.required("url", registration.url, service_url);
  yaml.required("as_token", registration.as_token, token);
  yaml.required("hs_token", registration.hs_token, token);
  yaml.required("sender_localpart", registration.sender_localpart, localpart);
  yaml.required("namespaces", registration, [notes](const YamlValue& value, Registration& target) {
    if (value.kind() == YamlValue::Kind::Missing) return value.expected("a mapping");
    value.mapping([&](YamlMapping& namespaces) {
      const auto entries = [notes](const YamlValue& list, Namespace& one) { read_namespace(list, one, notes); };
      namespaces.optional("users", target.users, entries);
      namespaces.optional("aliases", target.aliases, entries);
      namespaces.optional("rooms", target.rooms, entries);
      note_others(namespaces, {"users", "aliases", "rooms"}, notes);
    });
  });
  yaml.optional("rate_limited", registration.rate_limited);
  yaml.optional("protocols", registration.protocols);
  yaml.optional("receive_ephemeral", registration.receive_ephemeral);
  note_others(yaml,
              {"id", "url", "as_token", "hs_token", "sender_localpart", "namespaces", "rate_limited", "protocols",
               "receive_ephemeral"},
              notes);
}

std::shared_ptr<const Registrations> Registrations::load(const std::vector<std::string>& files,
                                                         const std::string& homeserver_domain, Io& io) {
  std::shared_ptr<Registrations> all(new Registrations);
  all->homeserver_domain_ = homeserver_domain;
  std::vector<ConfigurationProblem> problems;
  if (files.size() > kMostServices) {
    throw ConfigurationError({{}, fmt::format("more than {} registration files", kMostServices)});
  }
  std::size_t omitted = 0;
  std::set<std::string> seen;
  std::map<std::string, ConfigurationPlace> ids;
  std::map<std::string, ConfigurationPlace> tokens;
  for (const std::string& file : files) {
    if (!seen.insert(canonical(file)).second) {
      problems.push_back({{.file = file}, "is listed twice"});
      continue;
    }
    try {
      Read read = read_file(file, io, all->notes_);
      Registration& service = read.registration;
      const auto [id, new_id] = ids.emplace(service.id, read.id);
      if (!new_id) {
        problems.push_back({read.id, fmt::format("'{}' is also the id in {}", service.id, id->second.str())});
      }
      const auto [token, new_token] = tokens.emplace(service.as_token, read.token);
      if (!new_token) problems.push_back({read.token, "the same token is in " + token->second.str()});
      service.user_id = "@" + service.sender_localpart + ":" + homeserver_domain;
      if (service.user_id.size() > kMostIdBytes) {
        problems.push_back({{.file = file, .key = "sender_localpart"},
                            fmt::format("with the domain it is longer than {} bytes", kMostIdBytes)});
      }
      all->services_.push_back(std::move(service));
    } catch (const ConfigurationError& error) {
      problems.insert(problems.end(), error.problems().begin(), error.problems().end());
      omitted += error.omitted();
    }
  }
  if (!problems.empty()) throw ConfigurationError(std::move(problems), omitted);
  all->index();
  return all;
}

Registrations::Registrations(std::vector<Registration> services, std::string homeserver_domain)
    : services_(std::move(services)), homeserver_domain_(std::move(homeserver_domain)) {
  index();
}

void Registrations::index() {
  for (std::size_t i = 0; i < services_.size(); ++i) by_id_.emplace(services_[i].id, static_cast<ServiceIndex>(i));
}

std::optional<ServiceIndex> Registrations::find(std::string_view id) const {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return std::nullopt;
  return found->second;
}

std::optional<ServiceIndex> Registrations::find_by_token(std::string_view as_token) const noexcept {
  // All are compared, whichever is the one.
  std::optional<ServiceIndex> found;
  for (std::size_t i = 0; i < services_.size(); ++i) {
    if (same_secret(services_[i].as_token, as_token)) found = static_cast<ServiceIndex>(i);
  }
  return found;
}

bool same_secret(std::string_view left, std::string_view right) noexcept {
  if (left.size() != right.size()) return false;
  // Volatile, or the compiler may see that it could stop early.
  volatile unsigned char difference = 0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    difference = static_cast<unsigned char>(difference | static_cast<unsigned char>(left[i] ^ right[i]));
  }
  return difference == 0;
}

}  // namespace snowfox::appservice
