#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/context/inherited_listeners.h>
#include <snowfox/context/reload.h>
#include <snowfox/context/static_scope.h>
#include <snowfox/core/io.h>
#include <snowfox/core/log.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/trail.h>
#include <snowfox/promises/task.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/scheduler_source.h>

#include "common/command_line.h"
#include "common/run_directory.h"
#include "common/trace_recorder.h"
#include "manager/configuration.h"
#include "manager/daemon_link.h"
#include "manager/kept_configuration.h"
#include "manager/public_api.h"
#include "manager/services.h"
#include "manager/spawner_link.h"

namespace snowfox::node {

struct ManagerOptions {
  std::string configuration;  ///< the path of the file or directory
  LogOptions log;             ///< goes before what the configuration says
};

/// The part of a node that does all but what needs privileges: reads the configuration, serves clients, knows how the
/// node is.
class Manager final : public NodeRequests {
 public:
  /// Connects to the daemon and the spawner, then serves clients at `listener`, the public socket, and at what the
  /// configuration asks for, which `inherited` may hold already. If it cannot, it says so and ends the loop. All must
  /// outlive it.
  Manager(LoopManager& loop, DescriptorLogSink& log_sink, const RunDirectory& directory, Descriptor listener,
          ManagerOptions options, InheritedListeners inherited = {});

  std::string node_name() const override { return reload_.configuration().node_name; }
  public_api::NodeInfoResponse node_info() override;
  Promise<public_api::NodeInfoResponse> detailed_node_info(const CorrelationId& id, Duration timeout) override;
  std::vector<public_api::Service> services(const std::string& id) const override { return services_.list(id); }
  Promise<void> start_service(const std::string& id, const std::string& version, const CorrelationId& origin) override {
    return services_.start(id, version, origin);
  }
  Promise<void> stop_service(const std::string& id, const CorrelationId& origin) override {
    return services_.stop(id, origin);
  }
  Promise<void> restart_service(const std::string& id, const CorrelationId& origin) override {
    return services_.restart(id, origin);
  }
  Promise<public_api::Trace> trace(const CorrelationId& about, const CorrelationId& id, Duration timeout) override;
  public_api::ExplainResponse explain(const CorrelationId& id) override;
  std::optional<Error> reload(const CorrelationId& id) override;
  Promise<void> shut_down(const CorrelationId& id) override { return daemon_.shut_down(id); }

 private:
  struct NamedStatus {
    std::string_view subsystem;
    Status status;
  };

  Task<> start(Descriptor listener);
  LoadedConfiguration<Configuration> read_configuration();
  void load();
  void build(const Configuration& configuration, DynamicScopeBuilder& scope);
  void in_force(const Configuration& configuration) noexcept;
  void tick();
  void tell_status();
  void end(Duration timeout, const CorrelationId& id);

  std::vector<NamedStatus> all_statuses() const;
  Status overall_status() const;
  Status configuration_status() const;
  void describe(public_api::Details& details);

  LoopManager& loop_;
  RunDirectory directory_;
  ManagerOptions options_;
  StaticScope statics_;
  Trail trail_;
  TraceRecorder recorder_;
  SpawnerLink spawner_;
  DaemonLink daemon_;
  PublicApi api_;
  Services services_;
  KeptConfiguration kept_;
  YamlTexts texts_;  // as read last
  Reload<Configuration> reload_;
  std::optional<ListenerSource> public_listener_;
  std::string refused_;  // why the configuration read last is not in force; empty if it is
  std::uint32_t reloads_ = 0;
  std::uint32_t failed_reloads_ = 0;
  daemon_manager::Supervision supervision_;
  CorrelationId reloading_;  // the request that is being worked on
  Status told_;              // what the log and the daemon were told of the overall status
};

}  // namespace snowfox::node
