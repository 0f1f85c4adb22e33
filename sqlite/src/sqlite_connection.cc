#include "sqlite_connection.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <thread>
#include <utility>
#include <variant>

#include <snowfox/sqlite/sqlite_error.h>

namespace snowfox {
namespace {

/// How much of a statement an error shows.
constexpr std::size_t kShownBytes = 120;
/// So many of SQLite's own instructions between two looks at whether to stop: some ten microseconds.
constexpr int kInstructionsPerLook = 1000;
constexpr std::size_t kOwnStatements = 16;
constexpr std::chrono::milliseconds kLongestNap(20);

std::string shown(std::string_view sql) {
  if (sql.size() <= kShownBytes) return std::string(sql);
  return std::string(sql.substr(0, kShownBytes)) + "…";
}

/// By SQLite it would get the mode that the umask leaves of 0644.
void make_file(const SqliteOptions& options) {
  const int fd = ::open(options.path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, options.mode);
  if (fd < 0) {
    if (errno == EEXIST) return;
    throw std::system_error(errno, std::system_category(), "make the database " + options.path);
  }
  const int status = ::fchmod(fd, options.mode);
  const int error = errno;
  ::close(fd);
  if (status != 0) throw std::system_error(error, std::system_category(), "set the mode of " + options.path);
}

/// SQLite would open for reading what may not be written. Without opening it: to close it again would give up the locks
/// of whoever has it open in this process.
void check_file(const SqliteOptions& options) {
  if (::faccessat(AT_FDCWD, options.path.c_str(), R_OK | W_OK, AT_EACCESS) == 0) return;
  throw std::system_error(errno, std::system_category(), "open the database " + options.path);
}

/// Also while a statement is run: SQLite prepares it anew when tables have changed.
class Trust {
 public:
  explicit Trust(bool& trusted) noexcept : trusted_(trusted) { trusted_ = true; }
  ~Trust() { trusted_ = false; }
  Trust(const Trust&) = delete;
  Trust& operator=(const Trust&) = delete;

