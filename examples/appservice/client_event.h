#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "appservice/json_check.h"

namespace snowfox::appservice {

/// What of an event decides who is interested in it.
struct EventFacts {
  std::string room_id;
  std::string sender;
  std::string type;
  std::optional<std::string> state_key = {};  ///< of state events
  std::string membership = {};                ///< content.membership of m.room.member; empty otherwise
  std::vector<std::string> aliases = {};      ///< of m.room.aliases and m.room.canonical_alias
};

/// An event as it is kept until it has been sent.
struct StoredEvent {
  std::string event_id;
  std::string body;         ///< JSON in the client's format; `unsigned` is its last member and says nothing of its age
  std::int64_t age_ts = 0;  ///< when it was made, in milliseconds since 1970
  EventFacts facts;
};

struct ClientEventLimits {
  std::size_t submit_bytes = 8U << 20;
  std::size_t event_bytes = 64U << 10;  ///< without `unsigned`, which may have as many again
  std::size_t depth = 64;               ///< of lists and objects in one another, in an event
};

/// What was submitted cannot be taken: `events[3].sender: expected a string`.
class ClientEventError : public std::runtime_error {
 public:
  enum class Kind : std::uint8_t {
    NotJson,
    BadJson,  ///< it is JSON, and of another shape
    TooLarge,
  };
  ClientEventError(const std::string& what, Kind kind) : std::runtime_error(what), kind_(kind) {}
  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

/// Reads what was submitted: a JSON list of events, or one event. One is read at a time, so whoever reads much can do
/// something else in between; and no more memory is needed than one event takes.
///
/// Numbers and texts stay as they were spelled, byte by byte: neither large integers nor fractions, which old rooms
/// have, change. White space between values is dropped, and so are auth_events, prev_events, hashes, signatures, depth,
/// origin and prev_state. Of an event's own and its `unsigned`'s members of the same name the last one counts.
class ClientEventReader {
 public:
  /// `submitted` and `check`, which may be used for one text after the other, must outlive the reader. Throws
  /// ClientEventError if the text is too long or begins as no JSON of this kind.
  ClientEventReader(std::string_view submitted, JsonCheck& check, const ClientEventLimits& limits = {});

  /// The next event; nothing if there is none. `now_ms` is the wall clock's time in milliseconds. Throws
  /// ClientEventError; after that there is nothing to be read.
  std::optional<StoredEvent> next(std::int64_t now_ms);

 private:
  StoredEvent take_event(std::int64_t now_ms);
  /// What errors call the event at hand.
  std::string name() const;
  void check_json(std::string_view text) const;
  std::string_view take_value();
  void skip_space() noexcept;
  [[noreturn]] void refuse_json(std::string_view why,
                                ClientEventError::Kind kind = ClientEventError::Kind::NotJson) const;

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t count_ = 0;
  bool list_ = false;
  bool ended_ = false;
  ClientEventLimits limits_;
  JsonCheck& check_;
};

/// All events of `submitted`.
std::vector<StoredEvent> read_client_events(std::string_view submitted, std::int64_t now_ms,
                                            const ClientEventLimits& limits = {});

/// Appends `body`, which must be a StoredEvent's, with its age as of `now_ms`: `"unsigned":{…,"age":1234}`. An event of
/// the future has the age 0.
void append_with_age(std::string& out, std::string_view body, std::int64_t age_ts, std::int64_t now_ms);

}  // namespace snowfox::appservice
