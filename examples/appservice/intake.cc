#include "appservice/intake.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <map>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/promises/sleep.h>

namespace snowfox::appservice {
namespace {

/// After so many bytes the loop does other things first: some hundred events, a millisecond at most.
constexpr std::size_t kSliceBytes = 64U << 10;

}  // namespace

/// Submissions on their way through, together: to begin and end something costs more than an event does.
struct Intake::Batch {
  struct Part {
    Submitted submitted;
    std::size_t end = 0;  // of its events; they begin where those of the part before end
  };
  std::vector<Part> parts;
  std::vector<StoredEvent> events;
  RoomPins pins;
  std::vector<bool> known;                 // of the events: accepted before, or earlier in this batch
  std::vector<Rooms::Decision> decisions;  // of the events, as far as it has come
  std::vector<NewEvent> new_events;        // those to be stored
  std::vector<std::size_t> places;         // of these, among the events
  std::vector<std::string> on_its_way;     // see Intake::on_their_way_
};

Intake::Intake(LoopManager& loop, Scheduler& scheduler, Rooms& rooms, IntakeOptions options)
    : loop_(loop), scheduler_(scheduler), rooms_(rooms), options_(options), wake_up_(loop), something_stored_(loop) {}

void Intake::begin() { task_ = supervise(); }

Promise<std::vector<std::string>> Intake::submit(std::string_view text, std::shared_ptr<const void> keeper,
                                                 const CorrelationId& id) {
  // A large one is taken if it is alone.
  const bool crowded = waiting_bytes_ > 0 && waiting_bytes_ + text.size() > options_.most_waiting_bytes;
  if (waiting_.size() >= options_.most_waiting || crowded) {
    ++counters_.refused;
    return rejected<std::vector<std::string>>(loop_, make_error_code(Errc::LimitReached), id);
  }
  auto [promise, resolver] = make_promise<std::vector<std::string>>(loop_, id);
  waiting_bytes_ += text.size();
  waiting_.push_back({text, std::move(keeper), std::move(resolver), id});
  wake_up_.ring();
  return std::move(promise);
}

/// A want of memory costs those whom it meets, and a moment.
Task<> Intake::supervise() {
  for (;;) {
    std::exception_ptr error;
    try {
      co_await work();
    } catch (const std::system_error& failed) {
      if (failed.code() == Errc::ShuttingDown) co_return;
      error = std::current_exception();
    } catch (const std::exception&) {
      error = std::current_exception();
    }
    loop_.log().error("intake", "failed, beginning again", {{"error", describe(error)}});
    co_await sleep(loop_, std::chrono::milliseconds(100));
  }
}

/// One batch after the other: what an event does to its room counts for the next one. That they are stored is not
/// waited for.
Task<> Intake::work() {
  for (;;) {
    while (waiting_.empty()) co_await wake_up_.at(kNever);
    co_await take(std::make_shared<Batch>());
    // What was taken goes to the store at the end of the loop's turn.
    if (!waiting_.empty()) co_await sleep(loop_, Duration::zero());
  }
}

Task<> Intake::take(std::shared_ptr<Batch> batch) {
  std::exception_ptr error;
  try {
    co_await read(*batch);
    co_await decide(*batch);
    store(batch);
    co_return;
  } catch (const std::exception&) {
    error = std::current_exception();
  }
  not_stored(*batch, error);
}

Task<> Intake::read(Batch& batch) {
  std::size_t bytes = 0;
  while (!waiting_.empty() && bytes < kSliceBytes) {
    Submitted submitted = std::move(waiting_.front());
    waiting_.pop_front();
    const std::size_t before = batch.events.size();
    std::exception_ptr error;
    try {
      if (submitted.resolver.wanted()) co_await read(batch, submitted);
    } catch (const std::exception&) {
      error = std::current_exception();
    }
    bytes += submitted.text.size();
    waiting_bytes_ -= submitted.text.size();
    submitted.text = {};
    submitted.keeper.reset();
    if (error == nullptr && submitted.resolver.wanted()) {
      batch.parts.push_back({std::move(submitted), batch.events.size()});
      continue;
    }
    batch.events.erase(batch.events.begin() + static_cast<std::ptrdiff_t>(before), batch.events.end());
    if (error == nullptr) continue;
    ++counters_.refused;
    submitted.resolver.reject(error);
  }
}

Task<> Intake::read(Batch& batch, const Submitted& submitted) {
  ClientEventReader reader(submitted.text, json_check_, options_.events);
  const Milliseconds now = wall_milliseconds(loop_);
  std::size_t bytes = 0;
  while (auto event = reader.next(now)) {
    bytes += event->body.size();
    batch.events.push_back(std::move(*event));
    if (bytes < kSliceBytes) continue;
    bytes = 0;
    co_await sleep(loop_, Duration::zero());
  }
}

Task<> Intake::decide(Batch& batch) {
  for (;;) {
    std::vector<std::string_view> rooms;
    for (const StoredEvent& event : batch.events) rooms.push_back(event.facts.room_id);
    batch.pins = {};
    batch.pins = co_await rooms_.need(std::move(rooms));
    refuse_unloaded(batch);
    co_await find_known(batch);
    try {
      for (std::size_t i = 0; i < batch.events.size(); ++i) {
        batch.decisions.push_back(batch.known[i] ? Rooms::Decision() : rooms_.decide(batch.events[i].facts));
      }
      prepare(batch);
      co_return;
    } catch (const RoomNotLoaded&) {
      // A reload, or a commit that failed, came between. What was learnt on the way may not be stored: forget it, too.
      forget_rooms(batch);
      batch.decisions.clear();
    }
  }
}

/// Of submissions with events of rooms that could not be loaded.
void Intake::refuse_unloaded(Batch& batch) {
  if (batch.pins.complete()) return;
  std::vector<Batch::Part> parts;
  std::vector<StoredEvent> events;
  std::size_t next = 0;
  for (Batch::Part& part : batch.parts) {
    const std::size_t first = std::exchange(next, part.end);
    std::string why;
    for (std::size_t i = first; i < part.end && why.empty(); ++i) {
      const std::string& room = batch.events[i].facts.room_id;
      if (const auto error = batch.pins.error(room)) why = "load the room " + room + ": " + describe(error);
    }
    if (why.empty()) {
      std::move(batch.events.begin() + static_cast<std::ptrdiff_t>(first),
                batch.events.begin() + static_cast<std::ptrdiff_t>(part.end), std::back_inserter(events));
      part.end = events.size();
      parts.push_back(std::move(part));
    } else {
      ++counters_.refused;
      part.submitted.resolver.reject(std::runtime_error(why));
    }
  }
  batch.parts = std::move(parts);
  batch.events = std::move(events);
}

/// Events that concern their room and have been accepted before: what they say may have been overtaken, and must not
/// decide whose the events after them are. (The store notices the others, which harm nobody.)
Task<> Intake::find_known(Batch& batch) {
  batch.known.assign(batch.events.size(), false);
  std::vector<std::string> ids;
  std::map<std::string_view, std::vector<std::size_t>> places;
  for (std::size_t i = 0; i < batch.events.size(); ++i) {
    const StoredEvent& event = batch.events[i];
    if (!concerns_room(event.facts)) continue;
    std::vector<std::size_t>& same = places[event.event_id];
    if (same.empty()) {
      ids.push_back(event.event_id);
    } else {
      batch.known[i] = true;
    }
    same.push_back(i);
  }
  if (ids.empty()) co_return;
  while (!all_stored(ids)) co_await something_stored_.at(kNever);
  Promise<std::vector<std::string>> asked = scheduler_.known(std::move(ids));
  const std::vector<std::string> found = co_await std::move(asked);
  for (const std::string& id : found) {
    for (const std::size_t place : places[id]) batch.known[place] = true;
  }
}

bool Intake::all_stored(const std::vector<std::string>& event_ids) const {
  return std::none_of(event_ids.begin(), event_ids.end(),
                      [this](const std::string& id) { return on_their_way_.contains(id); });
}

/// Finds what is for anybody, or changes its room: now, while services have the places that were decided on.
void Intake::prepare(Batch& batch) {
  for (std::size_t i = 0; i < batch.events.size(); ++i) {
    if (batch.known[i]) continue;
    StoredEvent& event = batch.events[i];
    const Rooms::Decision& decision = batch.decisions[i];
    NewEvent wanted;
    for (const ServiceIndex service : decision.services.list()) {
      const Registration& registration = rooms_.interest().registrations()[service];
      if (registration.url) wanted.services.push_back(registration.id);
    }
    if (wanted.services.empty() && !decision.change) {
      ++counters_.ignored;
      continue;
    }
    wanted.event_id = event.event_id;
    wanted.body = std::move(event.body);
    wanted.age_ts = event.age_ts;
    wanted.change = decision.change;
    if (concerns_room(event.facts)) batch.on_its_way.push_back(event.event_id);
    batch.places.push_back(i);
    batch.new_events.push_back(std::move(wanted));
  }
}

void Intake::store(const std::shared_ptr<Batch>& batch) {
  if (batch->new_events.empty()) return stored(*batch, {});
  on_their_way_.insert(batch->on_its_way.begin(), batch->on_its_way.end());
  scheduler_.accept(std::move(batch->new_events))
      .then([this, batch](const std::vector<bool>& known) { stored(*batch, known); })
      .otherwise([this, batch](const std::exception_ptr& error) { not_stored(*batch, error); })
      .detach();
}

/// `known` is of those to be stored.
void Intake::stored(Batch& batch, const std::vector<bool>& known) {
  counters_.known += static_cast<std::uint64_t>(std::count(batch.known.begin(), batch.known.end(), true));
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (!known[i]) continue;
    ++counters_.known;
    // What it says about its room was not stored again, and may have been overtaken by now.
    const std::size_t event = batch.places[i];
    if (batch.decisions[event].change) rooms_.forget(batch.events[event].facts.room_id);
  }
  end(batch);
  counters_.events += batch.events.size();
  std::size_t event = 0;
  for (Batch::Part& part : batch.parts) {
    ++counters_.submissions;
    std::vector<std::string> ids;
    ids.reserve(part.end - event);
    while (event < part.end) ids.push_back(std::move(batch.events[event++].event_id));
    part.submitted.resolver.resolve(std::move(ids));
  }
}

void Intake::not_stored(Batch& batch, const std::exception_ptr& error) {
  forget_rooms(batch);
  end(batch);
  for (Batch::Part& part : batch.parts) {
    if (!part.submitted.resolver.wanted()) continue;
    ++counters_.refused;
    part.submitted.resolver.reject(error);
  }
}

/// Whatever has become of it.
void Intake::end(Batch& batch) {
  batch.pins = {};
  if (batch.on_its_way.empty()) return;
  for (const std::string& id : batch.on_its_way) {
    if (const auto found = on_their_way_.find(id); found != on_their_way_.end()) on_their_way_.erase(found);
  }
  batch.on_its_way.clear();
  something_stored_.ring();
}

void Intake::forget_rooms(const Batch& batch) {
  for (std::size_t i = 0; i < batch.decisions.size(); ++i) {
    if (batch.decisions[i].change) rooms_.forget(batch.events[i].facts.room_id);
  }
}

}  // namespace snowfox::appservice
