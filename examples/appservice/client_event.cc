#include "appservice/client_event.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <snowfox/http/http_json.h>

namespace snowfox::appservice {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostIdBytes = 255;                           // Matrix: of ids, types and state keys
constexpr std::int64_t kMostInteger = (std::int64_t{1} << 53) - 1;  // Matrix: canonical JSON
constexpr int kBad = 400;
constexpr int kTooLarge = 413;

constexpr std::array<std::string_view, 7> kDropped{"auth_events", "prev_events", "hashes",    "signatures",
                                                   "depth",       "origin",      "prev_state"};

bool is_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Where the string ends that `text` has a quote of at `quote`: behind its other quote; npos if it has none.
std::size_t string_end(std::string_view text, std::size_t quote) noexcept {
  for (std::size_t at = quote + 1; (at = text.find('"', at)) != std::string_view::npos; ++at) {
    std::size_t before = at;
    while (text[before - 1] == '\\') --before;
    if ((at - before) % 2 == 0) return at + 1;
  }
  return std::string_view::npos;
}

/// The bytes of the value at the front of `text`, if that is JSON; otherwise of something that is none either. 0 if it
/// does not end.
std::size_t value_length(std::string_view text) noexcept {
  std::size_t depth = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '"') {
      const std::size_t end = string_end(text, i);
      if (end == std::string_view::npos) return 0;
      if (depth == 0) return end;
      i = end - 1;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      if (depth == 0) return i;
      if (--depth == 0) return i + 1;
    } else if (depth == 0 && (c == ',' || c == ':' || is_space(c))) {
      return i;
    }
  }
  return depth == 0 ? text.size() : 0;
}

/// `value`, which is JSON, without white space between its parts.
void append_compact(std::string& out, std::string_view value) {
  std::size_t from = 0;  // what comes from here on is not in `out` yet
  for (std::size_t i = 0; i < value.size();) {
    if (value[i] == '"') {
      i = string_end(value, i);
    } else if (is_space(value[i])) {
      out.append(value, from, i - from);
      from = ++i;
    } else {
      ++i;
    }
  }
  out.append(value, from);
}

struct Member {
  std::string_view key;  // as it is spelled, in quotes
  std::string name;      // what that means
  std::string_view value;
};

/// The members of `object`, which is JSON: of those of the same name the last one, in the place of the first.
std::vector<Member> members_of(std::string_view object) {
  std::vector<Member> members;
  std::size_t at = 1;
  const auto skip = [&] {
    while (is_space(object[at]) || object[at] == ',' || object[at] == ':') ++at;
  };
  const auto take = [&] {
    skip();
    const std::string_view taken = object.substr(at, value_length(object.substr(at)));
    at += taken.size();
    return taken;
  };
  for (skip(); object[at] != '}'; skip()) {
    Member member;
    member.key = take();
    member.name = member.key.find('\\') == std::string_view::npos
                      ? std::string(member.key.substr(1, member.key.size() - 2))
                      : Json::parse(member.key).get<std::string>();
    member.value = take();
    members.push_back(std::move(member));
  }
  // What comes last of the same name: sorted, for an event may have thousands of members.
  std::stable_sort(members.begin(), members.end(),
                   [](const Member& left, const Member& right) { return left.name < right.name; });
  std::vector<Member> kept;
  for (Member& member : members) {
    if (!kept.empty() && kept.back().name == member.name) {
      kept.back() = std::move(member);
    } else {
      kept.push_back(std::move(member));
    }
  }
  // As they came: keys lie in the text in that order.
  std::sort(kept.begin(), kept.end(),
            [](const Member& left, const Member& right) { return left.key.data() < right.key.data(); });
  return kept;
}

void append_member(std::string& out, const Member& member) {
  out += member.key;
  out += ':';
  append_compact(out, member.value);
}

/// `unsigned`, but for what is worked out anew whenever it is sent.
std::string unsigned_text(const std::vector<Member>& event) {
  std::string text = "{";
  for (const Member& member : event) {
    if (member.name != "unsigned") continue;
    for (const Member& inner : members_of(member.value)) {
      if (inner.name == "age" || inner.name == "age_ts") continue;
      if (text.size() > 1) text += ',';
      append_member(text, inner);
    }
  }
  return text + '}';
}

/// An event's JSON, and what it is called when something is wrong with it.
class Shape {
 public:
  Shape(const Json& event, const std::string& name) : event_(event), name_(name) {}

