#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "appservice/registration.h"

namespace snowfox::appservice {

/// Some services, in the order of their indexes.
class ServiceSet {
 public:
  void insert(ServiceIndex service);
  void insert(const ServiceSet& others);
  bool contains(ServiceIndex service) const noexcept;
  bool empty() const noexcept { return words_.empty(); }
  std::size_t size() const noexcept;
  std::vector<ServiceIndex> list() const;
  std::size_t bytes() const noexcept { return words_.capacity() * sizeof(std::uint64_t); }

  friend bool operator==(const ServiceSet&, const ServiceSet&) = default;

 private:
  std::vector<std::uint64_t> words_;  // a bit each; the last word is never zero
};

/// A set that many share: users of one service have the same one. Never null.
using SharedServiceSet = std::shared_ptr<const ServiceSet>;

struct InterestOptions {
  std::size_t cached_users = 100'000;
  /// Called once for each pattern that has given up on a text: for the log. `key` is such as `namespaces.users[2]`.
  std::function<void(const Registration& service, std::string_view key, const Pattern& pattern)> on_gave_up = {};
};

/// What its use has cost.
struct InterestCounters {
  std::uint64_t executions = 0;  ///< of regular expressions
  std::uint64_t gave_up = 0;     ///< of these, ended by a limit
  std::uint64_t cache_hits = 0;
  std::uint64_t cache_misses = 0;
};

/// Which services of one set are interested in a user, an alias or a room, by their namespaces.
///
/// Patterns are found by what texts must begin with to match them, so that a text is tried against few of them, however
/// many services there are. What is found out about users is kept: the same ones come again and again.
/// For one thread: its caches change when it is asked.
class Interest {
 public:
  explicit Interest(std::shared_ptr<const Registrations> registrations, InterestOptions options = {});
  Interest(const Interest&) = delete;
  Interest& operator=(const Interest&) = delete;

  const Registrations& registrations() const noexcept { return *registrations_; }
  const std::shared_ptr<const Registrations>& shared_registrations() const noexcept { return registrations_; }

  // --- which services ---

  /// Those whose own user it is, and those with it in their `users`: also the ones to ask whether it exists.
  SharedServiceSet users(std::string_view user_id) const;
  /// Those with it in their `aliases`: also the ones to ask whether it exists.
  SharedServiceSet aliases(std::string_view alias) const;
  /// Those with it in their `rooms`.
  SharedServiceSet rooms(std::string_view room_id) const;

  // --- of one service ---

  bool user_matches(ServiceIndex service, std::string_view user_id) const { return users(user_id)->contains(service); }
  bool alias_matches(ServiceIndex service, std::string_view alias) const { return aliases(alias)->contains(service); }
  bool room_matches(ServiceIndex service, std::string_view room_id) const { return rooms(room_id)->contains(service); }

  // --- whose alone ---

  /// The first service to which it belongs alone: as its own user; or the first entry that matches says so.
  std::optional<ServiceIndex> exclusive_user(std::string_view user_id) const;
  std::optional<ServiceIndex> exclusive_alias(std::string_view alias) const;
  std::optional<ServiceIndex> exclusive_room(std::string_view room_id) const;

  const InterestCounters& counters() const noexcept { return counters_; }
  std::size_t cached_users() const noexcept { return cached_.size(); }
  /// A set that is the same as `set`, shared with all who ask for it.
  SharedServiceSet share(ServiceSet set) const;

 private:
  struct Entry {
    ServiceIndex service;
    std::uint32_t position;  // in its namespace
    bool exclusive;
    const Pattern* pattern;
  };
  /// The entries of all services in one of their namespaces, by what their texts begin with.
  class Index {
   public:
    Index(const Registrations& registrations, Namespace Registration::*which, const char* name);
    /// Calls `function(entry)` with each that `text` may match.
    template <typename F>
    void each(std::string_view text, const F& function) const;
    const char* name() const noexcept { return name_; }

   private:
    const char* name_;
    std::unordered_map<std::string_view, std::vector<Entry>> by_prefix_;
    std::vector<std::size_t> lengths_;  // that prefixes have
  };
  struct Cached {
    std::string user_id;
    SharedServiceSet services;
  };
  struct HashOfSet {
    std::size_t operator()(const SharedServiceSet& set) const noexcept;
  };
  struct SameSet {
    bool operator()(const SharedServiceSet& left, const SharedServiceSet& right) const noexcept {
      return *left == *right;
    }
  };

  bool matches(const Index& index, const Entry& entry, std::string_view text) const;
  void collect(const Index& index, std::string_view text, ServiceSet& set) const;
  std::optional<ServiceIndex> exclusive(const Index& index, std::string_view text) const;

  std::shared_ptr<const Registrations> registrations_;
  InterestOptions options_;
  Index users_;
  Index aliases_;
  Index rooms_;
  std::unordered_map<std::string_view, ServiceSet> own_users_;
  SharedServiceSet nobody_;

  mutable InterestCounters counters_;
  mutable std::list<Cached> recent_;  // the most recent first
  mutable std::unordered_map<std::string_view, std::list<Cached>::iterator> cached_;
  mutable std::unordered_set<SharedServiceSet, HashOfSet, SameSet> shared_;
  mutable std::size_t sweep_at_ = 1024;
};

}  // namespace snowfox::appservice
