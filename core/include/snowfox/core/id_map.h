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
/// it may be kept. Entries live in blocks, each twice as large as the one before; only the index to them is rebuilt as
/// the map grows. Ids from outside cannot be made to collide: their hash is seeded (see CorrelationId).
///
/// The index is open addressing by groups of seven slots. What is looked at for each group is one word: eight bits of
/// the hash for each slot, and a count of those that did not fit and went on to the next group, so that erasing leaves
/// nothing behind. (After F14, https://engineering.fb.com/2019/04/25/developer-tools/f14/.) A hundred thousand entries
/// have 256 KiB of such words, so that they stay in a cache.
template <typename T>
class IdMap {
 public:
  IdMap() = default;
  ~IdMap();
  IdMap(const IdMap&) = delete;
  IdMap& operator=(const IdMap&) = delete;

  /// Makes a T from `arguments` under `given`. Null, and nothing made, if there is one already.
  /// Throws std::bad_alloc, std::length_error beyond 2^31 entries, or what making the T throws; nothing has changed
  /// then.
  template <typename... Arguments>
  T* insert(const CorrelationId& given, Arguments&&... arguments);

  /// Null if there is none.
  T* find(const CorrelationId& id) const noexcept;
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
    if (groups_ == nullptr) return;
    const std::size_t home = id.hash() & mask_;
    __builtin_prefetch(&groups_[home]);
    __builtin_prefetch(&positions_[home * kStride]);
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

  static constexpr std::uint32_t kNone = UINT32_MAX;
  static constexpr std::uint32_t kUsed = UINT32_MAX - 1;
  static constexpr std::uint32_t kFirstBlock = 16;
  static constexpr std::uint32_t kMostEntries = 1U << 31;
  // An entry of 64 or 128 bytes is no more than one or two lines of the cache.
  static constexpr std::align_val_t kBlockAlignment{64};
  static constexpr std::size_t kFirstGroups = 4;
  static constexpr std::size_t kUsedOfSeven = 5;  // on the average at most, so that few groups overflow
  static constexpr std::size_t kStride = 8;

  // A group is a word of eight bytes: the tags of seven slots, zero for a free one, and above them the overflow count.
  static constexpr std::uint64_t kSlotBits = 0x0080'8080'8080'8080;
  static constexpr std::uint64_t kOneOverflow = std::uint64_t{1} << 56;
  static constexpr std::uint64_t kMostOverflow = std::uint64_t{255} << 56;

  static std::uint64_t tag_of(std::uint64_t hash) noexcept {
    const std::uint64_t tag = hash >> 56;
    return tag == 0 ? 1 : tag;
  }
  // The top bit of each slot whose tag is `tag`.
  static std::uint64_t slots_with(std::uint64_t group, std::uint64_t tag) noexcept {
    constexpr std::uint64_t kLow = 0x7f7f'7f7f'7f7f'7f7f;
    const std::uint64_t difference = group ^ (tag * 0x0101'0101'0101'0101);
    return ~(((difference & kLow) + kLow) | difference | kLow) & kSlotBits;
  }
  static unsigned first_of(std::uint64_t slots) noexcept { return static_cast<unsigned>(std::countr_zero(slots)) / 8; }

  // Block b holds the positions from kFirstBlock * (2^b - 1), kFirstBlock * 2^b of them.
  static unsigned block_of(std::uint32_t position) noexcept {
    return static_cast<unsigned>(std::bit_width(position + kFirstBlock) - std::bit_width(kFirstBlock));
  }
  static std::size_t block_size(unsigned block) noexcept { return std::size_t{kFirstBlock} << block; }
  Entry& entry(std::uint32_t position) const noexcept {
    const unsigned block = block_of(position);
    return blocks_[block][position + kFirstBlock - block_size(block)];
  }

  std::uint32_t free_position();
  // Those that are given to these two have their hash.
  void enter(const CorrelationId& id, std::uint32_t position) noexcept;
  void leave(const CorrelationId& id, std::uint32_t position) noexcept;
  void grow_index();

  std::unique_ptr<std::uint64_t[]> groups_;
  std::unique_ptr<std::uint32_t[]> positions_;  // kStride for each group
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
    ::operator delete(blocks_[block], kBlockAlignment);
  }
}

