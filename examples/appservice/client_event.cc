#include "appservice/client_event.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <snowfox/http/http_json.h>

#include "appservice/json_members.h"

namespace snowfox::appservice {
namespace {

using Json = nlohmann::json;
using Member = JsonMember;

constexpr std::size_t kMostIdBytes = 255;                           // Matrix: of ids, types and state keys
constexpr std::int64_t kMostInteger = (std::int64_t{1} << 53) - 1;  // Matrix: canonical JSON
using enum ClientEventError::Kind;

constexpr std::array<std::string_view, 7> kDropped{"auth_events", "prev_events", "hashes",    "signatures",
                                                   "depth",       "origin",      "prev_state"};

void append_member(std::string& out, const Member& member) {
  out += member.key;
  out += ':';
  append_compact(out, member);
}

/// `unsigned`, but for what is worked out anew whenever it is sent.
void append_unsigned(std::string& out, const std::vector<Member>& members) {
  out += "\"unsigned\":{";
  for (const Member& member : members) {
    if (member.name == "age" || member.name == "age_ts") continue;
    if (out.back() != '{') out += ',';
    append_member(out, member);
  }
  out += '}';
}

/// The text that `value`, which is JSON, stands for; nothing if it is none.
std::optional<std::string> text_of(std::string_view value) {
  if (!value.starts_with('"')) return std::nullopt;
  if (value.find('\\') != std::string_view::npos) return Json::parse(value).get<std::string>();
  return std::string(value.substr(1, value.size() - 2));
}

/// Members of an object, and what that is called when something is wrong with it.
class Shape {
 public:
  /// `name` gives what it is called.
  template <typename Name>
  Shape(const std::vector<Member>& members, const Name& name) : members_(members), name_(name) {}

  [[noreturn]] void refuse(std::string_view key, std::string_view what) const {
    throw ClientEventError(fmt::format("{}.{}: {}", name_(), key, what), BadJson);
  }
  /// As it is spelled; nothing if it is missing.
  std::optional<std::string_view> find(std::string_view key) const {
    for (const Member& member : members_) {
      if (member.name == key) return member.value;
    }
    return std::nullopt;
  }

  std::string id(std::string_view key) const {
    const auto value = find(key);
    if (!value) refuse(key, "is missing, expected a string");
    std::string text = short_text(key, *value);
    if (text.empty()) refuse(key, "must not be empty");
    return text;
  }
  std::optional<std::string> state_key() const {
    const auto value = find("state_key");
    if (!value) return std::nullopt;
    return short_text("state_key", *value);
  }
  std::string_view object(std::string_view key) const {
    const auto value = find(key);
    if (!value) refuse(key, "is missing, expected an object");
    if (!value->starts_with('{')) refuse(key, "expected an object");
    return *value;
  }
  /// Milliseconds, if they are given.
  std::optional<std::int64_t> time(std::string_view key) const {
    const auto value = find(key);
    if (!value) return std::nullopt;
    std::int64_t number = 0;
    const char* const value_end = value->data() + value->size();
    const auto [end, error] = std::from_chars(value->data(), value_end, number);
    if (end != value_end) refuse(key, "expected an integer");
    if (error != std::errc() || number < -kMostInteger || number > kMostInteger) refuse(key, "is out of range");
    return number;
  }

 private:
  std::string short_text(std::string_view key, std::string_view value) const {
    auto text = text_of(value);
    if (!text) refuse(key, "expected a string");
    if (text->size() > kMostIdBytes) refuse(key, fmt::format("longer than {} bytes", kMostIdBytes));
    // Databases cannot keep it.
    if (text->find('\0') != std::string::npos) refuse(key, "must not contain a zero character");
    return std::move(*text);
  }

