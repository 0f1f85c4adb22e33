#include "appservice/interest.h"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

namespace snowfox::appservice {
namespace {

constexpr std::size_t kWordBits = 64;

}  // namespace

void ServiceSet::insert(ServiceIndex service) {
  const std::size_t word = service / kWordBits;
  if (word >= words_.size()) words_.resize(word + 1);
  words_[word] |= std::uint64_t{1} << (service % kWordBits);
}

void ServiceSet::insert(const ServiceSet& others) {
  if (others.words_.size() > words_.size()) words_.resize(others.words_.size());
  for (std::size_t i = 0; i < others.words_.size(); ++i) words_[i] |= others.words_[i];
}

bool ServiceSet::contains(ServiceIndex service) const noexcept {
  const std::size_t word = service / kWordBits;
  return word < words_.size() && (words_[word] >> (service % kWordBits) & 1U) != 0;
}

std::size_t ServiceSet::size() const noexcept {
  std::size_t size = 0;
  for (const std::uint64_t word : words_) size += static_cast<std::size_t>(std::popcount(word));
  return size;
}

std::vector<ServiceIndex> ServiceSet::list() const {
  std::vector<ServiceIndex> services;
  services.reserve(size());
  for (std::size_t i = 0; i < words_.size(); ++i) {
    for (std::uint64_t left = words_[i]; left != 0; left &= left - 1) {
      services.push_back(static_cast<ServiceIndex>(i * kWordBits + static_cast<std::size_t>(std::countr_zero(left))));
    }
  }
  return services;
}

std::size_t Interest::HashOfSet::operator()(const SharedServiceSet& set) const noexcept {
  std::size_t hash = 0;
  for (const ServiceIndex service : set->list()) hash = hash * 1'000'003 + service + 1;
  return hash;
}

Interest::Index::Index(const Registrations& registrations, Namespace Registration::*which, const char* name)
    : name_(name) {
  for (std::size_t service = 0; service < registrations.size(); ++service) {
    const Namespace& entries = registrations[static_cast<ServiceIndex>(service)].*which;
    for (std::size_t position = 0; position < entries.size(); ++position) {
      const NamespaceEntry& entry = entries[position];
      by_prefix_[entry.pattern.literal_prefix()].push_back(
          {static_cast<ServiceIndex>(service), static_cast<std::uint32_t>(position), entry.exclusive, &entry.pattern});
      lengths_.push_back(entry.pattern.literal_prefix().size());
    }
  }
  std::sort(lengths_.begin(), lengths_.end());
  lengths_.erase(std::unique(lengths_.begin(), lengths_.end()), lengths_.end());
}

template <typename F>
void Interest::Index::each(std::string_view text, const F& function) const {
  for (const std::size_t length : lengths_) {
    if (length > text.size()) return;
    const auto found = by_prefix_.find(text.substr(0, length));
    if (found == by_prefix_.end()) continue;
    for (const Entry& entry : found->second) function(entry);
  }
}

Interest::Interest(std::shared_ptr<const Registrations> registrations, InterestOptions options)
    : registrations_(std::move(registrations)),
      options_(std::move(options)),
      users_(*registrations_, &Registration::users, "users"),
      aliases_(*registrations_, &Registration::aliases, "aliases"),
      rooms_(*registrations_, &Registration::rooms, "rooms"),
      nobody_(std::make_shared<const ServiceSet>()) {
  for (std::size_t service = 0; service < registrations_->size(); ++service) {
    const auto index = static_cast<ServiceIndex>(service);
    own_users_[(*registrations_)[index].user_id].insert(index);
  }
}

bool Interest::matches(const Index& index, const Entry& entry, std::string_view text) const {
  ++counters_.executions;
  const Match match = entry.pattern->match(text);
  if (match == Match::GaveUp) {
    ++counters_.gave_up;
    if (options_.on_gave_up && entry.pattern->take_report()) {
      options_.on_gave_up((*registrations_)[entry.service],
                          fmt::format("namespaces.{}[{}]", index.name(), entry.position), *entry.pattern);
    }
  }
  return match == Match::Yes;
}

void Interest::collect(const Index& index, std::string_view text, ServiceSet& set) const {
  index.each(text, [&](const Entry& entry) {
    if (!set.contains(entry.service) && matches(index, entry, text)) set.insert(entry.service);
  });
}

SharedServiceSet Interest::share(ServiceSet set) const {
  if (set.empty()) return nobody_;
  // Sets that nobody holds any more are not to pile up.
  if (shared_.size() >= sweep_at_) {
    std::erase_if(shared_, [](const SharedServiceSet& one) { return one.use_count() == 1; });
    sweep_at_ = std::max<std::size_t>(1024, shared_.size() * 2);
  }
  return *shared_.insert(std::make_shared<const ServiceSet>(std::move(set))).first;
}

SharedServiceSet Interest::users(std::string_view user_id) const {
  if (const auto found = cached_.find(user_id); found != cached_.end()) {
    ++counters_.cache_hits;
    recent_.splice(recent_.begin(), recent_, found->second);
    return found->second->services;
  }
  ++counters_.cache_misses;
  ServiceSet set;
  if (const auto own = own_users_.find(user_id); own != own_users_.end()) set = own->second;
  collect(users_, user_id, set);
  SharedServiceSet services = share(std::move(set));
  constexpr std::size_t kMostCachedBytes = 512;
  if (options_.cached_users == 0 || user_id.size() > kMostCachedBytes) return services;
  if (cached_.size() >= options_.cached_users) {
    cached_.erase(recent_.back().user_id);
    recent_.pop_back();
  }
  recent_.push_front({std::string(user_id), services});
  cached_.emplace(recent_.front().user_id, recent_.begin());
  return services;
}

SharedServiceSet Interest::aliases(std::string_view alias) const {
  ServiceSet set;
  collect(aliases_, alias, set);
  return share(std::move(set));
}

SharedServiceSet Interest::rooms(std::string_view room_id) const {
  ServiceSet set;
  collect(rooms_, room_id, set);
  return share(std::move(set));
}

std::optional<ServiceIndex> Interest::exclusive(const Index& index, std::string_view text) const {
  std::vector<const Entry*> candidates;
  index.each(text, [&](const Entry& entry) { candidates.push_back(&entry); });
  std::sort(candidates.begin(), candidates.end(), [](const Entry* left, const Entry* right) {
    return std::pair(left->service, left->position) < std::pair(right->service, right->position);
  });
  std::optional<ServiceIndex> decided;  // a service whose first matching entry was found
  for (const Entry* entry : candidates) {
    if (decided == entry->service || !matches(index, *entry, text)) continue;
    if (entry->exclusive) return entry->service;
    decided = entry->service;
  }
  return std::nullopt;
}

std::optional<ServiceIndex> Interest::exclusive_user(std::string_view user_id) const {
  std::optional<ServiceIndex> first = exclusive(users_, user_id);
  const auto own = own_users_.find(user_id);
  if (own == own_users_.end()) return first;
  const ServiceIndex owner = own->second.list().front();
  return first && *first < owner ? first : std::optional(owner);
}

std::optional<ServiceIndex> Interest::exclusive_alias(std::string_view alias) const {
  return exclusive(aliases_, alias);
}

std::optional<ServiceIndex> Interest::exclusive_room(std::string_view room_id) const {
  return exclusive(rooms_, room_id);
}

}  // namespace snowfox::appservice
