#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>

#include "common/run_directory.h"
#include "manager/service.h"

namespace snowfox::node {

/// All services of a node: those of the configuration, and those that are to go because they are in it no more.
///
/// What is wanted of each and how it fares is written down whenever it changes, so that another manager goes on where
/// this one has died.
class Services {
 public:
  /// One has changed, or is gone.
  using OnChanged = std::function<void(const public_api::Service&, bool removed)>;

  /// All must outlive it.
  Services(LoopManager& loop, SpawnerLink& spawner, const RunDirectory& directory, OnChanged on_changed);
  ~Services();
  Services(const Services&) = delete;
  Services& operator=(const Services&) = delete;

  /// What a configuration makes of the services that there are; prepared where that may fail.
  class Plan;
  std::shared_ptr<Plan> prepare(const std::vector<ServiceConfiguration>& wanted);
  /// Services that are new are started if they are to start by themselves, those that are not configured any more are
  /// stopped and then forgotten; one whose process is to be as before keeps it. `origin` is the request because of
  /// which, here and below; it may be empty.
  void apply(Plan& plan, const CorrelationId& origin) noexcept;

  /// Asks the spawner what there is, and goes on from there.
  Promise<void> take_up();
  void spawner_gone() noexcept;
  /// What there is may be otherwise than is thought here: look() asks.
  void doubt() noexcept { in_doubt_ = true; }
  /// To be called now and then.
  void look();
  void exited(const manager_spawner::Process& process);

  Promise<void> start(const std::string& id, const std::string& version, const CorrelationId& origin);
  Promise<void> stop(const std::string& id, const CorrelationId& origin);
  Promise<void> restart(const std::string& id, const CorrelationId& origin);
  /// One, or all if `id` is empty. Throws RemoteError (NO_SUCH_SERVICE), as the three above.
  std::vector<public_api::Service> list(const std::string& id) const;

  /// The node ends in order: stops all that are not to be left, within `patience`; settled when they have ended and
  /// what they wrote has been read, or the time is over. Nothing is written down for a next manager any more.
  Promise<void> shut_down(Duration patience, const CorrelationId& origin);

  Status status() const;
  void describe(public_api::Services& services) const;

 private:
  struct Saving final : Deferred {
    explicit Saving(Services& whose) : services(whose) {}
    void run() noexcept override { services.save(); }
    Services& services;
  };

  Service& find(const std::string& id) const;
  std::unique_ptr<Service> make(ServiceConfiguration configuration);
  void changed(Service& service);
  void remove(const std::string& id, const CorrelationId& origin);
  void forget_removed();
  void load();
  void save() noexcept;
  std::string state_file() const { return directory_.manager_state() + "/state"; }

  LoopManager& loop_;
  SpawnerLink& spawner_;
  RunDirectory directory_;
  OnChanged on_changed_;
  std::string boot_id_;
  manager_state::State former_;  // as another manager has left it
  std::map<std::string, std::unique_ptr<Service>> services_;
  std::map<std::string, std::unique_ptr<Service>> leaving_;  // not configured any more
  bool taken_up_ = false;
  bool in_doubt_ = false;
  bool ending_ = false;
  bool unsaved_ = false;
  Saving saving_{*this};
};

}  // namespace snowfox::node
