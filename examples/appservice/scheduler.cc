#include "appservice/scheduler.h"

#include <exception>
#include <set>
#include <utility>

namespace snowfox::appservice {

Scheduler::Scheduler(LoopManager& loop, Store& store, ServiceClient& client, const DeliveryOptions& options)
    : loop_(loop),
      context_{.loop = loop,
               .store = store,
               .client = client,
               .options = options,
               .random = std::minstd_rand(static_cast<std::uint32_t>(loop.ids().next().hash())),
               .quiet = [this] {
                 if (context_.finishing && finished_.wanted()) std::exchange(finished_, {}).resolve();
               }} {}

void Scheduler::start(std::shared_ptr<const Registrations> registrations, std::vector<ServiceRecord> known) {
  for (ServiceRecord& record : known) {
    std::string id = record.id;
    strangers_.emplace(std::move(id), std::move(record));
  }
  set_registrations(std::move(registrations));
}

void Scheduler::set_registrations(std::shared_ptr<const Registrations> registrations) {
  registrations_ = std::move(registrations);
  current_.clear();
  std::set<const Delivery*> registered;
  for (const Registration& registration : *registrations_) {
    const std::shared_ptr<const Registration> shared(registrations_, &registration);
    auto found = deliveries_.find(registration.id);
    if (found == deliveries_.end()) {
      ServiceRecord record;
      if (const auto stranger = strangers_.find(registration.id); stranger != strangers_.end()) {
        record = std::move(stranger->second);
        strangers_.erase(stranger);
      }
      found = deliveries_.emplace(registration.id, std::make_unique<Delivery>(context_, shared, record)).first;
      found->second->start();
    } else {
      found->second->set_registration(shared);
    }
    current_.push_back(found->second.get());
    registered.insert(found->second.get());
  }
  for (const auto& [id, delivery] : deliveries_) {
    if (!registered.contains(delivery.get())) delivery->retire();
  }
}

/// What a service gets of what is being accepted.
struct Scheduler::Share {
  Delivery* delivery = nullptr;
  bool claim = false;
  std::vector<std::size_t> events;
};

std::vector<Scheduler::Share> Scheduler::shares_of(const std::vector<NewEvent>& events) {
  std::vector<Share> shares;
  std::map<std::string_view, std::size_t> places;
  for (std::size_t i = 0; i < events.size(); ++i) {
    for (const std::string& service : events[i].services) {
      const auto [place, added] = places.emplace(service, shares.size());
      if (added) shares.push_back({.delivery = find(service), .events = {}});
      shares[place->second].events.push_back(i);
    }
  }
  return shares;
}

Promise<std::vector<bool>> Scheduler::accept(std::vector<NewEvent> events) {
  std::vector<Share> shares = shares_of(events);
  Submission submission{
      .events = std::move(events), .claims = {}, .limits = context_.options.limits, .now = wall_milliseconds(loop_)};
  for (Share& share : shares) {
    if (share.delivery == nullptr || !share.delivery->claim()) continue;
    share.claim = true;
    submission.claims.push_back(share.delivery->registration().id);
  }
  auto told = std::make_shared<std::vector<Share>>(std::move(shares));
  const Milliseconds when = submission.now;
  return context_.store.accept(std::move(submission))
      .then([told, when](Accepted accepted) {
        auto transaction = accepted.transactions.begin();
        for (const Share& share : *told) {
          if (share.delivery == nullptr) continue;
          std::size_t added = 0;
          for (const std::size_t event : share.events) added += accepted.known[event] ? 0 : 1;
          share.delivery->accepted(added, when);
          if (share.claim) share.delivery->claimed(std::move(*transaction++));
        }
        return std::move(accepted.known);
      })
      .otherwise([told](const std::exception_ptr& error) -> std::vector<bool> {
        for (const Share& share : *told) {
          if (share.delivery != nullptr) share.delivery->not_accepted(share.claim);
        }
        std::rethrow_exception(error);
      });
}

Delivery* Scheduler::find(std::string_view id) noexcept {
  const auto found = deliveries_.find(id);
  return found == deliveries_.end() || found->second->retired() ? nullptr : found->second.get();
}

std::vector<ServiceRecord> Scheduler::unregistered() const {
  std::vector<ServiceRecord> result;
  for (const auto& [id, record] : strangers_) {
    if (record.backlog > 0 || record.parked > 0) result.push_back(record);
  }
  for (const auto& [id, delivery] : deliveries_) {
    if (!delivery->retired()) continue;
    const DeliveryStatus status = delivery->status();
    if (status.backlog == 0 && status.parked == 0) continue;
    result.push_back({.id = id,
                      .up = status.up,
                      .paused = status.paused,
                      .last_transaction = status.transaction,
                      .backlog = status.backlog,
                      .parked = status.parked});
  }
  return result;
}

Promise<void> Scheduler::finish() {
  context_.finishing = true;
  if (context_.busy == 0) return resolved(loop_);
  auto [promise, resolver] = make_promise<void>(loop_);
  finished_ = std::move(resolver);
  return std::move(promise);
}

}  // namespace snowfox::appservice
