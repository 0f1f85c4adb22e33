#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/core/loop_manager.h>

#include "protocol/public_api.pb.h"

namespace snowfox::node {

/// The latest requests of clients: when each came, and how and when it was answered. When there are too many, the
/// oldest go. To note one takes no memory.
class RequestHistory {
 public:
  static constexpr std::size_t kMost = 1024;
  /// So many are listed, the latest.
  static constexpr std::size_t kMostListed = 100;

  /// `loop` must outlive it.
  explicit RequestHistory(LoopManager& loop) : loop_(loop), ring_(kMost) {}

  void began(const CorrelationId& id, public_api::Code code) noexcept;
  /// The latest of this id that is not answered yet has been, by this error or, if it is 0, by what it asked for.
  void answered(const CorrelationId& id, int error) noexcept;

  /// The latest, but for the one with the id `except`.
  void list(const CorrelationId& except, public_api::Trace& trace) const;
  /// Adds to `trace` that the request came, and that it was answered.
  void find(const CorrelationId& id, public_api::Trace& trace) const;

 private:
  struct Request {
    CorrelationId id;
    public_api::Code code = public_api::UNSPECIFIED;
    TimePoint began{};
    std::chrono::system_clock::time_point wall{};
    Duration took{};
    bool answered = false;
    int error = 0;
  };

  /// The `i`th, the oldest being 0.
  const Request& at(std::size_t i) const noexcept { return ring_[(noted_ - known() + i) % kMost]; }
  std::size_t known() const noexcept { return noted_ < kMost ? noted_ : kMost; }

  LoopManager& loop_;
  std::vector<Request> ring_;
  std::size_t noted_ = 0;
};

}  // namespace snowfox::node
