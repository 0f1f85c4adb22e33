#include "appservice/delivery.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <system_error>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/promises/sleep.h>

namespace snowfox::appservice {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kComponent = "delivery";
/// Between attempts to write down what has become of a transaction.
constexpr Duration kFirstStoreRetry = 500ms;
constexpr Duration kLongestStoreRetry = 10s;

}  // namespace

Delivery::Delivery(DeliveryContext& context, std::shared_ptr<const Registration> registration,
                   const ServiceRecord& record)
    : context_(context),
      registration_(std::move(registration)),
      wake_up_(context.loop),
      backlog_(record.backlog),
      parked_(record.parked),
      up_(record.up),
      paused_(record.paused),
      // It was never written down that nothing waits any more.
      recount_(!record.up && record.backlog == 0),
      most_events_(context.options.limits.events) {}

Delivery::~Delivery() {
  if (busy_) --context_.busy;
}

void Delivery::start() { task_ = supervise(); }

/// Whatever goes wrong in here, a want of memory for instance, costs a second and perhaps a transaction that is sent
/// twice, never a service that hears nothing any more.
Task<> Delivery::supervise() {
  for (;;) {
    std::exception_ptr error;
    try {
      co_await run();
    } catch (const std::system_error& failed) {
      if (failed.code() == Errc::ShuttingDown) co_return;
      error = std::current_exception();
    } catch (const std::exception&) {
      error = std::current_exception();
    }
    context_.loop.log().error(kComponent, "delivery failed, beginning again",
                              {{"service", registration_->id}, {"error", describe(error)}}, chain_);
    be_busy(false);
    recount_ = true;
    co_await wake_up_.at(deadline_after(context_.loop.now(), 1s));
  }
}

Task<> Delivery::run() {
  for (;;) {
    if (!transaction_) {
      // Nothing comes between this look and what it leads to: an event that is accepted later rings.
      while (!has_work()) {
        doing_ = held() ? Doing::Paused : Doing::Idle;
        co_await wake_up_.at(kNever);
      }
    }
    if (!transaction_) co_await advance(Step::Kind::None);
    while (transaction_) {
      const Step::Kind outcome = co_await bring(*transaction_);
      co_await advance(outcome);
    }
    note_up();
  }
}

bool Delivery::has_work() const noexcept {
  if (transaction_) return true;
  return !claimed_ && !held() && (backlog_ > 0 || recount_);
}

/// Sends `transaction` until something else is to be done about it.
Task<Step::Kind> Delivery::bring(Transaction& transaction) {
  chain_ = context_.loop.ids().next();
  for (;;) {
    while (held()) {
      doing_ = Doing::Paused;
      co_await wake_up_.at(kNever);
    }
    doing_ = Doing::Sending;
    be_busy(true);
    const Answer answer = co_await context_.client.send(*registration_, transaction, chain_);
    if (answer.ok()) {
      note_success(transaction);
      co_return Step::Kind::Done;
    }
    if (answer.status == 413 && transaction.events > 1) {
      note_too_large(transaction);
      co_return Step::Kind::Split;
    }
    // Down from here on, before anything else can happen: what comes is stored, and waits behind this one.
    note_failure(transaction, answer);
    if (to_be_parked(transaction)) co_return Step::Kind::Park;
    context_.store.failed(registration_->id, transaction.id, transaction.failures, transaction.refusals, last_error_)
        .otherwise([](const std::exception_ptr&) {})  // known again after the next failure
        .detach();
    const Duration wait = retry_after(failures_in_a_row_, answer);
    doing_ = Doing::Waiting;
    be_busy(false);
    co_await wake_up_.at(deadline_after(context_.loop.now(), wait));
  }
}

/// Writes down how the transaction at hand has ended, and fetches the next one. While the store is away the service
/// waits: what it has acknowledged must not be sent again only because nobody knows.
Task<> Delivery::advance(Step::Kind kind) {
  doing_ = Doing::Storing;
  be_busy(true);
  Step step;
  step.service = registration_->id;
  step.kind = kind;
  if (transaction_) step.transaction = transaction_->id;
  if (kind == Step::Kind::Park) step.reason = last_error_;
  for (Duration wait = kFirstStoreRetry;; wait = std::min(wait * 2, kLongestStoreRetry)) {
    step.limits = limits();
    step.now = now();
    step.count = recount_;
    std::exception_ptr error;
    try {
      Promise<Advanced> written = context_.store.advance(step);
      Advanced advanced = co_await std::move(written);
      take(step, std::move(advanced));
      break;
    } catch (const std::exception&) {
      error = std::current_exception();
    }
    context_.loop.log().warning(kComponent, "cannot be written down, trying again",
                                {{"service", registration_->id}, {"error", describe(error)}}, chain_);
    co_await wake_up_.at(deadline_after(context_.loop.now(), wait));
  }
  be_busy(false);
}

