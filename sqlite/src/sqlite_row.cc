#include <snowfox/sqlite/sqlite_row.h>

#include <new>
#include <string>

#include <sqlite3.h>

namespace snowfox {
namespace {

const char* type_of(int type) noexcept {
  switch (type) {
    case SQLITE_INTEGER: return "a whole number";
    case SQLITE_FLOAT: return "a real number";
    case SQLITE_TEXT: return "text";
    case SQLITE_BLOB: return "a BLOB";
    default: return "NULL";
  }
}

}  // namespace

bool SqliteRow::null(int column) const noexcept { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

std::int64_t SqliteRow::integer(int column) const {
  if (sqlite3_column_type(statement_, column) != SQLITE_INTEGER) mismatch(column, "a whole number");
  return sqlite3_column_int64(statement_, column);
}

double SqliteRow::real(int column) const {
  const int type = sqlite3_column_type(statement_, column);
  if (type != SQLITE_FLOAT && type != SQLITE_INTEGER) mismatch(column, "a real number");
  return sqlite3_column_double(statement_, column);
}

std::string_view SqliteRow::text(int column) const {
  if (sqlite3_column_type(statement_, column) != SQLITE_TEXT) mismatch(column, "text");
  const unsigned char* text = sqlite3_column_text(statement_, column);
  if (text == nullptr) throw std::bad_alloc();
  return {reinterpret_cast<const char*>(text), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

std::span<const std::byte> SqliteRow::blob(int column) const {
  if (sqlite3_column_type(statement_, column) != SQLITE_BLOB) mismatch(column, "a BLOB");
  const void* bytes = sqlite3_column_blob(statement_, column);  // null if it is empty
  return {static_cast<const std::byte*>(bytes), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}

void SqliteRow::expect_columns(std::size_t count) const {
  const int there = sqlite3_column_count(statement_);
  if (static_cast<std::size_t>(there) == count) return;
  throw SqliteError(SqliteErrc::OutOfRange, std::string(sqlite3_sql(statement_)) + ": " + std::to_string(there) +
                                                " columns, read as " + std::to_string(count));
}

void SqliteRow::mismatch(int column, const char* expected) const {
  const char* name = sqlite3_column_name(statement_, column);
  throw SqliteError(SqliteErrc::Mismatch, std::string(sqlite3_sql(statement_)) + ": column " +
                                              (name == nullptr ? std::to_string(column) : std::string(name)) + " is " +
                                              type_of(sqlite3_column_type(statement_, column)) + ", not " + expected);
}

std::size_t SqliteRow::bytes() const noexcept {
  std::size_t sum = 0;
  for (int column = 0; column < sqlite3_column_count(statement_); ++column) {
    const int type = sqlite3_column_type(statement_, column);
    // Only of these: asked for the bytes of a number, SQLite would turn it into text.
    const bool sized = type == SQLITE_TEXT || type == SQLITE_BLOB;
    sum += sized ? static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)) : sizeof(std::int64_t);
  }
  return sum;
}

}  // namespace snowfox
