#pragma once

#include <functional>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>

#include "client/call.h"
#include "client/node_client.h"
#include "common/backoff.h"

namespace snowfox::node {

/// Sees to it that a client is connected: when something is asked, and, for who wants to keep the connection, again
/// after it was lost, the first time soon and then less and less often.
class Connection {
 public:
  /// `on_connected` is called each time. `client` must outlive it.
  Connection(LoopManager& loop, NodeClient& client, std::function<void()> on_connected);

  /// As NodeClient::ask, but connects before if need be. If there is no node it is rejected with a GeneralFailure.
  Promise<NodeClient::Message> ask(const Call& call);
  /// Settled when there is a connection; rejected likewise.
  Promise<void> connect();
  /// From now on a lost connection is made again.
  void keep() noexcept { kept_ = true; }
  /// To be called when the connection is lost.
  void lost();

 private:
  void attempt();
  void attempt_later();
  template <typename Settle>
  void settle(const Settle& how);

  LoopManager& loop_;
  NodeClient& client_;
  std::function<void()> on_connected_;
  std::vector<Resolver<void>> waiting_;
  Backoff backoff_;
  unsigned attempts_ = 0;
  bool connecting_ = false;
  bool kept_ = false;
};

}  // namespace snowfox::node
