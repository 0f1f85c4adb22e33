#include <snowfox/postgres/postgres_result.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "types.h"

namespace snowfox {
namespace {

std::string type_name_of(std::uint32_t type) {
  switch (type) {
    case kBool: return "a truth";
    case kBytea: return "bytes";
    case kInt2:
    case kInt4:
    case kInt8:
    case kOid: return "a whole number";
    case kFloat4:
    case kFloat8: return "a real number";
    case kInt2Array:
    case kInt4Array:
    case kInt8Array: return "an array of numbers";
    case kTextArray:
    case kVarcharArray: return "an array of texts";
    default: return "text, or of the type " + std::to_string(type);
  }
}

bool whole(std::uint32_t type) noexcept { return type == kInt8 || type == kInt4 || type == kInt2 || type == kOid; }

int nibble(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

std::string_view PostgresRow::raw(std::size_t column) const {
  const PostgresResult::Cell& cell = result_->cells_[row_ * result_->columns_.size() + column];
  return std::string_view(result_->text_).substr(cell.at, static_cast<std::size_t>(cell.bytes));
}

std::uint32_t PostgresRow::type(std::size_t column) const { return result_->columns_[column].type; }

bool PostgresRow::null(std::size_t column) const {
  if (column >= result_->columns_.size()) expect_columns(column + 1);
  return result_->cells_[row_ * result_->columns_.size() + column].bytes < 0;
}

bool PostgresRow::truth(std::size_t column) const {
  if (null(column) || type(column) != kBool) mismatch(column, "a truth");
  return raw(column) == "t";
}

std::int64_t PostgresRow::integer(std::size_t column) const {
  std::int64_t number = 0;
  if (null(column) || !whole(type(column))) mismatch(column, "a whole number");
  const std::string_view text = raw(column);
  const auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size()) mismatch(column, "a whole number");
  return number;
}

double PostgresRow::real(std::size_t column) const {
  if (null(column) || (!whole(type(column)) && type(column) != kFloat8 && type(column) != kFloat4)) {
    mismatch(column, "a real number");
  }
  const std::string_view text = raw(column);
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  double number = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), number);
  if (end.ptr != text.data() + text.size()) mismatch(column, "a real number");
  return number;
}

std::string_view PostgresRow::text(std::size_t column) const {
  if (null(column) || type(column) == kBytea) mismatch(column, "text");
  return raw(column);
}

PostgresBytes PostgresRow::bytes(std::size_t column) const {
  if (null(column) || type(column) != kBytea) mismatch(column, "bytes");
  const std::string_view text = raw(column);
  if (text.substr(0, 2) != "\\x" || text.size() % 2 != 0) mismatch(column, "bytes in hexadecimal");
  PostgresBytes bytes;
  bytes.reserve(text.size() / 2 - 1);
  for (std::size_t i = 2; i < text.size(); i += 2) {
    const int high = nibble(text[i]);
    const int low = nibble(text[i + 1]);
    if (high < 0 || low < 0) mismatch(column, "bytes in hexadecimal");
    bytes.push_back(static_cast<std::byte>(high * 16 + low));
  }
  return bytes;
}

// Of one dimension, as the server writes it: {1,2}, {a,"b c","\"\\"}.
std::vector<std::string> PostgresRow::elements(std::size_t column, const char* expected) const {
  const std::string_view text = raw(column);
  std::vector<std::string> elements;
  if (text == "{}") return elements;
  if (text.size() < 3 || text.front() != '{' || text.back() != '}') mismatch(column, expected);
  for (std::size_t at = 1; at < text.size(); ++at) {
    std::string element;
    const bool quoted = text[at] == '"';
    if (quoted) {
      for (++at; at < text.size() && text[at] != '"'; ++at) {
        if (text[at] == '\\') ++at;
        if (at < text.size()) element += text[at];
      }
      ++at;
    } else {
      for (; at < text.size() && text[at] != ',' && text[at] != '}'; ++at) element += text[at];
      if (element == "NULL" || element.find('{') != element.npos) mismatch(column, expected);
    }
    if (at >= text.size() || (text[at] != ',' && text[at] != '}')) mismatch(column, expected);
    elements.push_back(std::move(element));
  }
  return elements;
}

std::vector<std::int64_t> PostgresRow::numbers(std::size_t column) const {
  constexpr const char* kExpected = "an array of numbers without NULL";
  const bool array =
      !null(column) && (type(column) == kInt8Array || type(column) == kInt4Array || type(column) == kInt2Array);
  if (!array) mismatch(column, kExpected);
  std::vector<std::int64_t> numbers;
  for (const std::string& element : elements(column, kExpected)) {
    std::int64_t number = 0;
    const auto end = std::from_chars(element.data(), element.data() + element.size(), number);
    if (end.ec != std::errc() || end.ptr != element.data() + element.size()) mismatch(column, kExpected);
    numbers.push_back(number);
  }
  return numbers;
}

std::vector<std::string> PostgresRow::texts(std::size_t column) const {
  constexpr const char* kExpected = "an array of texts without NULL";
  const bool array = !null(column) && (type(column) == kTextArray || type(column) == kVarcharArray);
  if (!array) mismatch(column, kExpected);
  return elements(column, kExpected);
}

void PostgresRow::expect_columns(std::size_t count) const {
  const std::size_t there = result_->columns_.size();
  if (there == count) return;
  throw PostgresError(PostgresErrc::OutOfRange,
                      result_->sql_ + ": " + std::to_string(there) + " columns, read as " + std::to_string(count));
}

void PostgresRow::mismatch(std::size_t column, const char* expected) const {
  throw PostgresError(PostgresErrc::Mismatch, result_->sql_ + ": column " + result_->columns_[column].name + " is " +
                                                  (null(column) ? "NULL" : type_name_of(type(column))) + ", not " +
                                                  expected);
}

}  // namespace snowfox
