#include "read_lane.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include <snowfox/core/error.h>

#include "sql.h"
#include "write_lane.h"

namespace snowfox {

class ReadLane::Reader final : private PostgresLink::Owner {
 public:
  Reader(ReadLane& lane, LoopManager& loop, const ConnectionSettings& settings)
      : lane_(lane),
        link_(loop, lane.options_, settings, SessionSetup::Kind::Reading, *this),
        exchange_(lane.options_.max_rows, lane.options_.max_result_bytes),
        settled_(loop, [this] {
          lane_.begin_some();
          if (lane_.idle()) lane_.on_idle_();
        }) {}

  PostgresLink& link() noexcept { return link_; }
  PostgresCall* call() const noexcept { return call_; }

  void begin(PostgresCall& call) {
    exchange_.clear();
    exchange_.add(call.unit().statements().front(), 0);
    call_ = &call;
    link_.begin(exchange_);
  }

 private:
  void on_ready() noexcept override { lane_.begin_some(); }
  void on_state() noexcept override {}

  void on_done() noexcept override {
    PostgresCall& call = *std::exchange(call_, nullptr);
    const auto& failure = exchange_.failure();
    if (failure && failure->sqlstate == "0A000") link_.distrust_statements();
    if (exchange_.overflown()) {
      finish(call, make_error(Errc::LimitReached, [&] {
               return shown(exchange_.statement(0).sql) + ": more than " + std::to_string(lane_.options_.max_rows) +
                      " rows or " + std::to_string(lane_.options_.max_result_bytes) + " bytes";
             }));
    } else if (failure && passing(*failure) && call.another_try()) {
      lane_.put_back(call);
    } else if (failure) {
      finish(call, error_of(exchange_, exchange_.statement(0)));
    } else {
      try {
        PostgresResults results;
        results.push_back(std::move(exchange_.result(0)));
        call.unlink();
        lane_.settle(call, std::move(results));
      } catch (...) {
        finish(call, std::current_exception());
      }
    }
    exchange_.clear();
    settled_.call();
  }
  void on_lost(bool under_way) noexcept override {
    if (under_way) {
      PostgresCall& call = *std::exchange(call_, nullptr);
      if (exchange_.refused()) {
        finish(call, error_of(exchange_, exchange_.statement(0)));
      } else {
        lane_.put_back(call);
      }
      exchange_.clear();
    }
    if (lane_.connected() == 0) {
      if (const auto error = refusal_of(lane_.writer_, false, lane_.options_.require_connected)) {
        lane_.reject_waiting(error);
      }
    }
    settled_.call();
  }
  void finish(PostgresCall& call, const std::exception_ptr& error) noexcept {
    call.unlink();
    lane_.settle(call, error);
  }

  ReadLane& lane_;
  PostgresLink link_;
  PostgresExchange exchange_;
  PostgresCall* call_ = nullptr;  // the lane's
  Later settled_;
};

ReadLane::ReadLane(LoopManager& loop, const PostgresOptions& options, const ConnectionSettings& settings,
                   const PostgresLink& writer, std::function<void()> on_idle)
    : CallQueue(loop, "read", options.max_reads, options.default_deadline),
      options_(options),
      writer_(writer),
      on_idle_(std::move(on_idle)) {
  assert(options.readers > 0);
  for (unsigned i = 0; i < options.readers; ++i) readers_.push_back(std::make_unique<Reader>(*this, loop, settings));
}

ReadLane::~ReadLane() { abandon(); }

void ReadLane::abandon() noexcept {
  close();
  for (auto& reader : readers_) reader->link().close();
  put_back();
  reject_waiting_to_shut_down();
}

void ReadLane::start() noexcept {
  if (std::exchange(started_, true)) return;
  for (auto& reader : readers_) reader->link().start();
}

std::size_t ReadLane::connected() const noexcept {
  return static_cast<std::size_t>(
      std::count_if(readers_.begin(), readers_.end(), [](const auto& reader) { return reader->link().ready(); }));
}

void ReadLane::submit(std::unique_ptr<PostgresCall> call) noexcept {
  std::exception_ptr error = refusal_of(writer_, connected() != 0, options_.require_connected);
  try {
    const PostgresStatement& statement = call->unit().statements().front();
    if (denied(statement.sql)) {
      throw PostgresError(PostgresErrc::Denied, "read: not in a read: " + shown(statement.sql));
    }
    check_sendable(statement, "read");
  } catch (...) {
    error = std::current_exception();
  }
  if (add(std::move(call), true, error)) begin_some();
}

void ReadLane::on_writer_changed() noexcept {
  if (writer_.state() != PostgresState::Refused) return;
  if (const auto error = refusal_of(writer_, false, false)) reject_waiting(error);
}

void ReadLane::begin_some() noexcept {
  for (auto& reader : readers_) {
    if (waiting() == 0) return;
    if (!reader->link().ready() || reader->call() != nullptr) continue;
    PostgresCall& call = CallQueue::begin();
    try {
      reader->begin(call);
    } catch (...) {
      call.unlink();
      settle(call, std::current_exception());
    }
  }
}

void ReadLane::on_given_up(PostgresCall& call) noexcept {
  for (auto& reader : readers_) {
    if (reader->call() == &call) reader->link().cancel();
  }
}

std::string_view ReadLane::hindrance() const noexcept {
  return connected() != 0
             ? std::string_view()
             : std::string_view(writer_.ready() ? readers_.front()->link().last_error() : writer_.last_error());
}

}  // namespace snowfox
