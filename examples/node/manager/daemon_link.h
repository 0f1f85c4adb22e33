#pragma once

#include <functional>
#include <optional>
#include <string>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>

#include "common/link.h"
#include "common/run_directory.h"
#include "protocol/daemon_manager.pb.h"
#include "protocol/public_api.pb.h"

namespace snowfox::node {

/// The manager's side of its link to the daemon, its parent.
class DaemonLink {
 public:
  using Message = daemon_manager::Message;
  struct Handlers {
    /// The manager is to end within so long.
    std::function<void(Duration, const CorrelationId&)> on_shutdown;
    /// The Error if the configuration is refused.
    std::function<std::optional<Error>(const CorrelationId&)> on_reload;
    std::function<void(const daemon_manager::Supervision&)> on_supervision;
    std::function<void()> on_gone;
  };

  DaemonLink(LoopManager& loop, Handlers handlers);

  /// Rejected if the daemon cannot be reached, or who listens there is not the parent process.
  Promise<void> connect(const RunDirectory& directory, Duration timeout);
  /// Says how the node is.
  void tell(const Status& status);
  /// Says that clients are served.
  void ready();
  /// Says that they never will be. False if there is nobody to say it to.
  bool start_failed(const std::string& reason);
  /// Asks for the end of the node, on behalf of the request `id`. Settled when that has begun.
  Promise<void> shut_down(const CorrelationId& id);
  /// What it knows of the request `about`.
  Promise<TraceResponse> trace(const CorrelationId& about, const CorrelationId& origin, Duration timeout);
  void describe(public_api::Link& link) const;

 private:
  void asked(MessageEvent<Message>& request);

  LoopManager& loop_;
  Handlers handlers_;
  Link<Message> link_;
  TimePoint since_{};
};

}  // namespace snowfox::node
