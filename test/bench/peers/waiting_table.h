#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string_view>
#include <vector>

#include "echo_work.h"

namespace snowfox::peers {

/// Who waits for the answer to which request: a flat table from correlation ids, with linear probing. What erasing
/// would leave empty is filled by what was pushed out of its place.
class WaitingTable {
 public:
  struct Waiting {
    std::uint64_t hash = 0;  // 0: the place is free
    std::uint32_t connection = 0;
    std::uint32_t generation = 0;
    std::int64_t deadline = 0;
    std::uint32_t id_bytes = 0;
    char id[kMaxCorrelationIdBytes + 1] = {};

    std::string_view text() const noexcept { return {id, id_bytes}; }
  };

  static std::uint64_t hash_of(std::string_view id) noexcept { return std::hash<std::string_view>()(id) | 1; }

  /// False if somebody waits under that id already.
  bool insert(std::string_view id, std::uint32_t connection, std::uint32_t generation, std::int64_t deadline) {
    if ((count_ + 1) * 2 > places_.size()) grow();
    const std::uint64_t hash = hash_of(id);
    const std::size_t place = find(id, hash);
    Waiting& waiting = places_[place];
    if (waiting.hash != 0) return false;
    waiting.hash = hash;
    waiting.connection = connection;
    waiting.generation = generation;
    waiting.deadline = deadline;
    waiting.id_bytes = static_cast<std::uint32_t>(id.size());
    std::memcpy(waiting.id, id.data(), id.size());
    ++count_;
    return true;
  }

  /// Null if nobody waits.
  const Waiting* find(std::string_view id) const {
    if (count_ == 0) return nullptr;
    const Waiting& waiting = places_[find(id, hash_of(id))];
    return waiting.hash != 0 ? &waiting : nullptr;
  }

  void erase(const Waiting& gone) {
    const std::size_t mask = places_.size() - 1;
    auto hole = static_cast<std::size_t>(&gone - places_.data());
    for (std::size_t next = (hole + 1) & mask; places_[next].hash != 0; next = (next + 1) & mask) {
      const std::size_t home = (places_[next].hash >> 1) & mask;
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      places_[hole] = places_[next];
      hole = next;
    }
    places_[hole].hash = 0;
    --count_;
  }

  /// Forgets those whose deadline has come. To be called again and again: it may overlook one that it has moved.
  void erase_late(std::int64_t now) {
    for (std::size_t i = 0; i < places_.size(); ++i) {
      while (places_[i].hash != 0 && places_[i].deadline <= now) erase(places_[i]);
    }
  }

  std::size_t size() const noexcept { return count_; }

 private:
  std::size_t find(std::string_view id, std::uint64_t hash) const {
    const std::size_t mask = places_.size() - 1;
    std::size_t place = (hash >> 1) & mask;
    while (places_[place].hash != 0 && (places_[place].hash != hash || places_[place].text() != id)) {
      place = (place + 1) & mask;
    }
    return place;
  }

  void grow() {
    std::vector<Waiting> old(places_.empty() ? 64 : places_.size() * 2);
    old.swap(places_);
    for (const Waiting& waiting : old) {
      if (waiting.hash != 0) places_[find(waiting.text(), waiting.hash)] = waiting;
    }
  }

  std::vector<Waiting> places_;
  std::size_t count_ = 0;
};

}  // namespace snowfox::peers
