#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/core/event_drain.h>
#include <snowfox/core/lifecycle.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/postgres/postgres_error.h>
#include <snowfox/postgres/postgres_options.h>
#include <snowfox/postgres/postgres_result.h>
#include <snowfox/postgres/postgres_status.h>
#include <snowfox/postgres/postgres_unit.h>
#include <snowfox/promises/promise.h>

namespace snowfox {

/// Nothing in it has a destructor, so it may be made inside a co_await expression (see Task).
struct PostgresCallOptions {
  /// How long to wait for the result; zero: PostgresOptions::default_deadline; kNoDeadline: for ever.
  Duration deadline = Duration::zero();
  /// The chain that it belongs to.
  CorrelationId id = {};
};
static_assert(std::is_trivially_destructible_v<PostgresCallOptions>);

/// A database of a PostgreSQL server. What was written is durable when its promise is fulfilled: it survives the end of
/// this process, of the server, and of both machines as far as the server's own settings go.
///
///     db.write(PostgresUnit("INSERT INTO queue (service, event) VALUES ($1, $2) RETURNING id", service, event))
///         .then([&](const PostgresResults& results) { acknowledge(*results[0].one<std::int64_t>()); });
///
/// Nothing blocks: the server is spoken to by libpq's asynchronous interface, on the loop's thread; only names of hosts
/// are looked up, and reads cancelled, on another. (Small files that the URI names - certificates, ~/.pgpass - are read
/// on the loop's.)
///
/// Writes go into the database one commit at a time, and all that is submitted while a commit is under way goes into
/// the next one, together, in one pipeline: a commit waits for the network and the server's disk, and so a thousand
/// writes wait for them once. Each write is a unit nevertheless: if one of its statements fails, the commit is rolled
/// back, and its other units are run again without it. Their order, and that of their results, stays what it was.
///
/// Reads are answered by connections of their own, and see the last commit.
///
/// A connection that is lost is made again, with growing pauses, and calls wait for it until their deadline. Units that
/// were surely not committed are run again. If the connection was lost after COMMIT was sent and before its answer
/// came, nobody knows: they are rejected with PostgresErrc::OutcomeUnknown, and whoever must know looks into the
/// database for what only they have written.
///
/// No result comes later than its deadline: what has not begun by then is not begun, a read under way is cancelled, and
/// a write under way is rejected though it may be committed yet: whoever is told Errc::DeadlineExceeded does not know.
/// Dropping a promise takes back a call that has not begun.
///
/// When the loop is told to end it waits, within LoopOptions::flush_timeout, for the calls that were submitted, and for
/// those that their continuations submit.
class PostgresDatabase {
 public:
  /// Begins to connect. `loop` must outlive it. Throws PostgresErrc::BadUri if libpq cannot read the URI, which it does
  /// not show.
  PostgresDatabase(LoopManager& loop, PostgresOptions options);
  /// Calls that were not settled are rejected with Errc::ShuttingDown, those whose COMMIT was sent with
  /// PostgresErrc::OutcomeUnknown.
  ~PostgresDatabase();
  PostgresDatabase(const PostgresDatabase&) = delete;
  PostgresDatabase& operator=(const PostgresDatabase&) = delete;

  /// Runs the statements of `unit` as one unit of the next commit; gives the results of all when it is committed.
  /// Rejects with PostgresError, which names the statement, and with std::system_error: Errc::LimitReached if too much
  /// waits already (or, then committed, if it gave more rows than may be), Errc::DeadlineExceeded, Errc::ShuttingDown.
  ///
  /// When to begin and to commit is the database's: statements that do so, that change the session (SET), or that are
  /// COPY, are PostgresErrc::Denied.
  Promise<PostgresResults> write(PostgresUnit unit) { return write(PostgresCallOptions{}, std::move(unit)); }
  Promise<PostgresResults> write(const PostgresCallOptions& options, PostgresUnit unit);

  /// Runs one statement, which changes nothing, and gives its rows: `db.read("SELECT name FROM users WHERE id = $1",
  /// id)`. More of them than PostgresOptions::max_rows, or more bytes than max_result_bytes, is Errc::LimitReached: who
  /// expects many asks for them in pages. A read whose connection is lost is run again. Otherwise as write().
  template <typename... Parameters>
  Promise<PostgresResult> read(std::string sql, Parameters&&... parameters) {
    return read(PostgresCallOptions{}, std::move(sql), std::forward<Parameters>(parameters)...);
  }
  template <typename... Parameters>
  Promise<PostgresResult> read(const PostgresCallOptions& options, std::string sql, Parameters&&... parameters) {
    std::vector<PostgresParameter> values;
    values.reserve(sizeof...(Parameters));
    (values.emplace_back(std::forward<Parameters>(parameters)), ...);
    return read_statement(options, PostgresStatement(std::move(sql), std::move(values)));
  }
  Promise<PostgresResult> read_statement(const PostgresCallOptions& options, PostgresStatement statement);

  /// Takes no more calls, does those that were submitted, and closes the connections. After `within`, what has not come
  /// to its end is rejected as by the destructor. To be called once.
  Promise<void> close(Duration within = std::chrono::seconds(10));

  /// What is written and not committed yet, in bytes: bind a source that brings the writes, and it is paused while too
  /// much waits. Nothing can be enqueued on it.
  EventDrain& backlog() noexcept;

  PostgresStatus status() const;
  bool connected() const noexcept;
  /// Called on the loop when PostgresStatus::state has changed.
  Hook<const PostgresStatus&>& changed() noexcept;
  /// Called on the loop after each commit, before its promises' continuations: for metrics.
  Hook<const PostgresCommit&>& committed() noexcept;

 private:
  class Parts;

  std::unique_ptr<Parts> parts_;
};

}  // namespace snowfox
