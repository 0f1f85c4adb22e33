#include "appservice/rooms.h"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

#include <snowfox/promises/promise_group.h>
#include <snowfox/promises/sleep.h>

namespace snowfox::appservice {
namespace {

// What a node of a map, its strings' buffers and the allocator take, roughly.
constexpr std::size_t kBytesOfNode = 96;

}  // namespace

struct CachedRoom {
  /// Stale: it is needed, and others have it pinned who decided before it was dropped.
  enum class State : std::uint8_t { Empty, Stale, Waiting, Loading, Ready };

  std::string id;
  State state = State::Empty;
  std::size_t pins = 0;
  std::size_t stale_pins = 0;                // of these: from before it was dropped
  std::uint32_t generation = 0;              // how often that was
  std::size_t bytes = 0;                     // as it was accounted for
  std::list<CachedRoom*>::iterator place{};  // among those unused or waiting
  std::vector<Resolver<void>> waiters;
  Promise<void> work;

  SharedServiceSet own;                                       // by its id
  std::unordered_map<std::string, SharedServiceSet> members;  // only those that somebody is interested in
  std::unordered_map<SharedServiceSet, std::size_t> groups;   // how many members have the same services
  ServiceSet by_members;
  std::size_t member_bytes = 0;
  std::unordered_map<std::string, SharedServiceSet> aliases;  // by origin; none that is empty
  ServiceSet by_aliases;

  bool unused() const noexcept { return state == State::Ready && pins == 0; }

