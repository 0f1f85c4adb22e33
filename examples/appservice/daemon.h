#pragma once

#include <chrono>
#include <memory>
#include <string>

#include <snowfox/context/process.h>
#include <snowfox/context/reload.h>
#include <snowfox/core/io.h>
#include <snowfox/http/http_protocol.h>
#include <snowfox/http/monitoring.h>
#include <snowfox/http_client/http_client.h>

#include "appservice/admin.h"
#include "appservice/api.h"
#include "appservice/configuration.h"
#include "appservice/intake.h"
#include "appservice/interest.h"
#include "appservice/registration.h"
#include "appservice/rooms.h"
#include "appservice/scheduler.h"
#include "appservice/service_client.h"
#include "appservice/store.h"

namespace snowfox::appservice {

/// A configuration and the registrations that it names.
struct Settings {
  Configuration configuration;
  std::shared_ptr<const Registrations> registrations;
};

/// Reads the configuration at `path` and all registration files. Throws ConfigurationError with all that is wrong with
/// any of them.
LoadedConfiguration<Settings> load_settings(const std::string& path, Io& io = Io::system());

/// The daemon: its parts, and how they follow the configuration. `process` must outlive it.
class Daemon {
 public:
  /// Opens the store and listens, as `first` says, which was read at `path`. `version` is for the status page. Throws
  /// if any of that cannot be done.
  Daemon(Process& process, std::string path, LoadedConfiguration<Settings> first, std::string version = "");
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  /// Where it listens, as actually bound.
  Address address() const;
  Address admin_address() const;

 private:
  static std::unique_ptr<Store> open_store(LoopManager& loop, const Configuration& configuration);
  static ServiceClientOptions client_options(const Configuration& configuration);
  static DeliveryOptions delivery_options(const Configuration& configuration);

  void build(const Settings& settings, DynamicScopeBuilder& scope);
  void apply(const Settings& settings, bool first);
  nlohmann::json intake_numbers() const;
  std::shared_ptr<const Interest> make_interest(std::shared_ptr<const Registrations> registrations);
  Task<> learn_services();
  Task<> end(Process::Completion completion);

  Process& process_;
  LoopManager& loop_;
  std::string path_;
  LoadedConfiguration<Settings> first_;
  std::unique_ptr<Store> store_;
  HttpClient transactions_client_;
  HttpClient questions_client_;
  ServiceClient service_client_;
  Scheduler scheduler_;
  Rooms rooms_;
  Intake intake_;
  HttpProtocol api_protocol_;
  HttpProtocol admin_protocol_;
  Api api_;
  Monitoring monitoring_;
  Admin admin_;
  Reload<Settings> reload_;
  bool learnt_ = false;
};

}  // namespace snowfox::appservice
