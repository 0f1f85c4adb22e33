#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>

#include <snowfox/core/event_drain.h>
#include <snowfox/core/lifecycle.h>
#include <snowfox/postgres/postgres_options.h>
#include <snowfox/postgres/postgres_status.h>

#include "alarm.h"
#include "call_queue.h"
#include "postgres_exchange.h"
#include "postgres_link.h"

namespace snowfox {

/// Where units wait for their commit. It is a drain: what was submitted in a turn is flushed at its end, into one
/// commit, sources that bring too much are paused, and the loop does not end before it is empty.
class WriteLane final : public EventDrain, public CallQueue, private PostgresLink::Owner {
 public:
  /// `on_change`: the state of the connection has changed; `on_idle`: nothing is under way any more.
  WriteLane(LoopManager& loop, const PostgresOptions& options, const ConnectionSettings& settings,
            std::function<void()> on_change, std::function<void()> on_idle);
  ~WriteLane() override;

  PostgresLink& link() noexcept { return link_; }
  const PostgresLink& link() const noexcept { return link_; }
  void submit(std::unique_ptr<PostgresCall> call) noexcept;
  bool idle() const noexcept { return outstanding() == 0; }
  /// Rejects all that there is, and closes the connection.
  void abandon() noexcept;
  /// What else must be through before the loop may end.
  void set_others(std::function<bool()> others_idle) { others_idle_ = std::move(others_idle); }

  std::uint64_t commits() const noexcept { return commits_; }
  std::uint64_t failed_commits() const noexcept { return failed_commits_; }
  std::uint64_t unknown_commits() const noexcept { return unknown_commits_; }
  Duration last_commit() const noexcept { return commit_time_; }
  Hook<const PostgresCommit&>& committed() noexcept { return committed_; }

  void enqueue(std::span<const std::byte> bytes) override { refused(bytes.size()); }
  using EventDrain::enqueue;
  bool flush() override;
  bool delivered() const noexcept override { return outstanding() == 0 && others_idle_(); }
  std::string name() const override;

 private:
  void on_ready() noexcept override;
  void on_done() noexcept override;
  void on_lost(bool under_way) noexcept override;
  void on_state() noexcept override { on_change_(); }
  void on_gone(std::size_t bytes) noexcept override;
  void on_given_up(PostgresCall&) noexcept override {}
  std::string_view hindrance() const noexcept override;
  void fail(std::error_code) noexcept override {}

  void begin_commit() noexcept;
  void give_results() noexcept;
  void on_failure() noexcept;
  void reject_in_doubt() noexcept;
  void gather() noexcept;
  std::exception_ptr refusal(const PostgresUnit& unit) const noexcept;

  const PostgresOptions& options_;
  const Watermarks marks_;
  const std::string name_;
  PostgresLink link_;
  PostgresExchange exchange_;
  Later gathered_;
  std::function<void()> on_change_;
  std::function<void()> on_idle_;
  std::function<bool()> others_idle_ = [] { return true; };
  Hook<const PostgresCommit&> committed_;
  bool gathering_ = false;
  std::size_t most_units_;  // in the next commit
  TimePoint commit_began_{};
  Duration oldest_waited_{};
  Duration commit_time_{};
  std::uint64_t commits_ = 0;
  std::uint64_t failed_commits_ = 0;
  std::uint64_t unknown_commits_ = 0;
};

/// What is to be said of a failure.
std::exception_ptr error_of(const PostgresExchange& exchange, const PostgresStatement& statement) noexcept;
/// It lies with the server or what others do at the same time: the same may succeed if it is tried again.
bool passing(const PostgresExchange::Failure& failure) noexcept;
/// Why nothing can be sent that must be rejected at once; else null.
std::exception_ptr refusal_of(const PostgresLink& writer, bool ready, bool require_connected) noexcept;

}  // namespace snowfox
