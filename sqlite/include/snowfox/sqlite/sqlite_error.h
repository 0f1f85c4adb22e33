#pragma once

#include <string>
#include <system_error>

namespace snowfox {

/// Why SQLite refuses something. It stands for all of SQLite's extended codes of that kind:
/// `if (error.code() == SqliteErrc::Constraint)`.
enum class SqliteErrc {
  Error = 1,       ///< wrong SQL, a table that is not there
  Permission = 3,  ///< the file may not be used so
  Abort = 4,       ///< rolled back while it was read
  Busy = 5,        ///< another process has the database and did not let go within busy_timeout
  Locked = 6,      ///< in the way of another statement of the same connection
  OutOfMemory = 7,
  ReadOnly = 8,
  Interrupted = 9,   ///< the deadline came, or nobody waits any more
  InputOutput = 10,  ///< the disk failed
  Corrupt = 11,
  Full = 13,  ///< the disk is, or the database's own limit is reached
  CannotOpen = 14,
  TooBig = 18,
  Constraint = 19,  ///< UNIQUE, NOT NULL, CHECK, a foreign key
  Mismatch = 20,    ///< a value of another type than was asked for
  Misuse = 21,
  Denied = 23,      ///< SQL that a unit must not use
  OutOfRange = 25,  ///< more or fewer parameters or columns than there are
  NotADatabase = 26,
};

/// Its codes are SQLite's extended result codes.
const std::error_category& sqlite_category() noexcept;
std::error_condition make_error_condition(SqliteErrc condition) noexcept;

/// What SQLite refused, with what was to be done: `INSERT INTO queue …: UNIQUE constraint failed: queue.id`.
class SqliteError : public std::system_error {
 public:
  SqliteError(int extended_code, const std::string& what);
  SqliteError(SqliteErrc code, const std::string& what) : SqliteError(static_cast<int>(code), what) {}
};

}  // namespace snowfox

template <>
struct std::is_error_condition_enum<snowfox::SqliteErrc> : std::true_type {};