void Delivery::take(const Step& step, Advanced advanced) {
  if (step.kind == Step::Kind::Park) {
    ++parked_;
    failures_in_a_row_ = 0;  // they were that one's: what comes next is not to wait for it
    context_.loop.log().error(kComponent, "transaction parked",
                              {{"service", registration_->id},
                               {"transaction", transaction_->id},
                               {"events", std::uint64_t{transaction_->events}},
                               {"reason", last_error_}},
                              chain_);
  }
  if (advanced.parked) parked_ = *advanced.parked;
  if (advanced.backlog) {
    backlog_ = *advanced.backlog;
    recount_ = false;
  } else if (step.kind == Step::Kind::Done || step.kind == Step::Kind::Park) {
    backlog_ -= std::min<std::uint64_t>(backlog_, transaction_->events);
  }
  transaction_ = std::move(advanced.next);
  oldest_.reset();
  // What waits must be found; if it is not, it was counted wrongly.
  if (!transaction_ && backlog_ > 0 && !advanced.backlog) recount_ = true;
}

// --- what is being accepted ---

bool Delivery::claim() noexcept {
  if (transaction_ || claimed_ || held() || doing_ != Doing::Idle) return false;
  // Of what waits, or may do so, the oldest comes first.
  if (recount_ || requeues_ > 0 || backlog_ > 0) return false;
  claimed_ = true;
  return true;
}

void Delivery::claimed(std::optional<Transaction> transaction) {
  claimed_ = false;
  transaction_ = std::move(transaction);
  wake_up_.ring();
}

void Delivery::accepted(std::size_t events, std::optional<Milliseconds> when) {
  if (!when) {
    oldest_.reset();
  } else if (events > 0 && backlog_ == 0 && !recount_) {
    oldest_ = when;
  }
  backlog_ += events;
  if (has_work()) go_on();
}

void Delivery::not_accepted(bool claim) {
  if (claim) claimed_ = false;
  recount_ = true;
  go_on();
}

// --- outcomes ---

void Delivery::note_success(const Transaction& transaction) {
  ++sent_transactions_;
  sent_events_ += transaction.events;
  failures_in_a_row_ = 0;
  const std::size_t most = context_.options.limits.events;
  if (most_events_ < most) most_events_ = std::min(most, most_events_ + most_events_ / 4 + 1);
  context_.loop.log().debug(
      kComponent, "sent",
      {{"service", registration_->id}, {"transaction", transaction.id}, {"events", std::uint64_t{transaction.events}}},
      chain_);
}

void Delivery::note_too_large(const Transaction& transaction) {
  ++failed_transactions_;
  most_events_ = std::max<std::size_t>(1, transaction.events / 2);
  context_.loop.log().info(kComponent, "transaction was too large for the service: its events go in smaller ones",
                           {{"service", registration_->id},
                            {"transaction", transaction.id},
                            {"events", std::uint64_t{transaction.events}},
                            {"bytes", std::uint64_t{transaction.body->size()}}},
                           chain_);
}

void Delivery::note_failure(Transaction& transaction, const Answer& answer) {
  ++failed_transactions_;
  ++failures_in_a_row_;
  ++transaction.failures;
  if (answer.refusal()) ++transaction.refusals;
  last_error_ = answer.text;
  const bool first = std::exchange(up_, false);
  if (first || !down_since_) down_since_ = now();
  context_.loop.log().write(first ? LogLevel::Warning : LogLevel::Info, kComponent,
                            first ? "service is down" : "service is still down",
                            {{"service", registration_->id},
                             {"transaction", transaction.id},
                             {"failures", std::uint64_t{transaction.failures}},
                             {"error", last_error_}},
                            chain_);
}

/// Nothing waits.
void Delivery::note_up() {
  if (backlog_ > 0 || recount_) return;
  failures_in_a_row_ = 0;
  last_error_.clear();
  down_since_.reset();
  if (std::exchange(up_, true)) return;
  context_.loop.log().info(kComponent, "service is up", {{"service", registration_->id}}, chain_);
}

bool Delivery::to_be_parked(const Transaction& transaction) const noexcept {
  const DeliveryOptions& options = context_.options;
  return (options.park_after > 0 && transaction.refusals >= options.park_after) ||
         (options.park_server_errors_after > 0 &&
          transaction.failures - transaction.refusals >= options.park_server_errors_after);
}

Duration Delivery::retry_after(std::uint32_t failures, const Answer& answer) {
  const DeliveryOptions& options = context_.options;
  Duration wait = options.first_retry;
  for (std::uint32_t i = 1; i < failures && wait < options.longest_retry; ++i) wait *= 2;
  wait = std::min(wait, options.longest_retry);
  std::uniform_real_distribution<double> tenth(0.9, 1.1);
  wait = std::chrono::duration_cast<Duration>(wait * tenth(context_.random));
  if (answer.retry_after) wait = std::max(wait, std::min(*answer.retry_after, options.longest_retry));
  return wait;
}