  [[noreturn]] void refuse(std::string_view where, std::string_view what) const {
    throw ClientEventError(fmt::format("{}{}{}: {}", name_, where.empty() ? "" : ".", where, what), kBad);
  }
  const Json* find(const char* key) const { return find(event_, key); }
  static const Json* find(const Json& object, const char* key) {
    const auto found = object.find(key);
    return found == object.end() ? nullptr : &*found;
  }

  std::string id(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) refuse(key, "is missing, expected a string");
    std::string text = short_text(key, *value);
    if (text.empty()) refuse(key, "must not be empty");
    return text;
  }
  std::optional<std::string> state_key() const {
    const Json* value = find("state_key");
    if (value == nullptr) return std::nullopt;
    return short_text("state_key", *value);
  }
  const Json& object(const char* key) const {
    const Json* value = find(key);
    if (value == nullptr) refuse(key, "is missing, expected an object");
    if (!value->is_object()) refuse(key, "expected an object");
    return *value;
  }
  /// Milliseconds, if they are given.
  std::optional<std::int64_t> time(const Json& object, const char* key, std::string_view where) const {
    const Json* value = find(object, key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_number_integer()) refuse(where, "expected an integer");
    const bool fits = value->is_number_unsigned()
                          ? value->get<std::uint64_t>() <= static_cast<std::uint64_t>(kMostInteger)
                          : value->get<std::int64_t>() >= -kMostInteger && value->get<std::int64_t>() <= kMostInteger;
    if (!fits) refuse(where, "is out of range");
    return value->get<std::int64_t>();
  }

 private:
  std::string short_text(const char* key, const Json& value) const {
    if (!value.is_string()) refuse(key, "expected a string");
    auto text = value.get<std::string>();
    if (text.size() > kMostIdBytes) refuse(key, fmt::format("longer than {} bytes", kMostIdBytes));
    // Databases cannot keep it.
    if (text.find('\0') != std::string::npos) refuse(key, "must not contain a zero character");
    return text;
  }

  const Json& event_;
  const std::string& name_;
};

void add_alias(const Json& value, std::vector<std::string>& aliases) {
  if (!value.is_string()) return;
  const auto& alias = value.get_ref<const std::string&>();
  if (alias.empty() || alias.size() > kMostIdBytes || alias.find('\0') != std::string::npos) return;
  aliases.push_back(alias);
}

void add_aliases(const Json& content, const char* key, std::vector<std::string>& aliases) {
  const Json* list = Shape::find(content, key);
  if (list == nullptr || !list->is_array()) return;
  for (const Json& value : *list) add_alias(value, aliases);
}

/// What the content says of the room's members and aliases. Other events may have anything there, and so may these:
/// what is of no use is left out, as a homeserver has accepted it.
void read_content(const Json& content, EventFacts& facts) {
  if (facts.type == "m.room.member") {
    const Json* membership = Shape::find(content, "membership");
    if (membership != nullptr && membership->is_string()) facts.membership = membership->get<std::string>();
  } else if (facts.type == "m.room.aliases") {
    add_aliases(content, "aliases", facts.aliases);
  } else if (facts.type == "m.room.canonical_alias") {
    if (const Json* alias = Shape::find(content, "alias")) add_alias(*alias, facts.aliases);
    add_aliases(content, "alt_aliases", facts.aliases);
  }
}

}  // namespace

ClientEventReader::ClientEventReader(std::string_view submitted, const ClientEventLimits& limits)
    : text_(submitted), limits_(limits) {
  if (text_.size() > limits_.submit_bytes) {
    throw ClientEventError(fmt::format("longer than {} bytes", limits_.submit_bytes), kTooLarge);
  }
  skip_space();
  if (at_ == text_.size() || (text_[at_] != '[' && text_[at_] != '{')) refuse_json("expected a list of events, or one");
  list_ = text_[at_] == '[';
  if (list_) ++at_;
}

