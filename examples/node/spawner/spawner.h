#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <functional>
#include <optional>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/listener_source.h>

#include "common/link.h"
#include "common/run_directory.h"
#include "common/trace_recorder.h"
#include "protocol/daemon_spawner.pb.h"
#include "protocol/manager_spawner.pb.h"
#include "spawner/processes.h"

namespace snowfox::node {

/// The part of a node that keeps its privileges, and therefore does as little as possible: it starts and signals
/// processes as the manager says, tells it of their ends, and ends when the daemon says so or is gone.
///
/// If it is told to end, it takes the processes with it that are not to be left; if the daemon is gone, it leaves all
/// to whoever comes after it.
class Spawner {
 public:
  /// Connects to the daemon, who must be the parent process, and takes connections from `listener`, a socket that
  /// listens where the manager connects to. `on_connected` is called when the connection to the daemon stands and
  /// nothing has been read yet; what it throws ends the spawner. `descriptor_limit` is that of processes, if not our
  /// own. `loop` must outlive the spawner.
  Spawner(LoopManager& loop, const RunDirectory& directory, Descriptor listener,
          std::function<void()> on_connected = {}, std::optional<rlim_t> descriptor_limit = {});

 private:
  struct Ending final : Timer {
    explicit Ending(Spawner& whose) : spawner(whose) {}
    void expire() noexcept override;
    Spawner& spawner;
    bool stopped = false;
  };

  void daemon_connected(std::error_code error, const ChannelRef& channel);
  void daemon_asks(MessageEvent<daemon_spawner::Message>& request);
  void end(MessageEvent<daemon_spawner::Message>& request);
  void connected(const ChannelRef& channel);
  void open_manager(const ChannelRef& channel);
  void manager_asks(MessageEvent<manager_spawner::Message>& request);
  void answer_info(MessageEvent<manager_spawner::Message>& request);
  void tell_exit(const manager_spawner::Process& process);

  LoopManager& loop_;
  TraceRecorder recorder_;
  std::function<void()> on_connected_;
  TimePoint started_;
  Link<daemon_spawner::Message> daemon_;
  Link<manager_spawner::Message> manager_;
  pid_t manager_pid_ = 0;            // as the daemon says
  std::vector<ChannelRef> waiting_;  // connected before the daemon had said who the manager is
  Processes processes_;
  ConnectorSource connector_;
  ListenerSource listener_;
  TimePoint end_by_ = kNever;  // set once it is to end
  TimePoint kill_at_ = kNever;
  Ending ending_{*this};
};

}  // namespace snowfox::node