  const std::vector<Member>& members_;
  std::function<std::string()> name_;
};

void add_alias(const Json& value, std::vector<std::string>& aliases) {
  if (!value.is_string()) return;
  const auto& alias = value.get_ref<const std::string&>();
  if (alias.empty() || alias.size() > kMostIdBytes || alias.find('\0') != std::string::npos) return;
  aliases.push_back(alias);
}

void add_aliases(const Json& content, const char* key, std::vector<std::string>& aliases) {
  const auto list = content.find(key);
  if (list == content.end() || !list->is_array()) return;
  for (const Json& value : *list) add_alias(value, aliases);
}

/// What the content says of the room's members and aliases. Other events may have anything there, and so may these:
/// what is of no use is left out, as a homeserver has accepted it.
void read_content(std::string_view text, EventFacts& facts) {
  if (facts.type != "m.room.member" && facts.type != "m.room.aliases" && facts.type != "m.room.canonical_alias") return;
  const Json content = Json::parse(text);
  if (facts.type == "m.room.member") {
    const auto membership = content.find("membership");
    if (membership != content.end() && membership->is_string()) facts.membership = membership->get<std::string>();
  } else if (facts.type == "m.room.aliases") {
    add_aliases(content, "aliases", facts.aliases);
  } else {
    if (const auto alias = content.find("alias"); alias != content.end()) add_alias(*alias, facts.aliases);
    add_aliases(content, "alt_aliases", facts.aliases);
  }
}

}  // namespace

ClientEventReader::ClientEventReader(std::string_view submitted, JsonCheck& check, const ClientEventLimits& limits)
    : text_(submitted), limits_(limits), check_(check) {
  if (text_.size() > limits_.submit_bytes) {
    throw ClientEventError(fmt::format("longer than {} bytes", limits_.submit_bytes), TooLarge);
  }
  skip_space();
  if (at_ == text_.size()) refuse_json("expected a list of events, or one");
  if (text_[at_] != '[' && text_[at_] != '{') {
    const bool text_or_number = std::string_view("\"-0123456789tfn").find(text_[at_]) != std::string_view::npos;
    refuse_json("expected a list of events, or one", text_or_number ? BadJson : NotJson);
  }
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
  StoredEvent read = take_event(now_ms);
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

StoredEvent ClientEventReader::take_event(std::int64_t now_ms) {
  // Homeservers add white space and what is dropped; to parse all that it must not be too much either.
  const std::size_t most = 4 * limits_.event_bytes;
  const auto too_large = [&](std::string_view what, std::size_t bytes) {
    throw ClientEventError(fmt::format("{}{}: longer than {} bytes", name(), what, bytes), TooLarge);
  };
  // Looked through once if all is well; what is not goes the longer way, which says what is wrong.
  std::string_view text = text_.substr(at_, most);
  std::vector<Member> members;
  std::size_t length = 0;
  if (text.starts_with('{')) members = json_members(text, length);
  text = text.substr(0, length);
  if (length > 0 && check_.passes(text, limits_.depth)) {
    at_ += length;
  } else {
    text = take_value();
    if (text.size() > most) too_large("", most);
    if (!text.starts_with('{')) throw ClientEventError(name() + ": expected an object", BadJson);
    check_json(text);
    members = json_members(text);
  }

  const Shape shape(members, [this] { return name(); });
  StoredEvent read;
  read.event_id = shape.id("event_id");
  read.facts.room_id = shape.id("room_id");
  read.facts.sender = shape.id("sender");
  read.facts.type = shape.id("type");
  read.facts.state_key = shape.state_key();
  read_content(shape.object("content"), read.facts);
  const auto made = shape.time("origin_server_ts");
  std::optional<std::int64_t> age_ts;
  std::vector<Member> extra;
  if (shape.find("unsigned")) {
    extra = json_members(shape.object("unsigned"));
    const Shape extra_shape(extra, [this] { return name() + ".unsigned"; });
    age_ts = extra_shape.time("age_ts");
    const auto age = extra_shape.time("age");
    if (!age_ts && age) age_ts = now_ms - *age;
  }
  read.age_ts = age_ts ? *age_ts : made.value_or(now_ms);

  read.body.reserve(text.size() + 16);  // `unsigned`, if it has none
  read.body = "{";
  for (const Member& member : members) {
    if (member.name == "unsigned" || std::find(kDropped.begin(), kDropped.end(), member.name) != kDropped.end()) {
      continue;
    }
    append_member(read.body, member);
    read.body += ',';
  }
  if (read.body.size() > limits_.event_bytes) too_large("", limits_.event_bytes);
  const std::size_t before = read.body.size();
  append_unsigned(read.body, extra);
  if (read.body.size() - before > limits_.event_bytes) too_large(".unsigned", limits_.event_bytes);
  read.body += '}';
  return read;
}

std::string ClientEventReader::name() const { return list_ ? fmt::format("events[{}]", count_) : "event"; }

/// What the fast one does not take may be JSON nevertheless; this one says where it is wrong.
void ClientEventReader::check_json(std::string_view text) const {
  try {
    static_cast<void>(parse_json(text, {.max_bytes = text.size(), .max_depth = limits_.depth}));
  } catch (const JsonError& error) {
    throw ClientEventError(fmt::format("{}: {}", name(), error.what()), NotJson);
  }
}

std::string_view ClientEventReader::take_value() {
  const std::string_view rest = text_.substr(at_);
  const std::size_t length = json_length(rest);
  if (length == 0) refuse_json(rest.empty() ? "it ends too early" : "a value is missing, or does not end");
  at_ += length;
  return rest.substr(0, length);
}

void ClientEventReader::skip_space() noexcept {
  while (at_ < text_.size() && is_json_space(text_[at_])) ++at_;
}

void ClientEventReader::refuse_json(std::string_view why, ClientEventError::Kind kind) const {
  const std::string_view what = kind == NotJson ? "invalid JSON" : "wrong JSON";
  throw ClientEventError(fmt::format("{} at byte {}: {}", what, at_ + 1, why), kind);
}

std::vector<StoredEvent> read_client_events(std::string_view submitted, std::int64_t now_ms,
                                            const ClientEventLimits& limits) {
  std::vector<StoredEvent> events;
  JsonCheck check;
  ClientEventReader reader(submitted, check, limits);
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
