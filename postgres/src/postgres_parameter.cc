#include <snowfox/postgres/postgres_parameter.h>

#include <array>
#include <charconv>
#include <cmath>

#include "types.h"

namespace snowfox {
namespace {

void check(std::string_view text) {
  if (text.find('\0') != text.npos) throw PostgresError("22021", "bind a text: there is a zero in it");
}

void append(std::string& array, std::int64_t number) { array += std::to_string(number); }
void append(std::string& array, const std::string& text) {
  check(text);
  array += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') array += '\\';
    array += c;
  }
  array += '"';
}
template <typename T>
void append(std::string& array, const std::optional<T>& value) {
  if (value) {
    append(array, *value);
  } else {
    array += "NULL";
  }
}

// https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO
template <typename Values>
std::string array_of(const Values& values) {
  std::string array = "{";
  for (const auto& value : values) {
    if (array.size() > 1) array += ',';
    append(array, value);
  }
  array += '}';
  return array;
}

}  // namespace

PostgresParameter::PostgresParameter(std::string text) : value_(std::move(text)), null_(false) { check(value_); }

PostgresParameter::PostgresParameter(std::span<const std::byte> bytes)
    : value_(reinterpret_cast<const char*>(bytes.data()), bytes.size()), type_(kBytea), null_(false) {}

PostgresParameter::PostgresParameter(std::span<const std::int64_t> numbers)
    : value_(array_of(numbers)), type_(kInt8Array), null_(false) {}

PostgresParameter::PostgresParameter(const std::vector<std::optional<std::int64_t>>& numbers)
    : value_(array_of(numbers)), type_(kInt8Array), null_(false) {}

PostgresParameter::PostgresParameter(std::span<const std::string> texts)
    : value_(array_of(texts)), type_(kTextArray), null_(false) {}

PostgresParameter::PostgresParameter(const std::vector<std::optional<std::string>>& texts)
    : value_(array_of(texts)), type_(kTextArray), null_(false) {}

bool PostgresParameter::binary() const noexcept { return type_ == kBytea; }

std::string PostgresParameter::real(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number < 0 ? "-Infinity" : "Infinity";
  std::array<char, 32> text{};
  // The shortest that is read as the same number.
  const auto end = std::to_chars(text.data(), text.data() + text.size(), number);
  return {text.data(), end.ptr};
}

}  // namespace snowfox
