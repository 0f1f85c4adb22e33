#pragma once

#include <functional>
#include <optional>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>

#include "common/link.h"
#include "common/run_directory.h"
#include "common/status.h"
#include "protocol/manager_spawner.pb.h"
#include "protocol/public_api.pb.h"

namespace snowfox::node {

/// The manager's side of its link to the spawner.
class SpawnerLink {
 public:
  using Message = manager_spawner::Message;

  struct Handlers {
    /// A process has ended; what has returned from this is acknowledged.
    std::function<void(const manager_spawner::Process&)> on_exited;
    std::function<void()> on_gone;
    /// It is there again.
    std::function<void()> on_back;
    /// What it was asked may have been done or not.
    std::function<void()> on_doubt;
  };

  SpawnerLink(LoopManager& loop, Handlers handlers);

  /// Settled when the spawner has answered. From then on the connection is made again whenever it is lost.
  Promise<void> connect(const RunDirectory& directory, Duration timeout);
  DrainId drain_id() const noexcept { return link_.drain_id(); }
  bool is_open() const noexcept { return link_.is_open(); }
  /// Rejected with what the spawner says, or if it is gone, says nothing in time, or answers something else
  /// (WRONG_PAYLOAD).
  /// `origin` is the request because of which it is asked, if there is one.
  Promise<manager_spawner::Process> start_process(manager_spawner::StartProcess request, const CorrelationId& origin);
  Promise<void> stop_process(manager_spawner::StopProcess request, const CorrelationId& origin);
  Promise<manager_spawner::ProcessListResponse> list(Duration timeout);
  /// What it knows of the request `about`.
  Promise<TraceResponse> trace(const CorrelationId& about, const CorrelationId& origin, Duration timeout);
  /// Whoever asked it cannot tell what came of that.
  void doubt() { handlers_.on_doubt(); }
  /// Asks how the spawner is and remembers that. Rejected if it does not answer.
  Promise<void> look(const CorrelationId& id, Duration timeout);
  /// What is known of it.
  Status status() const;
  void describe(public_api::Link& link) const;
  const PromiseKeeper& keeper() const noexcept { return link_.keeper(); }

 private:
  Promise<void> open(const RunDirectory& directory, Duration timeout);
  void connect_again(Duration wait);
  void asked(MessageEvent<Message>& request);
  void remember(const manager_spawner::SpawnerInfoResponse& info, Duration round_trip);

  LoopManager& loop_;
  Handlers handlers_;
  Link<Message> link_;
  public_api::Link last_;                  // what it said when it was asked last
  bool late_ = false;                      // it did not answer when it was asked last
  std::optional<RunDirectory> directory_;  // once connected
  bool connecting_ = false;                // again
};

}  // namespace snowfox::node
