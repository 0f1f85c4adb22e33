#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "client/call.h"
#include "client/node_client.h"

namespace snowfox::node {

/// Makes the same calls many times, all without waiting for an answer in between, and tells in the end how that went.
class Repetition {
 public:
  struct Result {
    std::size_t requests = 0;
    std::size_t answered = 0;  ///< by the answer that belongs to the request
    std::size_t failed = 0;
    std::size_t out_of_order = 0;  ///< answered after a request that was made later
    double seconds = 0;
    std::string first_failure;  ///< empty if none has failed

    std::string text() const;
    std::string json() const;
  };

  /// `client` must outlive it; `timeout` is the client's.
  Repetition(NodeClient& client, Duration timeout) : client_(client), timeout_(timeout) {}

  /// Makes all requests; `on_done` is called when the last one has ended. Calls that ask the node nothing are left out.
  void run(const std::vector<Call>& calls, std::size_t times, std::function<void(const Result&)> on_done);

 private:
  void request(const Call& call);
  void answered(std::size_t number);
  void failed(const Call& call, const std::exception_ptr& error);
  void one_done();

  NodeClient& client_;
  Duration timeout_;
  std::function<void(const Result&)> on_done_;
  Result result_;
  std::chrono::steady_clock::time_point began_;
  std::size_t pending_ = 0;
  std::size_t latest_answered_ = 0;
};

}  // namespace snowfox::node