template <typename T>
template <typename... Arguments>
T* IdMap<T>::insert(const CorrelationId& given, Arguments&&... arguments) {
  const CorrelationId id = given.hashed();
  if (find(id) != nullptr) return nullptr;
  if (groups_ == nullptr || size_ == (mask_ + 1) * kUsedOfSeven) grow_index();
  const std::uint32_t position = free_position();
  Entry& place = entry(position);
  T* value = std::construct_at(reinterpret_cast<T*>(place.storage.data()), std::forward<Arguments>(arguments)...);
  first_free_ = place.next_free;
  place.next_free = kUsed;
  place.id = id;
  enter(id, position);
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
  leave(gone.id, gone.position);
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
T* IdMap<T>::find(const CorrelationId& id) const noexcept {
  if (size_ == 0) return nullptr;
  const std::uint64_t hash = id.hash();
  const std::uint64_t tag = tag_of(hash);
  for (std::size_t group = hash & mask_;; group = (group + 1) & mask_) {
    const std::uint64_t word = groups_[group];
    for (std::uint64_t slots = slots_with(word, tag); slots != 0; slots &= slots - 1) {
      Entry& candidate = entry(positions_[group * kStride + first_of(slots)]);
      if (candidate.id == id) return &candidate.value();
    }
    if (word < kOneOverflow) return nullptr;
  }
}

template <typename T>
void IdMap<T>::enter(const CorrelationId& id, std::uint32_t position) noexcept {
  for (std::size_t group = id.hash() & mask_;; group = (group + 1) & mask_) {
    std::uint64_t& word = groups_[group];
    if (const std::uint64_t free = slots_with(word, 0); free != 0) {
      const unsigned slot = first_of(free);
      word |= tag_of(id.hash()) << (slot * 8);
      positions_[group * kStride + slot] = position;
      return;
    }
    // A count that has once been full stays so: it is no longer known.
    if (word < kMostOverflow) word += kOneOverflow;
  }
}

template <typename T>
void IdMap<T>::leave(const CorrelationId& id, std::uint32_t position) noexcept {
  const std::uint64_t tag = tag_of(id.hash());
  for (std::size_t group = id.hash() & mask_;; group = (group + 1) & mask_) {
    std::uint64_t& word = groups_[group];
    for (std::uint64_t slots = slots_with(word, tag); slots != 0; slots &= slots - 1) {
      const unsigned slot = first_of(slots);
      if (positions_[group * kStride + slot] != position) continue;
      word &= ~(std::uint64_t{255} << (slot * 8));
      return;
    }
    if (word < kMostOverflow) word -= kOneOverflow;
  }
}

// The first of the free list, which is not empty after this.
template <typename T>
std::uint32_t IdMap<T>::free_position() {
  static_assert(alignof(Entry) <= static_cast<std::size_t>(kBlockAlignment));
  if (first_free_ != kNone) return first_free_;
  const std::uint32_t position = used_positions_;
  if (position == kMostEntries) throw std::length_error("IdMap holds 2^31 entries");
  const unsigned block = block_of(position);
  if (blocks_[block] == nullptr) {
    blocks_[block] = static_cast<Entry*>(::operator new(block_size(block) * sizeof(Entry), kBlockAlignment));
  }
  std::construct_at(&entry(position))->position = position;
  first_free_ = position;
  ++used_positions_;
  return position;
}

template <typename T>
void IdMap<T>::grow_index() {
  const std::size_t count = groups_ == nullptr ? kFirstGroups : (mask_ + 1) * 2;
  auto groups = std::make_unique<std::uint64_t[]>(count);
  positions_ = std::make_unique<std::uint32_t[]>(count * kStride);
  groups_ = std::move(groups);
  mask_ = count - 1;
  for (std::uint32_t position = 0; position < used_positions_; ++position) {
    if (entry(position).next_free == kUsed) enter(entry(position).id, position);
  }
}

}  // namespace snowfox
