#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include <snowfox/core/clock.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/task.h>

#include "appservice/registration.h"
#include "appservice/service_client.h"
#include "appservice/store.h"
#include "appservice/transaction.h"
#include "appservice/wake_up.h"

namespace snowfox::appservice {

struct DeliveryOptions {
  TransactionLimits limits;
  /// After a failure; then twice as long each time, up to the other, give or take a tenth.
  Duration first_retry = std::chrono::seconds(2);
  Duration longest_retry = std::chrono::seconds(512);
  /// A transaction that was refused (Answer::refusal) so many times is parked; 0: never.
  std::uint32_t park_after = 10;
  /// The same for whatever else goes wrong.
  std::uint32_t park_server_errors_after = 0;
};

/// What all deliveries share. All it names must outlive them.
struct DeliveryContext {
  LoopManager& loop;
  Store& store;
  ServiceClient& client;
  DeliveryOptions options;
  std::minstd_rand random;
  /// No delivery begins anything more.
  bool finishing = false;
  /// So many are at something that should come to its end: a transaction is on its way, or being written down.
  std::size_t busy = 0;
  /// Called when `busy` has become zero.
  std::function<void()> quiet;
};

/// What is to be seen of a delivery.
struct DeliveryStatus {
  bool up = true;
  bool paused = false;
  /// What it is doing: "idle", "storing", "sending", "waiting to retry", "paused".
  std::string_view doing;
  std::uint64_t backlog = 0;      ///< events that wait or are on their way, parked ones not
  std::uint64_t parked = 0;       ///< transactions
  TransactionId transaction = 0;  ///< the one that is on its way or to be retried; 0: none
  std::uint32_t failures = 0;     ///< of that one
  /// When the first event that waits was accepted. Nothing: none waits, or that is not known, for since the start there
  /// was no transaction of them.
  std::optional<Milliseconds> oldest;
  std::optional<Duration> next_retry;  ///< from now
  std::string last_error;              ///< empty: none since it was last up
  std::optional<Milliseconds> down_since;
  std::uint64_t sent_transactions = 0;
  std::uint64_t failed_transactions = 0;  ///< attempts
  std::uint64_t sent_events = 0;
};

/// Brings one service its events, in order, one transaction at a time: each is sent until the service has it, or until
/// it is parked. It is one coroutine, so there is never a second transaction on its way, nor a second one that
/// recovers: what a service is up to is where in run() its coroutine stands.
///
/// A service that fails is DOWN from that moment on until nothing waits any more; meanwhile events are stored as
/// events, and packed only when their turn comes.
class Delivery {
 public:
  Delivery(DeliveryContext& context, std::shared_ptr<const Registration> registration, const ServiceRecord& record);
  ~Delivery();
  Delivery(const Delivery&) = delete;
  Delivery& operator=(const Delivery&) = delete;

  /// Begins; `record` has told what waits.
  void start();

  // --- what is being accepted for it ---

  /// Events are about to be accepted. True if nothing waits and nobody else has said so: then a transaction is to be
  /// made of them in the same commit, and the outcome told by claimed() or not_accepted().
  bool claim() noexcept;
  void claimed(std::optional<Transaction> transaction);
  /// So many more events are in its queue, those of a claimed transaction included, accepted at `when`; nothing: some
  /// time ago.
  void accepted(std::size_t events, std::optional<Milliseconds> when);
  /// What was to be accepted may or may not have been.
  void not_accepted(bool claim);

  // --- by hand ---

  /// If it waits for its next attempt, that is made now.
  void retry_now();
  /// How much waits may not be what was counted.
  void count_again();

  // What these change is noted when the store has done it, whether or not somebody still waits for their promises. If
  // the store cannot tell whether it did, they are rejected, and the delivery finds out by itself.

  Promise<void> pause();
  Promise<void> resume();
  Promise<std::vector<ParkedTransaction>> parked(std::size_t most);
  /// False: no such transaction is parked.
  Promise<bool> requeue(TransactionId transaction);
  Promise<Answer> ping(std::string_view transaction_id);

  /// From the next attempt on.
  void set_registration(std::shared_ptr<const Registration> registration);
  const Registration& registration() const noexcept { return *registration_; }
  /// The service is not registered any more: nothing new is sent. set_registration() has it go on.
  void retire() noexcept { retired_ = true; }
  bool retired() const noexcept { return retired_; }
  DeliveryStatus status() const;

 private:
  enum class Doing : std::uint8_t { Idle, Storing, Sending, Waiting, Paused };

  Task<> supervise();
  Task<> run();
  Task<Step::Kind> bring(Transaction& transaction);
  Task<> advance(Step::Kind kind);
  bool held() const noexcept { return paused_ || retired_ || context_.finishing; }
  bool has_work() const noexcept;
  void be_busy(bool busy);
  void take(const Step& step, Advanced advanced);
  void note_success(const Transaction& transaction);
  void note_too_large(const Transaction& transaction);
  void note_failure(Transaction& transaction, const Answer& answer);
  bool to_be_parked(const Transaction& transaction) const noexcept;
  Duration retry_after(std::uint32_t failures, const Answer& answer);
  void note_up();
  TransactionLimits limits() const noexcept;
  Milliseconds now() const;
  Promise<void> set_paused(bool paused);
  Task<> confirm_paused();
  void go_on();

  DeliveryContext& context_;
  std::shared_ptr<const Registration> registration_;  // part of the set that it came with
  WakeUp wake_up_;
  std::optional<Transaction> transaction_;
  std::uint64_t backlog_;
  std::optional<Milliseconds> oldest_;  // without a transaction: when the first of the backlog was accepted, if known
  std::uint64_t parked_;
  bool up_;
  bool paused_;
  bool retired_ = false;
  bool claimed_ = false;
  bool recount_ = false;
  bool confirming_paused_ = false;
  std::size_t requeues_ = 0;  // that the store has not answered yet
  bool busy_ = false;
  Doing doing_ = Doing::Idle;
  std::uint32_t failures_in_a_row_ = 0;
  std::size_t most_events_;  // in one transaction, at the moment
  std::string last_error_;
  std::optional<Milliseconds> down_since_;
  std::uint64_t sent_transactions_ = 0;
  std::uint64_t failed_transactions_ = 0;
  std::uint64_t sent_events_ = 0;
  CorrelationId chain_;
  Task<> confirmation_;
  Task<> task_;
};

}  // namespace snowfox::appservice
