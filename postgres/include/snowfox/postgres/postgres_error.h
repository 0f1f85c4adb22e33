#pragma once

#include <string>
#include <string_view>
#include <system_error>

namespace snowfox {

namespace detail {
/// Two or five characters of an SQLSTATE as a number; 0 if they are none.
constexpr int sqlstate_number(std::string_view text) noexcept {
  if (text.size() != 2 && text.size() != 5) return 0;
  int number = 0;
  for (std::size_t i = 0; i < 5; ++i) {
    int digit = 0;
    if (i < text.size()) {
      const char c = text[i];
      if (c >= '0' && c <= '9') {
        digit = c - '0';
      } else if (c >= 'A' && c <= 'Z') {
        digit = c - 'A' + 10;
      } else {
        return 0;
      }
    }
    number = number * 36 + digit;
  }
  return number;
}
}  // namespace detail

/// Why PostgreSQL, or this library on its behalf, refuses something: `if (error.code() == PostgresErrc::Constraint)`.
/// Most stand for all of the server's codes of one class (https://www.postgresql.org/docs/15/errcodes-appendix.html).
enum class PostgresErrc : int {
  Connection = detail::sqlstate_number("08"),
  NotSupported = detail::sqlstate_number("0A"),
  Data = detail::sqlstate_number("22"),              ///< a value that does not fit its type
  Constraint = detail::sqlstate_number("23"),        ///< UNIQUE, NOT NULL, CHECK, a foreign key
  TransactionState = detail::sqlstate_number("25"),  ///< a read that would change something, among others
  Authorization = detail::sqlstate_number("28"),     ///< wrong password, no such role
  NoSuchDatabase = detail::sqlstate_number("3D"),
  Rollback = detail::sqlstate_number("40"),   ///< a deadlock, a conflict: tried again before it is told
  Access = detail::sqlstate_number("42"),     ///< wrong SQL, a table that is not there, no permission
  Resources = detail::sqlstate_number("53"),  ///< the disk is full, too many connections, no memory
  ProgramLimit = detail::sqlstate_number("54"),
  ObjectState = detail::sqlstate_number("55"),   ///< in use, or locked
  Intervention = detail::sqlstate_number("57"),  ///< cancelled, timed out in the server, the server is going down
  System = detail::sqlstate_number("58"),        ///< the server's disk failed
  Raised = detail::sqlstate_number("P0"),        ///< by a function in the database
  Internal = detail::sqlstate_number("XX"),

  // Not the server's, but this library's.
  NotConnected = 36 * 36 * 36 * 36 * 36,  ///< there is no connection, or it was lost under a read
  OutcomeUnknown,  ///< the connection was lost when COMMIT was sent and not answered: it may be committed, or not
  Denied,          ///< SQL that a unit or a read must not use
  Mismatch,        ///< a value of another type than was asked for
  OutOfRange,      ///< more or fewer columns than there are
  NewerSchema,     ///< the database was written by a newer program
  HeldElsewhere,   ///< another session has the advisory lock of PostgresOptions::lock_key
  BadUri,
};

/// Its codes are SQLSTATEs as numbers, and those of PostgresErrc that are ours.
const std::error_category& postgres_category() noexcept;
std::error_condition make_error_condition(PostgresErrc condition) noexcept;

/// What PostgreSQL refused, with what was to be done: `INSERT INTO queue …: duplicate key value violates unique
/// constraint "queue_pkey"`. It has no details, which would show values.
class PostgresError : public std::system_error {
 public:
  /// `sqlstate` is five characters; anything else counts as PostgresErrc::Internal.
  PostgresError(std::string_view sqlstate, const std::string& what);
  PostgresError(PostgresErrc code, const std::string& what);

  /// `23505`; empty if it is not the server's.
  std::string sqlstate() const;
};

}  // namespace snowfox

template <>
struct std::is_error_condition_enum<snowfox::PostgresErrc> : std::true_type {};
