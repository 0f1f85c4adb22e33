#include "appservice/intake.h"

#include <exception>
#include <system_error>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/promises/sleep.h>

namespace snowfox::appservice {
namespace {

/// After so many bytes of a submission the loop does other things first: half a millisecond's reading.
constexpr std::size_t kSliceBytes = 64U << 10;

}  // namespace

/// What was decided about a submission, until it is stored or cannot be.
struct Intake::Decided {
  RoomPins pins;
  std::vector<std::string> ids;
  std::vector<NewEvent> events;            // those that are to be stored
  std::vector<std::string> changed_rooms;  // by each of those; empty: none
};

Intake::Intake(LoopManager& loop, Scheduler& scheduler, Rooms& rooms, IntakeOptions options)
    : loop_(loop), scheduler_(scheduler), rooms_(rooms), options_(options), wake_up_(loop) {}

void Intake::begin() { task_ = work(); }

Promise<std::vector<std::string>> Intake::submit(std::string_view text, std::shared_ptr<const void> keeper,
                                                 const CorrelationId& id) {
  if (waiting_.size() >= options_.most_waiting || waiting_bytes_ + text.size() > options_.most_waiting_bytes) {
    ++counters_.refused;
    return rejected<std::vector<std::string>>(loop_, make_error_code(Errc::LimitReached), id);
  }
  auto [promise, resolver] = make_promise<std::vector<std::string>>(loop_, id);
  waiting_bytes_ += text.size();
  waiting_.push_back({text, std::move(keeper), std::move(resolver), id});
  wake_up_.ring();
  return std::move(promise);
}

/// One after the other: what an event does to its room counts for the next one.
Task<> Intake::work() {
  for (;;) {
    while (waiting_.empty()) co_await wake_up_.at(kNever);
    Submitted submitted = std::move(waiting_.front());
    waiting_.pop_front();
    co_await take(submitted);
    waiting_bytes_ -= submitted.text.size();
  }
}

/// Comes to its end when the events have their place in the order; that they are stored is not waited for.
Task<> Intake::take(Submitted& submitted) {
  if (!submitted.resolver.wanted()) co_return;
  std::exception_ptr error;
  try {
    std::vector<StoredEvent> events = co_await read(submitted.text);
    const std::shared_ptr<Decided> decided = co_await decide(events);
    store(decided, std::move(submitted.resolver));
    co_return;
  } catch (const std::exception&) {
    error = std::current_exception();
  }
  ++counters_.refused;
  submitted.resolver.reject(error);
}

Task<std::vector<StoredEvent>> Intake::read(std::string_view text) {
  ClientEventReader reader(text, options_.events);
  const Milliseconds now = wall_milliseconds(loop_);
  std::vector<StoredEvent> events;
  std::size_t bytes = 0;
  while (auto event = reader.next(now)) {
    bytes += event->body.size();
    events.push_back(std::move(*event));
    if (bytes < kSliceBytes) continue;
    bytes = 0;
    co_await sleep(loop_, Duration::zero());
  }
  co_return events;
}

Task<std::shared_ptr<Intake::Decided>> Intake::decide(std::vector<StoredEvent>& events) {
  for (;;) {
    std::vector<std::string> rooms;
    for (const StoredEvent& event : events) rooms.push_back(event.facts.room_id);
    auto decided = std::make_shared<Decided>();
    decided->pins = co_await rooms_.need(std::move(rooms));
    try {
      for (const StoredEvent& event : events) decide(event, *decided);
    } catch (const RoomNotLoaded&) {
      // A reload, or a commit that failed, came between. What was learnt on the way may not be stored: forget it, too.
      forget_rooms(*decided);
      continue;
    }
    for (StoredEvent& event : events) decided->ids.push_back(std::move(event.event_id));
    co_return decided;
  }
}

/// Adds `event` to what is to be stored, if it is for anybody, or changes its room.
void Intake::decide(const StoredEvent& event, Decided& decided) {
  Rooms::Decision decision = rooms_.decide(event.facts);
  NewEvent wanted;
  for (const ServiceIndex service : decision.services.list()) {
    const Registration& registration = scheduler_.registrations()[service];
    if (registration.url) wanted.services.push_back(registration.id);
  }
  if (wanted.services.empty() && !decision.change) {
    ++counters_.ignored;
    return;
  }
  wanted.event_id = event.event_id;
  wanted.body = event.body;
  wanted.age_ts = event.age_ts;
  decided.changed_rooms.push_back(decision.change ? event.facts.room_id : std::string());
  wanted.change = std::move(decision.change);
  decided.events.push_back(std::move(wanted));
}

void Intake::forget_rooms(const Decided& decided) {
  for (const std::string& room : decided.changed_rooms) {
    if (!room.empty()) rooms_.forget(room);
  }
}

void Intake::store(const std::shared_ptr<Decided>& decided, Resolver<std::vector<std::string>> resolver) {
  const auto answer = std::make_shared<Resolver<std::vector<std::string>>>(std::move(resolver));
  const auto stored = [this, decided, answer](const std::vector<bool>& known) {
    for (std::size_t i = 0; i < known.size(); ++i) {
      if (!known[i]) continue;
      ++counters_.known;
      // What it says about its room was not stored again, and may have been overtaken by now.
      if (!decided->changed_rooms[i].empty()) rooms_.forget(decided->changed_rooms[i]);
    }
    ++counters_.submissions;
    counters_.events += decided->ids.size();
    answer->resolve(std::move(decided->ids));
  };
  if (decided->events.empty()) return stored({});
  scheduler_.accept(std::move(decided->events))
      .then(stored)
      .otherwise([this, decided, answer](const std::exception_ptr& error) {
        forget_rooms(*decided);
        ++counters_.refused;
        answer->reject(error);
      })
      .detach();
}

}  // namespace snowfox::appservice
