#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <utility>

#include <snowfox/core/clock.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/core/error.h>
#include <snowfox/core/id_map.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>

namespace snowfox {

struct EventContextOptions {
  /// How long a value is kept if nothing else is said; Duration::max(): until it is taken.
  Duration lifetime = std::chrono::minutes(5);
  /// More than so many are not kept at a time.
  std::size_t max_entries = 1'000'000;
};

/// What the events of one chain have to remember from one to the next: a T for each correlation id. What is not taken
/// in its lifetime expires. All takes constant time; a value stays where it is until it is taken or expires.
template <typename T>
class EventContext {
 public:
  using OnExpiry = std::function<void(const CorrelationId&, T)>;

  /// `loop` must outlive the context. `on_expiry`, if given, is called by the loop with each value that expires, when
  /// it is no longer in here; what it throws is logged.
  explicit EventContext(LoopManager& loop, EventContextOptions options = {}, OnExpiry on_expiry = nullptr)
      : loop_(loop), options_(options), on_expiry_(std::move(on_expiry)) {}
  EventContext(const EventContext&) = delete;
  EventContext& operator=(const EventContext&) = delete;

  /// Null, and nothing stored, if there is a value under `id` already or max_entries are stored.
  T* store(const CorrelationId& id, T value, Duration lifetime) {
    if (entries_.size() >= options_.max_entries) return nullptr;
    Entry* entry = entries_.insert(id, *this, std::move(value));
    if (entry == nullptr) return nullptr;
    loop_.arm(*entry, lifetime);
    return &entry->value;
  }
  T* store(const CorrelationId& id, T value) { return store(id, std::move(value), options_.lifetime); }

  /// Null if there is none.
  T* find(const CorrelationId& id) const noexcept {
    Entry* entry = entries_.find(id);
    return entry == nullptr ? nullptr : &entry->value;
  }
  /// Takes the value out; nothing if there is none.
  std::optional<T> pop(const CorrelationId& id) {
    Entry* entry = entries_.find(id);
    if (entry == nullptr) return std::nullopt;
    std::optional<T> value(std::move(entry->value));
    entries_.erase(*entry);
    return value;
  }
  /// From now on the value lives for `lifetime` more. False if there is none.
  bool prolong(const CorrelationId& id, Duration lifetime) noexcept {
    Entry* entry = entries_.find(id);
    if (entry == nullptr) return false;
    loop_.arm(*entry, lifetime);
    return true;
  }

  std::size_t size() const noexcept { return entries_.size(); }
  bool empty() const noexcept { return entries_.empty(); }
  std::uint64_t expired() const noexcept { return expired_; }

  /// Calls `function(const CorrelationId&, T&)` for each value; it may store and pop.
  template <typename Function>
  void for_each(Function&& function) const {
    entries_.for_each([&](const CorrelationId& id, Entry& entry) { function(id, entry.value); });
  }

 private:
  struct Entry final : Timer {
    Entry(EventContext& owner, T&& stored) : context(owner), value(std::move(stored)) {}
    void expire() noexcept override { context.expire(*this); }

    EventContext& context;
    T value;
  };

  void expire(Entry& entry) noexcept {
    const CorrelationId id = IdMap<Entry>::id_of(entry);
    ++expired_;
    try {
      T value = std::move(entry.value);
      entries_.erase(entry);
      if (on_expiry_) on_expiry_(id, std::move(value));
    } catch (...) {
      try {
        loop_.log().error("context", "expiry failed", {{"error", describe(std::current_exception())}}, id);
      } catch (...) {
      }
    }
  }

  LoopManager& loop_;
  EventContextOptions options_;
  OnExpiry on_expiry_;
  std::uint64_t expired_ = 0;
  IdMap<Entry> entries_;
};

}  // namespace snowfox
