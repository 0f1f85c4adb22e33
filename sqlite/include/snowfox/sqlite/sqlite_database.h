#pragma once

#include <chrono>
#include <concepts>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <snowfox/core/event_drain.h>
#include <snowfox/core/lifecycle.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>
#include <snowfox/sqlite/sqlite_call.h>
#include <snowfox/sqlite/sqlite_error.h>
#include <snowfox/sqlite/sqlite_options.h>
#include <snowfox/sqlite/sqlite_snapshot.h>
#include <snowfox/sqlite/sqlite_status.h>
#include <snowfox/sqlite/sqlite_transaction.h>

namespace snowfox {

/// A database in a file, by SQLite. What was written is durable when its promise is fulfilled: it survives the end of
/// the process and of the machine.
///
///     db.write([service, event](SqliteTransaction& t) {
///         t.run("INSERT INTO queue (service, event) VALUES (?, ?)", service, event);
///         return t.last_insert_id();
///       })
///         .then([&](std::int64_t id) { acknowledge(id); });
///
/// SQLite blocks, so **the functions given to write() and read() run on another thread**. They must not touch the loop
/// nor anything that belongs to it: what they need is captured by value or given as arguments, what comes of it is
/// returned. Function and arguments are destroyed on the loop's thread; the function is given the arguments themselves,
/// so it takes them by `const T&`, or by `T&` if they are only to be moved or not to be copied: by value it gets a
/// copy.
///
/// Writes go into the database one commit at a time, and all that is submitted while a commit is under way goes into
/// the next one, together: a commit waits for the disk, and so a thousand writes wait for it once. Each write is a unit
/// nevertheless: if its function throws, that unit alone is undone and its promise alone rejected. If the commit itself
/// fails (the disk is full, another process does not let go), all units of that commit are rejected, none of them is in
/// the database, and the next commit tries anew. The same goes for units that were run before one whose failure made
/// SQLite undo the whole transaction, as it does when the disk fails.
///
/// Reads see the last commit and neither wait for writes nor hold them up.
///
/// No result comes later than its deadline: what has not begun by then is not begun, a read under way is interrupted,
/// and a write under way is rejected though it may be committed yet: whoever is told Errc::DeadlineExceeded does not
/// know. Dropping a promise takes back a call that has not begun.
///
/// When the loop is told to end it waits, within LoopOptions::flush_timeout, for the calls that were submitted, and for
/// those that their continuations submit.
class SqliteDatabase {
 public:
  /// Opens the file, makes it if need be, and brings it to the version of this program: now, on the calling thread,
  /// which waits for the disk. So it is made before the loop runs. `loop` must outlive it.
  /// Throws SqliteError or std::system_error that name the file: it cannot be opened, is no database or that of another
  /// program, has a newer version, or a migration fails, which leaves it at the version before.
  SqliteDatabase(LoopManager& loop, SqliteOptions options);
  /// Calls that were not settled are rejected with Errc::ShuttingDown; those not begun never will be, while what is
  /// under way goes on to its end, and may be committed. Closes the file, for which it waits for the disk, if nothing
  /// is under way: after close() there is nothing left to do.
  ~SqliteDatabase();
  SqliteDatabase(const SqliteDatabase&) = delete;
  SqliteDatabase& operator=(const SqliteDatabase&) = delete;

  /// Calls `function(SqliteTransaction&, arguments...)` on another thread, as one unit of the next commit; gives what
  /// it returns when that has been committed. Rejects with what the function throws, and with std::system_error:
  /// Errc::LimitReached if too much waits already, Errc::DeadlineExceeded, Errc::ShuttingDown, and as SqliteErrc says.
  ///
  /// In a co_await expression, give what the function needs as arguments rather than captures; see Task.
  template <typename F, typename... Arguments>
  requires SqliteFunction<SqliteTransaction, F, Arguments...>
  auto write(F&& function, Arguments&&... arguments) {
    return write(SqliteCallOptions{}, std::forward<F>(function), std::forward<Arguments>(arguments)...);
  }
  template <typename F, typename... Arguments>
  requires SqliteFunction<SqliteTransaction, F, Arguments...>
  auto write(const SqliteCallOptions& options, F&& function, Arguments&&... arguments) {
    using Call = SqliteCallOf<SqliteTransaction, std::decay_t<F>, std::decay_t<Arguments>...>;
    Promise<typename Call::Result> promise(new ValueState<typename Call::Result>(&loop_, options.id));
    submit_write(std::make_unique<Call>(*promise.state(), options, std::forward<F>(function),
                                        std::forward<Arguments>(arguments)...));
    return promise;
  }

  /// Calls `function(SqliteSnapshot&, arguments...)` on another thread and gives what it returns. All that it reads is
  /// of one moment. Otherwise as write().
  template <typename F, typename... Arguments>
  requires SqliteFunction<SqliteSnapshot, F, Arguments...>
  auto read(F&& function, Arguments&&... arguments) {
    return read(SqliteCallOptions{}, std::forward<F>(function), std::forward<Arguments>(arguments)...);
  }
  template <typename F, typename... Arguments>
  requires SqliteFunction<SqliteSnapshot, F, Arguments...>
  auto read(const SqliteCallOptions& options, F&& function, Arguments&&... arguments) {
    using Call = SqliteCallOf<SqliteSnapshot, std::decay_t<F>, std::decay_t<Arguments>...>;
    Promise<typename Call::Result> promise(new ValueState<typename Call::Result>(&loop_, options.id));
    submit_read(std::make_unique<Call>(*promise.state(), options, std::forward<F>(function),
                                       std::forward<Arguments>(arguments)...));
    return promise;
  }

  /// Takes no more calls, does those that were submitted, moves what is in the write-ahead log into the file, and
  /// closes it, on another thread. After `within`, what has not begun is rejected with Errc::ShuttingDown and reads are
  /// interrupted. Fulfilled when the file is closed. To be called once.
  Promise<void> close(Duration within = std::chrono::seconds(10));

  /// What is written and not committed yet, in bytes: bind a source that brings the writes, and it is paused while too
  /// much waits. Nothing can be enqueued on it.
  EventDrain& backlog() noexcept;

  SqliteStatus status() const noexcept;
  /// Called on the loop after each commit, before its promises' continuations: for metrics.
  Hook<const SqliteCommit&>& committed() noexcept;
  const std::string& path() const noexcept;
  /// PRAGMA user_version: that of the last migration.
  std::uint32_t version() const noexcept;

 private:
  class Parts;
  void submit_write(std::unique_ptr<SqliteCall> call);
  void submit_read(std::unique_ptr<SqliteCall> call);

  LoopManager& loop_;
  std::unique_ptr<Parts> parts_;
};

}  // namespace snowfox
