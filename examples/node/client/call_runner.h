#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <set>
#include <string>

#include <snowfox/core/clock.h>

#include "client/call.h"
#include "client/node_client.h"

namespace snowfox::node {

/// Does what calls say, without waiting: any number may be under way, each answer is shown when it comes.
class CallRunner {
 public:
  struct Output {
    /// One line or more, with a newline at the end. If it throws, the call has failed.
    std::function<void(const std::string& text)> answer;
    std::function<void(const std::string& text)> failure;  ///< one line, without
    bool json = false;
  };

  /// `client` must outlive it; `timeout` is the client's.
  CallRunner(NodeClient& client, Duration timeout, Output output);

  /// Begins a call that is not Call::Kind::Exit.
  void run(const Call& call);
  /// Something is watched: the node goes on telling.
  bool watching() const noexcept { return !watched_.empty(); }
  /// Watches again, over a new connection, what was watched over the one that is lost.
  void watch_again();
  /// Calls under way.
  std::size_t pending() const noexcept { return pending_; }
  /// So many have failed.
  std::size_t failures() const noexcept { return failures_; }
  /// Calls `function`, once, when nothing is under way: at once if nothing is. What is watched counts if `to_the_end`.
  void when_idle(std::function<void()> function, bool to_the_end = false);
  /// The connection is lost: one line for all that were under way.
  void lost(const std::string& reason);

 private:
  void ask(const Call& call);
  void fail(const Call& call, const std::exception_ptr& error);
  void answered(const Call& call, const NodeClient::Message& answer);
  void one_done();
  void look_if_idle();

  NodeClient& client_;
  Duration timeout_;
  Output output_;
  std::function<void()> when_idle_;
  bool to_the_end_ = false;
  std::set<std::string> watched_;
  std::size_t pending_ = 0;
  std::size_t failures_ = 0;
  std::size_t told_ = 0;  // of those under way, so many have failed and were told of
};

}  // namespace snowfox::node
