#pragma once

#include <cstddef>
#include <exception>
#include <functional>
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
  CallRunner(NodeClient& client, Duration timeout, Output output)
      : client_(client), timeout_(timeout), output_(std::move(output)) {}

  /// Begins a call that is not Call::Kind::Exit.
  void run(const Call& call);
  /// Calls under way.
  std::size_t pending() const noexcept { return pending_; }
  /// So many have failed.
  std::size_t failures() const noexcept { return failures_; }
  /// Calls `function`, once, when nothing is under way: at once if nothing is.
  void when_idle(std::function<void()> function);
  /// The connection is lost: one line for all that were under way.
  void lost(const std::string& reason);

 private:
  void ask(const Call& call);
  void fail(const Call& call, const std::exception_ptr& error);
  void one_done();

  NodeClient& client_;
  Duration timeout_;
  Output output_;
  std::function<void()> when_idle_;
  std::size_t pending_ = 0;
  std::size_t failures_ = 0;
  std::size_t told_ = 0;  // of those under way, so many have failed and were told of
};

}  // namespace snowfox::node
