#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>
#include <snowfox/promises/task.h>

#include "appservice/client_event.h"
#include "appservice/interest.h"

namespace snowfox::appservice {

/// The aliases that one state event gives a room.
struct RoomAliases {
  std::string origin;  ///< empty for m.room.canonical_alias; otherwise the state key (a server) of m.room.aliases
  std::vector<std::string> aliases;

  friend bool operator==(const RoomAliases&, const RoomAliases&) = default;
};

/// What is stored of a room.
struct StoredRoom {
  std::vector<std::string> members;  ///< who has joined
  std::vector<RoomAliases> aliases;  ///< at most one of each origin
};

/// Where rooms are stored.
class RoomSource {
 public:
  virtual ~RoomSource() = default;
  /// What is known of a room: nothing of one that is not known.
  virtual Promise<StoredRoom> load_room(const std::string& room_id) = 0;
};

/// What an event changes in a room as it is stored.
struct RoomChange {
  enum class Kind : std::uint8_t {
    Joined,   ///< user_id is a member, and may have been before
    Left,     ///< user_id is none, and may have been none before
    Aliases,  ///< those of their origin are these now, which may be none
  };

  Kind kind = Kind::Joined;
  std::string room_id;
  std::string user_id;
  RoomAliases aliases;
};

/// Whether an event may change who is interested in its room.
bool concerns_room(const EventFacts& event);

struct RoomsOptions {
  std::size_t cache_bytes = 64U << 20;               ///< of rooms that nobody needs at the moment; estimated
  std::size_t concurrent_loads = 8;                  ///< more wait for their turn
  Duration load_timeout = std::chrono::seconds(30);  ///< to read one, and to find out who is interested in its members
  /// After so many users of a room that is loaded, and regular expressions tried for them, the loop does other things
  /// first: about a millisecond.
  std::size_t slice = 2000;
};

struct RoomsCounters {
  std::uint64_t loads = 0;
  std::uint64_t evictions = 0;
};

class Rooms;
struct CachedRoom;

/// Rooms that are in memory and stay there as long as this lives, but for those that could not be loaded.
class RoomPins {
 public:
  RoomPins() = default;
  RoomPins(RoomPins&& other) noexcept = default;
  RoomPins& operator=(RoomPins&& other) noexcept;
  ~RoomPins();

  /// All are there.
  bool complete() const noexcept { return errors_ == nullptr || errors_->empty(); }
  /// Why the room could not be loaded; null if it is there.
  std::exception_ptr error(std::string_view room_id) const;

 private:
  friend class Rooms;
  explicit RoomPins(std::weak_ptr<Rooms> rooms) noexcept : rooms_(std::move(rooms)) {}
  void unpin() noexcept;

  struct Pin {
    CachedRoom* room;
    std::uint32_t generation;  // of the room, when it was pinned
  };

  std::weak_ptr<Rooms> rooms_;  // they may go first
  std::vector<Pin> pinned_;
  std::shared_ptr<std::map<std::string, std::exception_ptr, std::less<>>> errors_;
};

/// The room of an event is not in memory: need() was not called for it, or it was dropped since by forget() or
/// registrations_changed(). Whoever calls need() again finds it there.
class RoomNotLoaded : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// What is known of rooms, as far as it decides which services an event is for. Membership and aliases are learnt from
/// the events: decide() tells what to store of one together with it, and what was stored is loaded when it is needed.
///
///     auto pins = co_await rooms.need(room_ids);  // look at pins.error()
///     for (const StoredEvent& event : events) decisions.push_back(rooms.decide(event.facts));
///     try { co_await store.commit(…); } catch (…) { rooms.forget(…each room…); throw; }
///     // pins go: only now may a room be evicted, and read again from the store
///
/// A room costs memory for each member that some service is interested in, and nothing for the others; rooms that are
/// pinned come on top of the limit. For the loop's thread.
class Rooms {
 public:
  /// All must outlive it; `source` is asked for rooms.
  Rooms(LoopManager& loop, RoomSource& source, std::shared_ptr<const Interest> interest, RoomsOptions options = {});
  /// Promises of need() are rejected.
  ~Rooms();
  Rooms(const Rooms&) = delete;
  Rooms& operator=(const Rooms&) = delete;

  /// Fulfilled when all of them are in memory or could not be loaded, which RoomPins::error() tells. A room that was
  /// dropped while others had it pinned is loaded when they have let it go: what they decided may not be stored before.
  /// So whoever waits for rooms must have let go of those from before.
  Promise<RoomPins> need(std::vector<std::string_view> room_ids);

  struct Decision {
    ServiceSet services;
    std::optional<RoomChange> change;
  };
  /// Who is to get `event`; then what it changes is so for the events after it. Throws RoomNotLoaded.
  Decision decide(const EventFacts& event);

  /// What was decided of a room has not been stored. It is read again when it is needed next.
  void forget(std::string_view room_id);
  /// Nor need anything else be so that is stored: all rooms are read again when they are needed next.
  void forget_all() { registrations_changed(interest_); }
  /// All rooms are read again when they are needed next; those being loaded, at once.
  void registrations_changed(std::shared_ptr<const Interest> interest);

  const Interest& interest() const noexcept { return *interest_; }
  std::size_t size() const noexcept { return rooms_.size(); }
  /// Estimated, of all rooms in memory.
  std::size_t bytes() const noexcept { return bytes_; }
  const RoomsCounters& counters() const noexcept { return counters_; }

 private:
  friend class RoomPins;

  CachedRoom& pinned(std::string_view room_id);
  void unpin(const RoomPins::Pin& pin) noexcept;
  void wait_to_load(CachedRoom& room);
  void load_next();
  Task<void> load(CachedRoom& room);
  void loaded(CachedRoom& room, const std::exception_ptr& error);
  void learn(CachedRoom& room, const RoomChange& change, const SharedServiceSet& services);
  void account(CachedRoom& room) noexcept;
  void clear(CachedRoom& room) noexcept;
  void evict() noexcept;

  LoopManager& loop_;
  RoomSource& source_;
  std::shared_ptr<const Interest> interest_;
  RoomsOptions options_;
  RoomsCounters counters_;
  std::size_t bytes_ = 0;
  std::size_t loading_ = 0;
  std::list<CachedRoom*> unused_;   // not pinned; the one used last first
  std::list<CachedRoom*> waiting_;  // to be loaded, in this order
  std::unordered_map<std::string_view, std::unique_ptr<CachedRoom>> rooms_;
  std::shared_ptr<Rooms> self_;  // owns nothing: tells pins whether there are rooms still
};

}  // namespace snowfox::appservice
