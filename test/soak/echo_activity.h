#pragma once

#include <cstdint>
#include <random>
#include <string>

#include <snowfox/core/address.h>
#include <snowfox/promises/promise_keeper.h>
#include <snowfox/sources/proto_buf_source.h>

#include "echo.pb.h"
#include "load/latencies.h"
#include "soak/activity.h"

namespace snowfox::soak {

/// A connection to an echo server.
class EchoClient {
 public:
  explicit EchoClient(LoopManager& loop);
  ~EchoClient();

  Promise<void> connect(const Address& address);
  Promise<echo::Envelope> ask(std::uint32_t code, const std::string& body);
  /// Stops reading, goes on reading.
  void pause() noexcept;
  void resume() noexcept;
  /// Answers that were given twice, or to no request.
  std::uint64_t orphans() const noexcept { return keeper_.counters().orphans; }

 private:
  LoopManager& loop_;
  PromiseKeeper keeper_;
  ProtoBufProtocol<echo::Envelope> protocol_;
  ProtoBufConnection connection_{kNoSource, kNoDrain};
};

/// Clients of an echo server that ask, that read slowly, and that leave in the middle of a message; those at `node`,
/// too.
class EchoActivity final : public Activity {
 public:
  EchoActivity(LoopManager& loop, Tally& tally, const Address& echo, const Address& node);
  ~EchoActivity() override { drop_tasks(); }

  Latencies& latencies() noexcept { return latencies_; }

 private:
  Task<> ask();
  Task<> read_slowly();
  Task<> leave_early();
  std::string random_body(std::size_t most);

  Address echo_;
  Address node_;
  Latencies latencies_;
  std::minstd_rand random_;
};

}  // namespace snowfox::soak
