#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <snowfox/promises/promise.h>

#include "appservice/rooms.h"
#include "appservice/transaction.h"

namespace snowfox::appservice {

/// An event that was submitted.
struct NewEvent {
  std::string event_id;
  std::string body;  ///< see ClientEvent::body
  Milliseconds age_ts = 0;
  std::vector<std::string> services;  ///< who is to have it
  std::optional<RoomChange> change;   ///< what it says about its room
};

/// Events that are accepted together or not at all.
struct Submission {
  std::vector<NewEvent> events;
  /// Services that wait for work: what is theirs is frozen as a transaction in the same commit, as far as `limits`
  /// allow.
  std::vector<std::string> claims;
  TransactionLimits limits;
  Milliseconds now = 0;
};

struct Accepted {
  /// Of each event: an event of that id had been accepted before, and nothing was done about this one.
  std::vector<bool> known;
  /// Of each claim: its transaction; none if all its events were known.
  std::vector<std::optional<Transaction>> transactions;
};

/// How the transaction that a service was sent has ended, and that the next one is wanted.
struct Step {
  enum class Kind : std::uint8_t {
    None,   ///< there was none
    Done,   ///< the service has it
    Split,  ///< it was too large: its events go back to the front of the queue, its id is not used again
    Park,   ///< it is put aside
  };
  std::string service;
  Kind kind = Kind::None;
  TransactionId transaction = 0;
  std::string reason;  ///< to park it
  /// Of the next one.
  TransactionLimits limits;
  Milliseconds now = 0;
  /// Say how many events wait, and how many transactions are parked. It takes the longer the more they are.
  bool count = false;
};

struct Advanced {
  /// The oldest that was frozen and is not parked, else a new one; none: nothing waits, and the service is up.
  std::optional<Transaction> next;
  /// As asked for: events that wait, those of `next` included, those that are parked not.
  std::optional<std::uint64_t> backlog;
  /// As asked for: transactions.
  std::optional<std::uint64_t> parked;
};

/// What is known of a service when the daemon starts.
struct ServiceRecord {
  std::string id;
  bool up = true;
  bool paused = false;
  TransactionId last_transaction = 0;
  std::uint64_t backlog = 0;  ///< events that wait, parked ones not
  std::uint64_t parked = 0;   ///< transactions
};

struct ParkedTransaction {
  TransactionId id = 0;
  std::size_t events = 0;
  std::string reason;
  Milliseconds created = 0;
  std::uint32_t failures = 0;
};

/// Where events, queues and transactions are kept. What a promise is fulfilled for is durable.
///
/// Calls take effect in the order in which they are made, and are answered in that order. All that is rejected can be
/// made again: nothing was changed, or, where that cannot be known, a second time changes nothing more.
class Store : public RoomSource {
 public:
  ~Store() override = default;

  virtual Promise<Accepted> accept(Submission submission) = 0;
  virtual Promise<Advanced> advance(Step step) = 0;
  /// The service is down: its transaction has failed so often.
  virtual Promise<void> failed(std::string service, TransactionId transaction, std::uint32_t failures,
                               std::uint32_t refusals, std::string reason) = 0;
  virtual Promise<void> pause(std::string service, bool paused) = 0;
  /// Whatever is known of any service.
  virtual Promise<std::vector<ServiceRecord>> services() = 0;
  /// The oldest, at most so many.
  virtual Promise<std::vector<ParkedTransaction>> parked(std::string service, std::size_t most) = 0;
  /// Those of the events that have been accepted.
  virtual Promise<std::vector<std::string>> known(std::vector<std::string> event_ids) = 0;
  /// Back to the front of the queue, as it was: how many events that are; nothing if no such transaction is parked.
  virtual Promise<std::optional<std::size_t>> requeue(std::string service, TransactionId transaction) = 0;

  /// What stands in the way of writing at the moment; empty: nothing.
  virtual std::string trouble() const = 0;
  /// Bytes of what is written and not committed yet.
  virtual std::size_t backlog_bytes() const = 0;
  /// Takes no more calls; fulfilled when all is written and closed.
  virtual Promise<void> close() = 0;

  /// Called on the loop when the store is there again after it was away: somebody else may have had it meanwhile, and
  /// nothing that is remembered of it need be so.
  void when_back(std::function<void()> function) { back_ = std::move(function); }

 protected:
  std::function<void()> back_ = [] {};
};

}  // namespace snowfox::appservice
