#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>

#include "appservice/delivery.h"
#include "appservice/registration.h"
#include "appservice/service_client.h"
#include "appservice/store.h"

namespace snowfox::appservice {

/// All deliveries: one for each service that is registered, or was since the start.
class Scheduler {
 public:
  /// All must outlive it.
  Scheduler(LoopManager& loop, Store& store, ServiceClient& client, const DeliveryOptions& options);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// `known` is what the store has said: services that have something waiting begin with it at once, whatever state was
  /// written down. To be called once, before anything else.
  void start(std::shared_ptr<const Registrations> registrations, std::vector<ServiceRecord> known);
  /// From now on those: new services begin, others go on with what has changed; what is queued for one that is gone
  /// stays in the store until it comes back.
  void set_registrations(std::shared_ptr<const Registrations> registrations);
  void set_options(const DeliveryOptions& options) noexcept { context_.options = options; }
  /// Before, nothing else may be called but set_options() and find(), which finds nothing.
  bool started() const noexcept { return registrations_ != nullptr; }
  const Registrations& registrations() const noexcept { return *registrations_; }

  /// Has events stored, for the services that they name, and sent. Fulfilled when they are durable: of each, whether an
  /// event of that id had been accepted before. Rejected: none is accepted, or it is not known whether; they may be
  /// given again. Calls take effect in their order.
  Promise<std::vector<bool>> accept(std::vector<NewEvent> events);
  /// What waits may not be what was counted.
  void count_again() {
    for (const auto& [id, delivery] : deliveries_) delivery->count_again();
  }
  /// See Store::known().
  Promise<std::vector<std::string>> known(std::vector<std::string> event_ids) {
    return context_.store.known(std::move(event_ids));
  }

  /// By id; null if it is not registered. Lives as long as the scheduler.
  Delivery* find(std::string_view id) noexcept;
  /// The one of Registrations' service at `index`.
  Delivery& at(std::size_t index) noexcept { return *current_[index]; }
  std::size_t size() const noexcept { return current_.size(); }
  /// Services with something in the store that are not registered, as they were at the start or when they went.
  std::vector<ServiceRecord> unregistered() const;

  /// Sends nothing more. Fulfilled when what was being sent is answered and written down.
  Promise<void> finish();

 private:
  struct Share;
  std::vector<Share> shares_of(const std::vector<NewEvent>& events);

  LoopManager& loop_;
  DeliveryContext context_;
  std::shared_ptr<const Registrations> registrations_;
  std::map<std::string, std::unique_ptr<Delivery>, std::less<>> deliveries_;
  std::vector<Delivery*> current_;  // in the order of the registrations
  std::map<std::string, ServiceRecord, std::less<>> strangers_;
  Resolver<void> finished_;
};

}  // namespace snowfox::appservice