std::optional<StoredEvent> ClientEventReader::next(std::int64_t now_ms) {
  if (ended_) return std::nullopt;
  ended_ = true;  // whatever is thrown
  skip_space();
  if (list_ && at_ < text_.size() && text_[at_] == ']' && count_ == 0) {
    ++at_;
    skip_space();
    if (at_ != text_.size()) refuse_json("something follows the list");
    return std::nullopt;
  }
  const std::string_view value = take_value();
  const std::string name = list_ ? fmt::format("events[{}]", count_) : "event";
  StoredEvent read = event(value, name, now_ms);
  ++count_;
  skip_space();
  if (list_ && at_ < text_.size() && text_[at_] == ',') {
    ++at_;
    ended_ = false;
    return read;
  }
  if (list_) {
    if (at_ == text_.size() || text_[at_] != ']') refuse_json("expected ',' or ']'");
    ++at_;
    skip_space();
  }
  if (at_ != text_.size()) refuse_json(list_ ? "something follows the list" : "something follows the event");
  return read;
}

StoredEvent ClientEventReader::event(std::string_view text, const std::string& name, std::int64_t now_ms) const {
  // Homeservers add white space and what is dropped; to parse all that it must not be too much either.
  const std::size_t most = 4 * limits_.event_bytes;
  const auto too_large = [&](std::string_view what, std::size_t bytes) {
    throw ClientEventError(fmt::format("{}{}: longer than {} bytes", name, what, bytes), kTooLarge);
  };
  if (text.size() > most) too_large("", most);
  if (!text.starts_with('{')) throw ClientEventError(name + ": expected an object", kBad);
  Json json;
  try {
    json = parse_json(text, {.max_bytes = most, .max_depth = limits_.depth});
  } catch (const JsonError& error) {
    throw ClientEventError(fmt::format("{}: {}", name, error.what()), kBad);
  }

  const Shape shape(json, name);
  StoredEvent read;
  read.event_id = shape.id("event_id");
  read.facts.room_id = shape.id("room_id");
  read.facts.sender = shape.id("sender");
  read.facts.type = shape.id("type");
  read.facts.state_key = shape.state_key();
  read_content(shape.object("content"), read.facts);
  const auto made = shape.time(json, "origin_server_ts", "origin_server_ts");
  std::optional<std::int64_t> age_ts;
  if (shape.find("unsigned") != nullptr) {
    const Json& extra = shape.object("unsigned");
    age_ts = shape.time(extra, "age_ts", "unsigned.age_ts");
    const auto age = shape.time(extra, "age", "unsigned.age");
    if (!age_ts && age) age_ts = now_ms - *age;
  }
  read.age_ts = age_ts ? *age_ts : made.value_or(now_ms);

  const std::vector<Member> members = members_of(text);
  read.body = "{";
  for (const Member& member : members) {
    if (member.name == "unsigned" || std::find(kDropped.begin(), kDropped.end(), member.name) != kDropped.end()) {
      continue;
    }
    append_member(read.body, member);
    read.body += ',';
  }
  if (read.body.size() > limits_.event_bytes) too_large("", limits_.event_bytes);
  const std::string extra = unsigned_text(members);
  if (extra.size() > limits_.event_bytes) too_large(".unsigned", limits_.event_bytes);
  read.body.append("\"unsigned\":").append(extra).append("}");
  return read;
}

std::string_view ClientEventReader::take_value() {
  const std::string_view rest = text_.substr(at_);
  const std::size_t length = value_length(rest);
  if (length == 0) refuse_json(rest.empty() ? "it ends too early" : "a value is missing, or does not end");
  at_ += length;
  return rest.substr(0, length);
}

void ClientEventReader::skip_space() noexcept {
  while (at_ < text_.size() && is_space(text_[at_])) ++at_;
}

void ClientEventReader::refuse_json(std::string_view why) const {
  throw ClientEventError(fmt::format("invalid JSON at byte {}: {}", at_ + 1, why), kBad);
}

std::vector<StoredEvent> read_client_events(std::string_view submitted, std::int64_t now_ms,
                                            const ClientEventLimits& limits) {
  std::vector<StoredEvent> events;
  ClientEventReader reader(submitted, limits);
  while (auto event = reader.next(now_ms)) events.push_back(std::move(*event));
  return events;
}

void append_with_age(std::string& out, std::string_view body, std::int64_t age_ts, std::int64_t now_ms) {
  body.remove_suffix(2);  // the ends of `unsigned` and of the event
  out.append(body);
  if (!body.ends_with('{')) out += ',';
  out += "\"age\":";
  out += std::to_string(std::max<std::int64_t>(0, now_ms - age_ts));
  out += "}}";
}

}  // namespace snowfox::appservice