void Delivery::be_busy(bool busy) {
  if (busy_ == busy) return;
  busy_ = busy;
  context_.busy += busy ? 1 : -1;
  if (context_.busy == 0 && context_.quiet) context_.quiet();
}

// --- by hand ---

void Delivery::retry_now() {
  if (doing_ == Doing::Waiting) wake_up_.ring();
}

Promise<void> Delivery::pause() { return set_paused(true); }
Promise<void> Delivery::resume() { return set_paused(false); }

Promise<void> Delivery::set_paused(bool paused) {
  auto [told, teller] = make_promise<void>(context_.loop);
  const auto resolver = std::make_shared<Resolver<void>>(std::move(teller));
  context_.store.pause(registration_->id, paused)
      .then([this, paused, resolver] {
        paused_ = paused;
        go_on();
        resolver->resolve();
      })
      .otherwise([this, resolver](const std::exception_ptr& error) {
        if (!confirming_paused_) confirmation_ = confirm_paused();
        resolver->reject(error);
      })
      .detach();
  return std::move(told);
}

/// What could not be written down may yet be in the store, and a restart would find it: what is shown is written there
/// again, until that is done and still holds.
Task<> Delivery::confirm_paused() {
  confirming_paused_ = true;
  for (Duration wait = kFirstStoreRetry; confirming_paused_; wait = std::min(wait * 2, kLongestStoreRetry)) {
    try {
      co_await sleep(context_.loop, wait);
      const bool shown = paused_;
      Promise<void> written = context_.store.pause(registration_->id, shown);
      co_await std::move(written);
      confirming_paused_ = shown != paused_;
    } catch (const std::system_error& failed) {
      if (failed.code() == Errc::ShuttingDown) confirming_paused_ = false;
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): it is tried again
    }
  }
}

Promise<std::vector<ParkedTransaction>> Delivery::parked(std::size_t most) {
  return context_.store.parked(registration_->id, most);
}

Promise<bool> Delivery::requeue(TransactionId transaction) {
  auto [told, teller] = make_promise<bool>(context_.loop);
  const auto resolver = std::make_shared<Resolver<bool>>(std::move(teller));
  ++requeues_;
  context_.store.requeue(registration_->id, transaction)
      .then([this, resolver](std::optional<std::size_t> events) {
        --requeues_;
        if (events) {
          parked_ -= std::min<std::uint64_t>(parked_, 1);
          accepted(*events, std::nullopt);
        }
        resolver->resolve(events.has_value());
      })
      .otherwise([this, resolver](const std::exception_ptr& error) {
        --requeues_;
        not_accepted(false);
        resolver->reject(error);
      })
      .detach();
  return std::move(told);
}

Promise<Answer> Delivery::ping(std::string_view transaction_id) {
  return context_.client.ping(*registration_, transaction_id).then([this](Answer answer) {
    if (answer.ok()) retry_now();
    return answer;
  });
}

void Delivery::set_registration(std::shared_ptr<const Registration> registration) {
  registration_ = std::move(registration);
  if (std::exchange(retired_, false)) go_on();
}

void Delivery::count_again() {
  recount_ = true;
  go_on();
}

void Delivery::go_on() {
  if (doing_ == Doing::Idle || doing_ == Doing::Paused) wake_up_.ring();
}

// --- looking at it ---

DeliveryStatus Delivery::status() const {
  constexpr std::array<std::string_view, 5> kDoing = {"idle", "storing", "sending", "waiting to retry", "paused"};
  DeliveryStatus status;
  status.up = up_;
  status.paused = paused_;
  status.doing = kDoing[static_cast<std::size_t>(doing_)];
  status.backlog = backlog_;
  status.parked = parked_;
  if (transaction_) {
    status.transaction = transaction_->id;
    status.failures = transaction_->failures;
    status.oldest = transaction_->oldest;
  } else if (backlog_ > 0) {
    status.oldest = oldest_;
  }
  if (doing_ == Doing::Waiting) {
    const TimePoint due = wake_up_.time();  // none: it was woken, and has not got its turn yet
    status.next_retry = due == kNever ? Duration::zero() : std::max(Duration::zero(), due - context_.loop.now());
  }
  status.last_error = last_error_;
  status.down_since = down_since_;
  status.sent_transactions = sent_transactions_;
  status.failed_transactions = failed_transactions_;
  status.sent_events = sent_events_;
  return status;
}

TransactionLimits Delivery::limits() const noexcept {
  TransactionLimits limits = context_.options.limits;
  limits.events = std::min(limits.events, most_events_);
  return limits;
}

Milliseconds Delivery::now() const { return wall_milliseconds(context_.loop); }

}  // namespace snowfox::appservice
