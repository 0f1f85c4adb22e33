#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace snowfox {
class LoopManager;
}

namespace snowfox::appservice {

/// Of one service: starts at 1 and only ever goes up, whatever becomes of the transactions.
using TransactionId = std::int64_t;
/// Since 1970, in milliseconds, as Matrix counts time.
using Milliseconds = std::int64_t;
/// Of the loop's clock.
Milliseconds wall_milliseconds(LoopManager& loop);

/// How much goes into one transaction. A single event does, however large it is.
struct TransactionLimits {
  std::size_t events = 100;
  std::size_t bytes = 4U << 20;  ///< of the whole body
};

/// Events on their way to a service, frozen: whenever they are sent, it is under this id and with these bytes.
struct Transaction {
  TransactionId id = 0;
  std::size_t events = 0;
  std::shared_ptr<const std::string> body{};
  /// When the first of its events was accepted.
  Milliseconds oldest = 0;
  /// It has failed so many times, before this process started, too.
  std::uint32_t failures = 0;
  /// … so many of them in a way that speaks against its content.
  std::uint32_t refusals = 0;
};

/// Puts events together to the body of a transaction: `{"events":[…]}`.
class TransactionBody {
 public:
  /// The age of the events is what it is at `now`, and stays so.
  TransactionBody(const TransactionLimits& limits, Milliseconds now);

  /// `event` as ClientEvent::body has it. False, and nothing was added: it does not fit.
  bool add(std::string_view event, Milliseconds age_ts);
  std::size_t events() const noexcept { return events_; }
  /// The whole; nothing may be added any more.
  std::shared_ptr<const std::string> take();

 private:
  TransactionLimits limits_;
  Milliseconds now_;
  std::size_t events_ = 0;
  std::string text_;
};

}  // namespace snowfox::appservice
