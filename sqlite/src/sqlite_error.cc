#include <snowfox/sqlite/sqlite_error.h>

#include <sqlite3.h>

namespace snowfox {
namespace {

class SqliteCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "sqlite"; }
  std::string message(int code) const override { return sqlite3_errstr(code); }
  // The lowest byte of an extended code is the code that it refines.
  std::error_condition default_error_condition(int code) const noexcept override { return {code & 0xff, *this}; }
};

}  // namespace

const std::error_category& sqlite_category() noexcept {
  static const SqliteCategory category;
  return category;
}

std::error_condition make_error_condition(SqliteErrc condition) noexcept {
  return {static_cast<int>(condition), sqlite_category()};
}

SqliteError::SqliteError(int extended_code, const std::string& what)
    : std::system_error({extended_code, sqlite_category()}, what) {}

}  // namespace snowfox
