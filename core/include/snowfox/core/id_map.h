#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <snowfox/core/correlation_id.h>

namespace snowfox {

/// A hash table from correlation ids to values. Finding, inserting and erasing take constant time, with millions of
/// entries as with ten; memory is allocated only to hold more entries than ever before, and kept.
///
/// A value stays where it is until it is erased, whatever happens to others, so T need not be movable and pointers to
/// it may be kept. Inside: an open-addressing index (linear probing, backward-shift deletion) of 8 bytes a slot into
/// blocks of entries, each block twice as large as the one before. Only the index is rebuilt as the map grows. Ids from
/// outside cannot be made to collide: their hash is seeded (see CorrelationId).
template <typename T>
class IdMap {
 public:
  IdMap() = default;
  ~IdMap();
  IdMap(const IdMap&) = delete;
  IdMap& operator=(const IdMap&) = delete;

  /// Makes a T from `arguments` under `id`. Null, and nothing made, if there is one already.
  /// Throws std::bad_alloc, std::length_error beyond 2^31 entries, or what making the T throws; nothing has changed
  /// then.
  template <typename... Arguments>
  T* insert(const CorrelationId& id, Arguments&&... arguments);

  /// Null if there is none.
  T* find(const CorrelationId& id) const noexcept {
    const std::size_t slot = slot_of(id);
    return slot == kNoSlot ? nullptr : &entry(index_[slot].position).value();
  }
  /// False if there is none.
  bool erase(const CorrelationId& id) noexcept;
  /// Erases a value that is in here.
  void erase(T& value) noexcept;
  /// Erases the value and gives it to the caller; nothing if there is none.
  std::optional<T> take(const CorrelationId& id);
  void clear() noexcept;

  /// The id of a value that is in here.
  static const CorrelationId& id_of(const T& value) noexcept { return Entry::of(value).id; }
  /// Says that `id` will be looked for or inserted soon: fetches what that will read first.
  void prefetch(const CorrelationId& id) const noexcept {
    if (index_ != nullptr) __builtin_prefetch(&index_[hash_of(id) & mask_]);
  }

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }

  /// Calls `function(const CorrelationId&, T&)` for each, in no order that means anything. It may insert and erase;
  /// what it inserts may or may not be visited.
  template <typename Function>
  void for_each(Function&& function) const;

 private:
  // The value comes first, so that the entry can be told from it.
  struct Entry {
    alignas(T) std::array<std::byte, sizeof(T)> storage;
    CorrelationId id;
    std::uint32_t position = kNone;
    std::uint32_t next_free = kNone;  // kUsed, or while it is free the position of another that is

    T& value() noexcept { return *std::launder(reinterpret_cast<T*>(storage.data())); }
    static Entry& of(T& value) noexcept { return reinterpret_cast<Entry&>(value); }
    static const Entry& of(const T& value) noexcept { return reinterpret_cast<const Entry&>(value); }
  };
  struct Slot {
    std::uint32_t hash = 0;
    std::uint32_t position = kNone;
  };

  static constexpr std::uint32_t kNone = UINT32_MAX;
  static constexpr std::uint32_t kUsed = UINT32_MAX - 1;
  static constexpr std::size_t kNoSlot = SIZE_MAX;
  static constexpr std::uint32_t kFirstBlock = 16;
  static constexpr std::uint32_t kMostEntries = 1U << 31;
  static constexpr std::size_t kFirstIndex = 32;

  static std::uint32_t hash_of(const CorrelationId& id) noexcept { return static_cast<std::uint32_t>(id.hash()); }

  // Block b holds the positions from kFirstBlock * (2^b - 1), kFirstBlock * 2^b of them.
  static unsigned block_of(std::uint32_t position) noexcept {
    return static_cast<unsigned>(std::bit_width(position + kFirstBlock) - std::bit_width(kFirstBlock));
  }
  static std::size_t block_size(unsigned block) noexcept { return std::size_t{kFirstBlock} << block; }
  Entry& entry(std::uint32_t position) const noexcept {
    const unsigned block = block_of(position);
    return blocks_[block][position + kFirstBlock - block_size(block)];
  }

  std::size_t slot_of(const CorrelationId& id) const noexcept;
  std::size_t free_slot(std::uint32_t hash) const noexcept;
  std::uint32_t free_position();
  void grow_index();
  void close_gap(std::size_t slot) noexcept;

  std::unique_ptr<Slot[]> index_;
  std::size_t mask_ = 0;
  std::size_t size_ = 0;
  std::uint32_t used_positions_ = 0;  // all below have been used at some time
  std::uint32_t first_free_ = kNone;  // a list of those that are free again
  std::array<Entry*, 28> blocks_{};
};