 private:
  bool& trusted_;
};

}  // namespace

SqliteConnection::SqliteConnection(const SqliteOptions& options, Kind kind)
    : options_(options), statements_(options.statements), own_statements_(kOwnStatements) {
  const bool writing = kind == Kind::Writing;
  if (sqlite3_threadsafe() == 0) throw SqliteError(SqliteErrc::Misuse, "this SQLite was built for one thread");
  if (writing) {
    make_file(options);
    check_file(options);
  }
  sqlite3* handle = nullptr;
  const int mode = writing ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY;
  const int status =
      sqlite3_open_v2(options.path.c_str(), &handle, mode | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  handle_.reset(handle);
  if (status != SQLITE_OK) {
    if (handle == nullptr) throw std::bad_alloc();
    fail("open the database");
  }
  sqlite3_busy_handler(handle, &wait_for_others, this);
  sqlite3_progress_handler(
      handle, kInstructionsPerLook,
      [](void* connection) -> int {
        return static_cast<SqliteConnection*>(connection)->stopped_.load(std::memory_order_relaxed) ? 1 : 0;
      },
      this);
  sqlite3_set_authorizer(handle, &allow, this);
  // Neither may SQL harm the file's format, nor text in double quotes pass for a value.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  // The file is looked at now, and not before.
  if (sqlite3_exec(handle, "SELECT 1 FROM sqlite_schema LIMIT 0", nullptr, nullptr, nullptr) != SQLITE_OK) {
    fail("open the database");
  }
  if (writing && sqlite3_db_readonly(handle, "main") != 0) {
    throw SqliteError(SqliteErrc::ReadOnly, options.path + ": open the database");
  }
  execute("PRAGMA synchronous = FULL");
  execute("PRAGMA foreign_keys = ON");
  if (writing) {
    // What a burst has made of the log is given back at a checkpoint.
    execute("PRAGMA journal_size_limit = 67108864");
  } else {
    execute("PRAGMA query_only = ON");
  }
}

void SqliteConnection::fail(std::string_view doing) const {
  sqlite3* handle = handle_.get();
  const int code = sqlite3_extended_errcode(handle);
  if (code == SQLITE_NOMEM) throw std::bad_alloc();
  std::string what = std::string(doing) + ": " + sqlite3_errmsg(handle);
  // A disk that fails says more by errno.
  const int error = sqlite3_system_errno(handle);
  const bool from_system = (code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN;
  if (from_system && error != 0) what += ": " + std::generic_category().message(error);
  throw SqliteError(code, options_.path + ": " + what);
}

StatementRef SqliteConnection::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const char* rest = nullptr;
  const int status = sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                                        SQLITE_PREPARE_PERSISTENT, &statement, &rest);
  StatementRef prepared(statement);
  if (status != SQLITE_OK) fail(shown(sql));
  const std::string_view left = sql.substr(static_cast<std::size_t>(rest - sql.data()));
  if (prepared == nullptr || left.find_first_not_of(" \t\r\n;") != std::string_view::npos) {
    throw SqliteError(SqliteErrc::Misuse, shown(sql) + ": not one statement");
  }
  return prepared;
}

sqlite3_stmt* SqliteConnection::start(std::string_view sql, std::span<const SqliteParameter> parameters) {
  StatementRef statement = statements_.take(sql);
  if (statement == nullptr) statement = prepare(sql);
  bind(statement.get(), parameters);
  return statement.release();
}

void SqliteConnection::bind(sqlite3_stmt* statement, std::span<const SqliteParameter> parameters) {
  const auto wanted = static_cast<std::size_t>(sqlite3_bind_parameter_count(statement));
  if (wanted != parameters.size()) {
    throw SqliteError(SqliteErrc::OutOfRange, shown(sqlite3_sql(statement)) + ": " + std::to_string(wanted) +
                                                  " parameters, given " + std::to_string(parameters.size()));
  }
  int place = 0;
  for (const SqliteParameter& parameter : parameters) {
    ++place;
    const auto bound = [&](const auto& value) {
      using T = std::decay_t<decltype(value)>;
      if constexpr (std::is_same_v<T, std::nullptr_t>) {
        return sqlite3_bind_null(statement, place);
      } else if constexpr (std::is_same_v<T, std::int64_t>) {
        return sqlite3_bind_int64(statement, place, value);
      } else if constexpr (std::is_same_v<T, double>) {
        return sqlite3_bind_double(statement, place, value);
      } else if constexpr (std::is_same_v<T, std::string_view>) {
        // A null pointer would be NULL.
        return sqlite3_bind_text64(statement, place, value.empty() ? "" : value.data(), value.size(), SQLITE_STATIC,
                                   SQLITE_UTF8);
      } else {
        return value.empty() ? sqlite3_bind_zeroblob(statement, place, 0)
                             : sqlite3_bind_blob64(statement, place, value.data(), value.size(), SQLITE_STATIC);
      }
    };
    if (std::visit(bound, parameter.value()) != SQLITE_OK) {
      const std::string doing = "bind parameter " + std::to_string(place) + " of " + shown(sqlite3_sql(statement));
      fail(doing);
    }
  }
}

void SqliteConnection::put_away(sqlite3_stmt* statement) noexcept {
  // What went wrong has been told by step().
  static_cast<void>(sqlite3_reset(statement));
  sqlite3_clear_bindings(statement);
  statements_.give_back(StatementRef(statement));
}

bool SqliteConnection::step(sqlite3_stmt* statement) {
  if (stopped_.load(std::memory_order_relaxed)) throw SqliteError(SqliteErrc::Interrupted, options_.path);
  const int status = sqlite3_step(statement);
  if (status == SQLITE_ROW) return true;
  if (status != SQLITE_DONE) fail(shown(sqlite3_sql(statement)));
  return false;
}

void SqliteConnection::execute(const char* sql) {
  const Trust trust(trusted_);
  StatementRef statement = own_statements_.take(sql);
  if (statement == nullptr) statement = prepare(sql);
  int status = SQLITE_ROW;
  while (status == SQLITE_ROW) status = sqlite3_step(statement.get());
  if (status != SQLITE_DONE) fail(sql);
  static_cast<void>(sqlite3_reset(statement.get()));
  own_statements_.give_back(std::move(statement));
}

void SqliteConnection::script(std::string_view sql) {
  const std::string text(sql);
  if (sqlite3_exec(handle_.get(), text.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) fail(shown(sql));
}

std::int64_t SqliteConnection::number(const char* sql) {
  const StatementRef statement = prepare(sql);
  const int status = sqlite3_step(statement.get());
  if (status != SQLITE_ROW) fail(sql);
  return sqlite3_column_int64(statement.get(), 0);
}

void SqliteConnection::use_write_ahead_log() {
  const Trust trust(trusted_);
  const StatementRef statement = prepare("PRAGMA journal_mode = WAL");
  if (sqlite3_step(statement.get()) != SQLITE_ROW) fail("use a write-ahead log");
  const unsigned char* mode = sqlite3_column_text(statement.get(), 0);
  if (mode == nullptr || std::string_view(reinterpret_cast<const char*>(mode)) != "wal") {
    throw SqliteError(SqliteErrc::CannotOpen, options_.path + ": cannot have a write-ahead log on this file system");
  }
}

bool SqliteConnection::owes_foreign_keys() const noexcept {
  int owed = 0;
  int unused = 0;
  sqlite3_db_status(handle_.get(), SQLITE_DBSTATUS_DEFERRED_FKS, &owed, &unused, 0);
  return owed != 0;
}

void SqliteConnection::stop() noexcept {
  stopped_.store(true, std::memory_order_relaxed);
  sqlite3_interrupt(handle_.get());
}

// Asked when a statement is prepared. A unit must not end the transaction that others are in, nor change what makes a
// commit durable.
int SqliteConnection::allow(void* connection, int action, const char* first, const char* second, const char*,
                            const char*) {
  if (static_cast<SqliteConnection*>(connection)->trusted_) return SQLITE_OK;
  switch (action) {
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
    case SQLITE_ATTACH:
    case SQLITE_DETACH: return SQLITE_DENY;
    case SQLITE_PRAGMA: {
      constexpr std::array<const char*, 12> kOurs = {"application_id", "checkpoint_fullfsync", "foreign_keys",
                                                     "fullfsync",      "journal_mode",         "journal_size_limit",
                                                     "locking_mode",   "query_only",           "synchronous",
                                                     "user_version",   "wal_autocheckpoint",   "wal_checkpoint"};
      const bool ours = std::any_of(kOurs.begin(), kOurs.end(),
                                    [first](const char* one) { return sqlite3_stricmp(first, one) == 0; });
      const bool changes = second != nullptr || sqlite3_stricmp(first, "wal_checkpoint") == 0;
      return ours && changes ? SQLITE_DENY : SQLITE_OK;
    }
    default: return SQLITE_OK;
  }
}

int SqliteConnection::wait_for_others(void* connection, int tries) {
  auto& self = *static_cast<SqliteConnection*>(connection);
  const auto now = std::chrono::steady_clock::now();
  if (tries == 0) self.waiting_since_ = now;
  const auto left = self.options_.busy_timeout - (now - self.waiting_since_);
  if (left <= std::chrono::steady_clock::duration::zero() || self.stopped_.load(std::memory_order_relaxed)) return 0;
  const std::chrono::steady_clock::duration nap = std::chrono::milliseconds(1 + tries);
  std::this_thread::sleep_for(std::min({nap, left, std::chrono::steady_clock::duration(kLongestNap)}));
  return 1;
}

}  // namespace snowfox
