#include "appservice/json_members.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include <nlohmann/json.hpp>

namespace snowfox::appservice {
namespace {

constexpr std::size_t kNone = std::string_view::npos;

/// Where the string ends that `text` has a quote of at `quote`: behind its other quote; kNone if it has none.
std::size_t string_end(std::string_view text, std::size_t quote) noexcept {
  for (std::size_t at = quote + 1; (at = text.find('"', at)) != kNone; ++at) {
    std::size_t before = at;
    while (text[before - 1] == '\\') --before;
    if ((at - before) % 2 == 0) return at + 1;
  }
  return kNone;
}

/// Where the list or object ends that begins at `at`; kNone if it does not.
std::size_t nested_end(std::string_view text, std::size_t at, bool& spaced) noexcept {
  for (std::size_t depth = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') {
      at = string_end(text, at);
      if (at == kNone) return kNone;
      --at;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      if (--depth == 0) return at + 1;
    } else if (is_json_space(c)) {
      spaced = true;
    }
  }
  return kNone;
}

bool ends_scalar(char c) noexcept { return c == ',' || c == ':' || c == ']' || c == '}' || is_json_space(c); }

/// Where the value ends that begins at `at`; kNone if it does not.
std::size_t value_end(std::string_view text, std::size_t at, bool& spaced) noexcept {
  if (text[at] == '"') return string_end(text, at);
  if (text[at] == '[' || text[at] == '{') return nested_end(text, at, spaced);
  while (at < text.size() && !ends_scalar(text[at])) ++at;
  return at;
}

bool all_differ(const std::vector<JsonMember>& members) noexcept {
  constexpr std::size_t kFew = 24;  // each is compared with each
  if (members.size() > kFew) return false;
  for (std::size_t i = 1; i < members.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (members[i].name == members[j].name) return false;
    }
  }
  return true;
}

/// Of those of the same name the last one. Sorted for that, for an object may have thousands of members.
std::vector<JsonMember> last_of_each(std::vector<JsonMember> members) {
  std::stable_sort(members.begin(), members.end(),
                   [](const JsonMember& left, const JsonMember& right) { return left.name < right.name; });
  std::vector<JsonMember> kept;
  for (JsonMember& member : members) {
    if (!kept.empty() && kept.back().name == member.name) {
      kept.back() = std::move(member);
    } else {
      kept.push_back(std::move(member));
    }
  }
  // As they came: keys lie in the text in that order.
  std::sort(kept.begin(), kept.end(),
            [](const JsonMember& left, const JsonMember& right) { return left.key.data() < right.key.data(); });
  return kept;
}

void find_name(JsonMember& member) {
  member.name = member.key.substr(1, member.key.size() - 2);
  if (member.name.find('\\') == kNone) return;
  const auto name = nlohmann::json::parse(member.key, nullptr, false);
  if (!name.is_string()) return;
  member.unescaped = std::make_unique<const std::string>(name.get<std::string>());
  member.name = *member.unescaped;
}

}  // namespace

std::size_t json_length(std::string_view text) noexcept {
  if (text.empty()) return 0;
  bool spaced = false;
  const std::size_t end = value_end(text, 0, spaced);
  return end == kNone ? 0 : end;
}

std::vector<JsonMember> json_members(std::string_view text, std::size_t& length) {
  constexpr std::size_t kUsual = 16;
  std::vector<JsonMember> members;
  members.reserve(kUsual);
  length = 0;
  std::size_t at = 1;
  const auto skip_space = [&] {
    while (at < text.size() && is_json_space(text[at])) ++at;
    return at < text.size();
  };
  while (skip_space() && text[at] == '"') {
    JsonMember& member = members.emplace_back();
    const std::size_t key_end = string_end(text, at);
    if (key_end == kNone) return members;
    member.key = text.substr(at, key_end - at);
    find_name(member);
    at = key_end;
    if (!skip_space() || text[at] != ':') return members;
    ++at;
    if (!skip_space()) return members;
    const std::size_t end = value_end(text, at, member.spaced);
    if (end == kNone) return members;
    member.value = text.substr(at, end - at);
    at = end;
    if (!skip_space() || text[at] != ',') break;
    ++at;
  }
  if (at >= text.size() || text[at] != '}') return members;
  length = at + 1;
  return all_differ(members) ? std::move(members) : last_of_each(std::move(members));
}

std::vector<JsonMember> json_members(std::string_view object) {
  std::size_t length = 0;
  return json_members(object, length);
}

void append_compact(std::string& out, const JsonMember& member) {
  const std::string_view value = member.value;
  if (!member.spaced) {
    out += value;
    return;
  }
  std::size_t from = 0;  // what comes from here on is not in `out` yet
  for (std::size_t i = 0; i < value.size();) {
    if (value[i] == '"') {
      i = string_end(value, i);
    } else if (is_json_space(value[i])) {
      out.append(value, from, i - from);
      from = ++i;
    } else {
      ++i;
    }
  }
  out.append(value, from);
}

}  // namespace snowfox::appservice