template <typename T>
IdMap<T>::~IdMap() {
  clear();
  for (unsigned block = 0; block < blocks_.size() && blocks_[block] != nullptr; ++block) {
    std::allocator<Entry>().deallocate(blocks_[block], block_size(block));
  }
}

template <typename T>
template <typename... Arguments>
T* IdMap<T>::insert(const CorrelationId& id, Arguments&&... arguments) {
  if (slot_of(id) != kNoSlot) return nullptr;
  // At most five eighths full, so that few slots are looked at.
  if (index_ == nullptr || (size_ + 1) * 8 > (mask_ + 1) * 5) grow_index();
  const std::uint32_t position = free_position();
  Entry& place = entry(position);
  T* value = std::construct_at(reinterpret_cast<T*>(place.storage.data()), std::forward<Arguments>(arguments)...);
  first_free_ = place.next_free;
  place.next_free = kUsed;
  place.id = id;
  index_[free_slot(hash_of(id))] = {hash_of(id), position};
  ++size_;
  return value;
}

template <typename T>
bool IdMap<T>::erase(const CorrelationId& id) noexcept {
  T* found = find(id);
  if (found == nullptr) return false;
  erase(*found);
  return true;
}

template <typename T>
void IdMap<T>::erase(T& value) noexcept {
  Entry& gone = Entry::of(value);
  std::size_t slot = hash_of(gone.id) & mask_;
  while (index_[slot].position != gone.position) slot = (slot + 1) & mask_;
  close_gap(slot);
  --size_;
  // The destructor may call back: the entry is neither used nor free until it is done.
  gone.next_free = kNone;
  std::destroy_at(&value);
  gone.next_free = first_free_;
  first_free_ = gone.position;
}

template <typename T>
std::optional<T> IdMap<T>::take(const CorrelationId& id) {
  T* found = find(id);
  if (found == nullptr) return std::nullopt;
  std::optional<T> taken(std::move(*found));
  erase(*found);
  return taken;
}

template <typename T>
void IdMap<T>::clear() noexcept {
  for_each([this](const CorrelationId&, T& value) { erase(value); });
}

template <typename T>
template <typename Function>
void IdMap<T>::for_each(Function&& function) const {
  for (std::uint32_t position = 0; position < used_positions_; ++position) {
    Entry& visited = entry(position);
    if (visited.next_free == kUsed) function(std::as_const(visited.id), visited.value());
  }
}

template <typename T>
std::size_t IdMap<T>::slot_of(const CorrelationId& id) const noexcept {
  if (size_ == 0) return kNoSlot;
  const std::uint32_t hash = hash_of(id);
  for (std::size_t slot = hash & mask_;; slot = (slot + 1) & mask_) {
    const Slot& seen = index_[slot];
    if (seen.position == kNone) return kNoSlot;
    if (seen.hash == hash && entry(seen.position).id == id) return slot;
  }
}

template <typename T>
std::size_t IdMap<T>::free_slot(std::uint32_t hash) const noexcept {
  std::size_t slot = hash & mask_;
  while (index_[slot].position != kNone) slot = (slot + 1) & mask_;
  return slot;
}

// The first of the free list, which is not empty after this.
template <typename T>
std::uint32_t IdMap<T>::free_position() {
  if (first_free_ != kNone) return first_free_;
  const std::uint32_t position = used_positions_;
  if (position == kMostEntries) throw std::length_error("IdMap holds 2^31 entries");
  const unsigned block = block_of(position);
  if (blocks_[block] == nullptr) blocks_[block] = std::allocator<Entry>().allocate(block_size(block));
  std::construct_at(&entry(position))->position = position;
  first_free_ = position;
  ++used_positions_;
  return position;
}

template <typename T>
void IdMap<T>::grow_index() {
  const std::size_t old_slots = index_ == nullptr ? 0 : mask_ + 1;
  const std::size_t new_slots = old_slots == 0 ? kFirstIndex : old_slots * 2;
  auto old = std::exchange(index_, std::make_unique<Slot[]>(new_slots));
  mask_ = new_slots - 1;
  for (std::size_t slot = 0; slot < old_slots; ++slot) {
    if (old[slot].position != kNone) index_[free_slot(old[slot].hash)] = old[slot];
  }
}

// Moves up the entries behind `slot` that were kept from their place by it, so that no search stops at it too early.
template <typename T>
void IdMap<T>::close_gap(std::size_t slot) noexcept {
  for (std::size_t next = (slot + 1) & mask_; index_[next].position != kNone; next = (next + 1) & mask_) {
    const std::size_t home = index_[next].hash & mask_;
    if (((next - home) & mask_) < ((next - slot) & mask_)) continue;
    index_[slot] = index_[next];
    slot = next;
  }
  index_[slot] = Slot();
}

}  // namespace snowfox
