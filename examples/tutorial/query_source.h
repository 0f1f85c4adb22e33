#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include <snowfox/core/channel.h>
#include <snowfox/core/event.h>
#include <snowfox/sources/stream_source.h>

#include "totals.h"

namespace tally {

/// A client has sent a line: `get NAME` or `list`. The answer goes to the event's drain.
class QueryReceived final : public snowfox::Event {
 public:
  /// `totals` must outlive the event.
  QueryReceived(const Totals& totals, std::string line, const snowfox::CorrelationId& id, snowfox::DrainId answers)
      : Event(id, answers), totals_(totals), line_(std::move(line)) {}
  void handle() override;

 private:
  const Totals& totals_;
  std::string line_;
};

/// The lines of one client, each ended by a newline. A longer one than kMaxLineBytes ends the connection.
class QuerySource final : public snowfox::StreamSource {
 public:
  static constexpr std::size_t kMaxLineBytes = 256;

  /// `totals` must outlive the source; answers go to the drain `answers`.
  QuerySource(snowfox::LoopManager& loop, snowfox::ChannelRef channel, const Totals& totals, snowfox::DrainId answers);

 private:
  snowfox::EventRef parse_frame(snowfox::ReceiveBuffer& received) override;

  const Totals& totals_;
  snowfox::DrainId answers_;
};

}  // namespace tally
