#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/http_client/http_client.h>
#include <snowfox/promises/task.h>

#include "appservice/daemon.h"
#include "appservice/sqlite_store.h"

#include "children.h"

namespace snowfox::appservice_bench {

using namespace snowfox::appservice;

/// Services that answer `{}`, each at a port of its own, all in one process. Does not return.
void serve(Shared& shared, std::size_t services);

/// Event `number`, for service `service` alone: some 500 bytes, with an id as random as homeservers' are.
std::string event_json(std::uint64_t number, std::size_t service);

/// Writes a daemon's configuration with its registrations into `directory` and gives the path. The store is store.db.
std::string write_configuration(const std::string& directory, const Shared& shared, std::size_t services,
                                std::size_t events_per_transaction);
std::string store_path(const std::string& directory);

/// The id of a service, as registered.
std::string service_id(std::size_t service);

/// The daemon, as its program runs it, until SIGTERM; its address and its commits go into `shared`.
void run_daemon(Shared& shared, const std::string& configuration);

/// What the daemon is made of, without its listeners.
class Parts {
 public:
  explicit Parts(const std::string& configuration);

  /// Everything goes on from what the store knows.
  Task<> start();
  /// Runs the loop until `work` has come to its end. To be called once.
  void run(Task<> work);
  LoopManager& loop() noexcept { return loop_; }
  SqliteStore& store() noexcept { return store_; }
  Intake& intake() noexcept { return intake_; }
  Scheduler& scheduler() noexcept { return scheduler_; }
  /// Nothing waits and nothing is being done, for any service.
  bool idle();

 private:
  Task<> end_after(Task<> work, std::exception_ptr& error);

  Settings settings_;
  LoopManager loop_;
  SqliteStore store_;
  HttpClient http_client_;
  ServiceClient service_client_;
  Scheduler scheduler_;
  Rooms rooms_;
  Intake intake_;
};

/// Submits `bodies` to a daemon over so many connections, on each one at a time. Gives seconds.
double submit_over_http(std::uint16_t port, const std::vector<std::string>& bodies, std::size_t connections);

}  // namespace snowfox::appservice_bench