  void join(const std::string& user_id, const SharedServiceSet& services) {
    if (services->empty() || !members.emplace(user_id, services).second) return;
    member_bytes += user_id.size() + kBytesOfNode;
    if (++groups[services] == 1) by_members.insert(*services);
  }
  void leave(const std::string& user_id) {
    const auto found = members.find(user_id);
    if (found == members.end()) return;
    const SharedServiceSet services = found->second;
    member_bytes -= user_id.size() + kBytesOfNode;
    members.erase(found);
    if (--groups[services] != 0) return;
    groups.erase(services);
    by_members = {};
    for (const auto& [one, count] : groups) by_members.insert(*one);
  }
  void set_aliases(const std::string& origin, const SharedServiceSet& services) {
    aliases.erase(origin);
    if (!services->empty()) aliases.emplace(origin, services);
    by_aliases = {};
    for (const auto& [one, its] : aliases) by_aliases.insert(*its);
  }
};

namespace {

SharedServiceSet interested_in(const Interest& interest, const std::vector<std::string>& aliases) {
  ServiceSet services;
  for (const std::string& alias : aliases) services.insert(*interest.aliases(alias));
  return interest.share(std::move(services));
}

/// What `event` says of members or aliases, whether or not it was so before.
std::optional<RoomChange> change_by(const EventFacts& event) {
  if (!event.state_key) return std::nullopt;
  RoomChange change;
  change.room_id = event.room_id;
  if (event.type == "m.room.member" && !event.state_key->empty()) {
    change.kind = event.membership == "join" ? RoomChange::Kind::Joined : RoomChange::Kind::Left;
    change.user_id = *event.state_key;
    return change;
  }
  // Only a server's own event tells its aliases; only the one without a key tells the canonical one.
  const bool canonical = event.type == "m.room.canonical_alias" && event.state_key->empty();
  if (!canonical && (event.type != "m.room.aliases" || event.state_key->empty())) return std::nullopt;
  change.kind = RoomChange::Kind::Aliases;
  change.aliases = {*event.state_key, event.aliases};
  return change;
}

}  // namespace

bool concerns_room(const EventFacts& event) { return change_by(event).has_value(); }

RoomPins& RoomPins::operator=(RoomPins&& other) noexcept {
  if (this == &other) return *this;
  unpin();
  rooms_ = std::move(other.rooms_);
  pinned_ = std::move(other.pinned_);
  other.pinned_.clear();
  errors_ = std::move(other.errors_);
  return *this;
}

RoomPins::~RoomPins() { unpin(); }

void RoomPins::unpin() noexcept {
  const auto rooms = rooms_.lock();
  if (rooms != nullptr) {
    for (const Pin& pin : pinned_) rooms->unpin(pin);
  }
  pinned_.clear();
}

std::exception_ptr RoomPins::error(std::string_view room_id) const {
  if (errors_ == nullptr) return nullptr;
  const auto found = errors_->find(room_id);
  return found == errors_->end() ? nullptr : found->second;
}

Rooms::Rooms(LoopManager& loop, RoomSource& source, std::shared_ptr<const Interest> interest, RoomsOptions options)
    : loop_(loop),
      source_(source),
      interest_(std::move(interest)),
      options_(options),
      self_(this, [](Rooms* /*owned by somebody else*/) {}) {
  options_.concurrent_loads = std::max<std::size_t>(1, options_.concurrent_loads);
  options_.slice = std::max<std::size_t>(1, options_.slice);
}

Rooms::~Rooms() { self_.reset(); }

Promise<RoomPins> Rooms::need(std::vector<std::string_view> room_ids) {
  std::sort(room_ids.begin(), room_ids.end());
  room_ids.erase(std::unique(room_ids.begin(), room_ids.end()), room_ids.end());
  RoomPins pins(self_);
  std::vector<Promise<void>> loads;
  pins.pinned_.reserve(room_ids.size());
  for (const std::string_view room_id : room_ids) {
    CachedRoom& room = pinned(room_id);
    pins.pinned_.push_back({&room, room.generation});
    if (room.state == CachedRoom::State::Ready) continue;
    if (pins.errors_ == nullptr)
      pins.errors_ = std::make_shared<std::map<std::string, std::exception_ptr, std::less<>>>();
    auto [promise, resolver] = make_promise<void>(loop_);
    room.waiters.push_back(std::move(resolver));
    loads.push_back(std::move(promise).otherwise(
        [errors = pins.errors_, id = room.id](const std::exception_ptr& error) { errors->emplace(id, error); }));
    if (room.state == CachedRoom::State::Empty) wait_to_load(room);
  }
  load_next();
  return all(loop_, std::move(loads)).then([pins = std::move(pins)]() mutable { return std::move(pins); });
}

CachedRoom& Rooms::pinned(std::string_view room_id) {
  auto found = rooms_.find(room_id);
  if (found == rooms_.end()) {
    auto room = std::make_unique<CachedRoom>();
    room->id = room_id;
    const std::string_view key = room->id;
    found = rooms_.emplace(key, std::move(room)).first;
  }
  CachedRoom& room = *found->second;
  if (room.unused()) unused_.erase(room.place);
  ++room.pins;
  return room;
}

void Rooms::unpin(const RoomPins::Pin& pin) noexcept {
  CachedRoom& room = *pin.room;
  const bool last_stale = pin.generation != room.generation && --room.stale_pins == 0;
  if (--room.pins != 0) {
    if (last_stale && room.state == CachedRoom::State::Stale) {
      wait_to_load(room);
      load_next();
    }
    return;
  }
  if (room.state != CachedRoom::State::Ready) {
    clear(room);
    rooms_.erase(rooms_.find(room.id));
    load_next();
    return;
  }
  unused_.push_front(&room);
  room.place = unused_.begin();
  evict();
}

void Rooms::wait_to_load(CachedRoom& room) {
  if (room.stale_pins > 0) {
    room.state = CachedRoom::State::Stale;
    return;
  }
  room.state = CachedRoom::State::Waiting;
  room.place = waiting_.insert(waiting_.end(), &room);
}

void Rooms::load_next() {
  while (loading_ < options_.concurrent_loads && !waiting_.empty()) {
    CachedRoom& room = *waiting_.front();
    waiting_.pop_front();
    room.state = CachedRoom::State::Loading;
    ++loading_;
    ++counters_.loads;
    room.work = with_deadline(load(room).promise(loop_), options_.load_timeout)
                    .then([this, &room] { loaded(room, nullptr); })
                    .otherwise([this, &room](const std::exception_ptr& error) { loaded(room, error); });
  }
}

Task<void> Rooms::load(CachedRoom& room) {
  const StoredRoom stored = co_await source_.load_room(room.id);
  room.own = interest_->rooms(room.id);
  // One that gives up has cost as much as some hundreds that come to an end.
  constexpr std::uint64_t kCostOfGivingUp = 500;
  std::uint64_t since_pause = 0;
  for (const std::string& member : stored.members) {
    const InterestCounters before = interest_->counters();
    room.join(member, interest_->users(member));
    const InterestCounters& after = interest_->counters();
    since_pause += 1 + after.executions - before.executions + kCostOfGivingUp * (after.gave_up - before.gave_up);
    if (since_pause < options_.slice) continue;
    co_await sleep(loop_, Duration::zero());
    since_pause = 0;
  }
  for (const RoomAliases& one : stored.aliases) {
    room.set_aliases(one.origin, interested_in(*interest_, one.aliases));
  }
}

void Rooms::loaded(CachedRoom& room, const std::exception_ptr& error) {
  --loading_;
  std::vector<Resolver<void>> waiters = std::exchange(room.waiters, {});
  if (error == nullptr) {
    room.state = CachedRoom::State::Ready;
    account(room);
    evict();
    for (Resolver<void>& waiter : waiters) waiter.resolve();
  } else {
    room.state = CachedRoom::State::Empty;
    clear(room);
    for (Resolver<void>& waiter : waiters) waiter.reject(error);
  }
  load_next();
}

Rooms::Decision Rooms::decide(const EventFacts& event) {
  const auto found = rooms_.find(event.room_id);
  if (found == rooms_.end() || found->second->state != CachedRoom::State::Ready) {
    throw RoomNotLoaded("the room " + event.room_id + " is not in memory");
  }
  CachedRoom& room = *found->second;
  Decision decision;
  decision.services = *room.own;
  decision.services.insert(*interest_->users(event.sender));
  decision.services.insert(room.by_members);
  decision.services.insert(room.by_aliases);
  decision.change = change_by(event);
  if (!decision.change) return decision;
  const RoomChange& change = *decision.change;
  const SharedServiceSet services = change.kind == RoomChange::Kind::Aliases
                                        ? interested_in(*interest_, change.aliases.aliases)
                                        : interest_->users(change.user_id);
  // Who leaves, or an alias that goes, is heard of for the last time; who joins, for the first.
  decision.services.insert(*services);
  const bool joined = change.kind == RoomChange::Kind::Joined;
  const bool known = change.kind != RoomChange::Kind::Aliases && !services->empty();
  if (known && room.members.contains(change.user_id) == joined) {
    decision.change.reset();  // a new name or picture: it is stored as it is
    return decision;
  }
  learn(room, change, services);
  return decision;
}

void Rooms::learn(CachedRoom& room, const RoomChange& change, const SharedServiceSet& services) {
  switch (change.kind) {
    case RoomChange::Kind::Joined: room.join(change.user_id, services); break;
    case RoomChange::Kind::Left: room.leave(change.user_id); break;
    case RoomChange::Kind::Aliases: room.set_aliases(change.aliases.origin, services); break;
  }
  account(room);
}

void Rooms::forget(std::string_view room_id) {
  const auto found = rooms_.find(room_id);
  if (found == rooms_.end() || found->second->state != CachedRoom::State::Ready) return;
  CachedRoom& room = *found->second;
  const bool unused = room.unused();
  if (unused) unused_.erase(room.place);
  clear(room);
  if (unused) rooms_.erase(found);
}

void Rooms::registrations_changed(std::shared_ptr<const Interest> interest) {
  interest_ = std::move(interest);
  for (CachedRoom* room : std::exchange(unused_, {})) {
    clear(*room);
    rooms_.erase(rooms_.find(room->id));
  }
  for (auto& [id, room] : rooms_) {
    const bool again = room->state == CachedRoom::State::Loading;
    if (room->state == CachedRoom::State::Waiting || room->state == CachedRoom::State::Stale) continue;
    clear(*room);
    if (again) wait_to_load(*room);
  }
  load_next();
}

void Rooms::account(CachedRoom& room) noexcept {
  const std::size_t bytes = sizeof(CachedRoom) + 2 * kBytesOfNode + room.id.size() + room.member_bytes +
                            room.groups.size() * kBytesOfNode + room.aliases.size() * 2 * kBytesOfNode +
                            room.by_members.bytes() + room.by_aliases.bytes();
  bytes_ = bytes_ - room.bytes + bytes;
  room.bytes = bytes;
}

/// Back to where nothing is known of it, but for its pins and who waits for it.
void Rooms::clear(CachedRoom& room) noexcept {
  if (room.state == CachedRoom::State::Waiting) waiting_.erase(room.place);
  if (room.state == CachedRoom::State::Loading) {
    --loading_;
    room.work = Promise<void>();
  }
  if (room.state == CachedRoom::State::Ready) {
    room.stale_pins = room.pins;
    ++room.generation;
  }
  room.state = CachedRoom::State::Empty;
  bytes_ -= std::exchange(room.bytes, 0);
  room.own.reset();
  room.members = {};
  room.groups = {};
  room.by_members = {};
  room.member_bytes = 0;
  room.aliases = {};
  room.by_aliases = {};
}

void Rooms::evict() noexcept {
  while (bytes_ > options_.cache_bytes && !unused_.empty()) {
    CachedRoom& room = *unused_.back();
    unused_.pop_back();
    ++counters_.evictions;
    clear(room);
    rooms_.erase(rooms_.find(room.id));
  }
}

}  // namespace snowfox::appservice
