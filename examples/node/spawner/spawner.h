#pragma once

#include <sys/types.h>

#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/listener_source.h>

#include "common/link.h"
#include "common/run_directory.h"
#include "protocol/daemon_spawner.pb.h"
#include "protocol/manager_spawner.pb.h"

namespace snowfox::node {

/// The part of a node that keeps its privileges, and therefore does as little as possible: it answers the manager, and
/// ends when the daemon says so or is gone. The processes of services will be its children.
class Spawner {
 public:
  /// Connects to the daemon, who must be the parent process, and takes connections from `listener`, a socket that
  /// listens where the manager connects to. `loop` must outlive the spawner.
  Spawner(LoopManager& loop, const RunDirectory& directory, Descriptor listener);

 private:
  void daemon_connected(std::error_code error, const ChannelRef& channel);
  void daemon_asks(MessageEvent<daemon_spawner::Message>& request);
  void connected(const ChannelRef& channel);
  void open_manager(const ChannelRef& channel);
  void manager_asks(MessageEvent<manager_spawner::Message>& request);

  LoopManager& loop_;
  TimePoint started_;
  Link<daemon_spawner::Message> daemon_;
  Link<manager_spawner::Message> manager_;
  pid_t manager_pid_ = 0;            // as the daemon says
  std::vector<ChannelRef> waiting_;  // connected before the daemon had said who the manager is
  ConnectorSource connector_;
  ListenerSource listener_;
};

}  // namespace snowfox::node
