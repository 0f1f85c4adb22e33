// What is submitted to the application-service scheduler is refused, or kept as JSON that says the same.
#include <string>

#include <nlohmann/json.hpp>

#include "appservice/client_event.h"
#include "fuzz.h"
#include "support/json.h"

using namespace snowfox;
using namespace snowfox::appservice;

namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;

void check(const nlohmann::json& given, const StoredEvent& stored, const ClientEventLimits& limits) {
  demand(!stored.event_id.empty() && stored.event_id.size() <= 255, "an event's id is none");
  demand(stored.body.size() <= 2 * limits.event_bytes + 64, "an event is larger than it may be");
  demand(is_utf8(stored.body), "an event is no text");
  const auto kept = nlohmann::json::parse(stored.body);
  for (const char* key : {"event_id", "room_id", "sender", "type", "content", "state_key", "origin_server_ts"}) {
    demand(kept.contains(key) == given.contains(key) && (!given.contains(key) || kept[key] == given[key]),
           "a member has changed");
  }
  for (const char* key : {"auth_events", "signatures", "depth"}) demand(!kept.contains(key), "a member is kept");
  demand(kept["sender"] == stored.facts.sender && kept["room_id"] == stored.facts.room_id, "facts are others");
  demand(kept.contains("unsigned") && !kept["unsigned"].contains("age") && !kept["unsigned"].contains("age_ts"),
         "the age is kept");

  std::string sent;
  append_with_age(sent, stored.body, stored.age_ts, kNow);
  auto with_age = nlohmann::json::parse(sent);
  demand(with_age["unsigned"]["age"].is_number_unsigned(), "the age is missing");
  with_age["unsigned"].erase("age");
  demand(with_age == kept, "what is sent is not what was kept");
  // Read again it is the same: it stays as it is however often it goes through.
  const auto again = read_client_events(stored.body, kNow, {.event_bytes = 2 * limits.event_bytes + 64});
  demand(again.size() == 1 && again[0].body == stored.body, "what was kept becomes something else");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const ClientEventLimits limits{.event_bytes = 4096};
  std::vector<StoredEvent> events;
  try {
    events = read_client_events(text, kNow, limits);
  } catch (const ClientEventError& error) {
    demand(*error.what() != '\0', "an error says nothing");
    return 0;
  }
  // What is accepted is JSON to who reads it at once.
  const auto whole = nlohmann::json::parse(text, nullptr, false);
  demand(!whole.is_discarded(), "what is no JSON is accepted");
  demand(events.size() == (whole.is_array() ? whole.size() : 1), "events are lost or invented");
  for (std::size_t i = 0; i < events.size(); ++i) check(whole.is_array() ? whole[i] : whole, events[i], limits);
  return 0;
}
