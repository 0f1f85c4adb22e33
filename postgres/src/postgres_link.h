#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <libpq-fe.h>

#include <snowfox/core/loop_manager.h>
#include <snowfox/core/poller.h>
#include <snowfox/postgres/postgres_options.h>
#include <snowfox/postgres/postgres_status.h>

#include "alarm.h"
#include "connection_settings.h"
#include "name_lookup.h"
#include "postgres_exchange.h"
#include "session_setup.h"
#include "statement_cache.h"
#include "wakeup.h"

namespace snowfox {

/// One connection to the server: made, set up, made again when it is lost, and used for one exchange at a time. libpq
/// is called from timers, in the turn of a source that the socket makes ready, and from begin(); what it finds is told
/// to the owner, never from inside begin().
class PostgresLink final : private PollTarget {
 public:
  class Owner {
   public:
    /// Exchanges may begin.
    virtual void on_ready() noexcept = 0;
    /// The exchange is through, and the session in no transaction any more.
    virtual void on_done() noexcept = 0;
    /// There is no connection any more, or none came about. `under_way`: an exchange was, and this is all that comes of
    /// it.
    virtual void on_lost(bool under_way) noexcept = 0;
    /// state() has changed.
    virtual void on_state() noexcept = 0;

   protected:
    ~Owner() = default;
  };

  PostgresLink(LoopManager& loop, const PostgresOptions& options, const ConnectionSettings& settings,
               SessionSetup::Kind kind, Owner& owner);
  ~PostgresLink();

  /// Connects, and goes on doing so. To be called once.
  void start() noexcept;
  bool ready() const noexcept { return stage_ == Stage::Ready; }
  bool busy() const noexcept { return exchange_ != nullptr; }
  /// It must be ready and not busy. `exchange` must stay until on_done() or on_lost().
  void begin(PostgresExchange& exchange) noexcept;
  /// Asks the server to end what is under way, which it then fails, if it is not through.
  void cancel() noexcept;
  /// Statements are prepared anew from the next exchange on.
  void distrust_statements() noexcept { distrusted_ = true; }
  /// Closes it, for ever. Nothing is told any more.
  void close() noexcept;

  PostgresState state() const noexcept { return state_; }
  TimePoint since() const noexcept { return since_; }
  const std::string& last_error() const noexcept { return last_error_; }
  std::uint32_t version() const noexcept { return version_; }
  std::uint64_t connects() const noexcept { return connects_; }
  std::uint64_t losses() const noexcept { return losses_; }

 private:
  enum class Stage : std::uint8_t { Off, LookingUp, Connecting, SettingUp, Ready, Waiting };
  class Cancel;
  struct Finish {
    void operator()(PGconn* connection) const noexcept { PQfinish(connection); }
  };
  struct ClearResult {
    void operator()(PGresult* result) const noexcept { PQclear(result); }
  };
  using Result = std::unique_ptr<PGresult, ClearResult>;
  /// What the server still owes an answer to.
  struct Expected {
    enum class Kind : std::uint8_t { Prepare, Execute, Deallocate, Sync } kind;
    std::size_t step = 0;
    StatementCache::Statement* statement = nullptr;
    std::string name{};
    bool done = false;
  };

  void on_poll(bool readable, bool writable) noexcept override;
  void go_on() noexcept;
  void ring();

  void look_up();
  void connect_to_found();
  void connect(const std::vector<DatabaseHost>& hosts);
  void advance_connect();
  void run_script(const std::string& value);
  void receive_script();
  void finish_setup();

  bool send(PostgresExchange& exchange);
  bool send_statement(std::size_t step);
  bool send_end();
  bool not_sent(std::size_t step);
  bool flush();
  void receive();
  void take(const Result& result);
  void end_of_result();
  void next_expected() noexcept;
  void finish_exchange();
  void tell_done() noexcept;

  void watch(bool writable);
  void unwatch() noexcept;
  void fail(const std::string& why, PostgresState state = PostgresState::Waiting) noexcept;
  void fail_connection(std::string_view doing) noexcept;
  std::string why() const;
  void set_state(PostgresState state) noexcept;
  void disconnect() noexcept;
  void expect_progress() noexcept;
  void notice(const PGresult* result) const noexcept;

  LoopManager& loop_;
  const PostgresOptions& options_;
  const ConnectionSettings& settings_;
  SessionSetup setup_;
  Owner& owner_;
  Alarm alarm_{[this] {
    rung_ = true;
    wakeup_.call();
  }};
  Wakeup wakeup_;
  std::unique_ptr<PGconn, Finish> connection_;
  NameLookup* lookup_ = nullptr;  // owns itself
  Cancel* cancel_ = nullptr;      // owns itself
  StatementCache statements_;
  std::deque<Expected> expected_;
  PostgresExchange* exchange_ = nullptr;  // borrowed
  std::vector<DatabaseHost> found_;
  std::string lookup_error_;
  std::string setup_value_;
  std::string setup_error_;
  std::string last_error_;
  std::minstd_rand random_;
  TimePoint since_;
  std::uint64_t connects_ = 0;
  std::uint64_t losses_ = 0;
  std::uint32_t version_ = 0;
  unsigned failures_ = 0;  // since it was ready last
  Stage stage_ = Stage::Off;
  PostgresState state_ = PostgresState::Connecting;
  bool rung_ = false;
  bool watched_ = false;
  bool watched_writable_ = false;
  bool end_sent_ = false;      // COMMIT, if there is one, and the end of the pipeline
  bool rolling_back_ = false;  // the exchange is through but for that
  bool done_untold_ = false;   // the exchange is through, but a cancel is on its way
  bool migration_timed_ = false;
  bool distrusted_ = false;
};

}  // namespace snowfox
