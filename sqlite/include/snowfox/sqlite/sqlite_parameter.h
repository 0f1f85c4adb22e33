#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include <snowfox/core/correlation_id.h>
#include <snowfox/sqlite/sqlite_error.h>

namespace snowfox {

/// Bytes as a BLOB, owned.
using SqliteBlob = std::vector<std::byte>;

/// A value for a `?` of a statement: NULL, a whole number, a real one, text or a BLOB. It borrows text and bytes: use
/// it only as an argument.
class SqliteParameter {
 public:
  using Value = std::variant<std::nullptr_t, std::int64_t, double, std::string_view, std::span<const std::byte>>;

  SqliteParameter(std::nullptr_t) noexcept : value_(nullptr) {}
  SqliteParameter(std::nullopt_t) noexcept : value_(nullptr) {}
  /// Throws SqliteErrc::TooBig for what is more than SQLite's 64 bits with a sign.
  SqliteParameter(std::integral auto number) : value_(static_cast<std::int64_t>(number)) {
    if (!std::in_range<std::int64_t>(widened(number))) throw SqliteError(SqliteErrc::TooBig, "bind a number");
  }
  template <typename E>
  requires std::is_enum_v<E> SqliteParameter(E value)
      : SqliteParameter(static_cast<std::underlying_type_t<E>>(value)) {}
  SqliteParameter(std::floating_point auto number) noexcept : value_(static_cast<double>(number)) {}
  SqliteParameter(std::string_view text) noexcept : value_(text) {}
  SqliteParameter(const std::string& text) noexcept : value_(std::string_view(text)) {}
  SqliteParameter(const char* text) noexcept : value_(std::string_view(text)) {}
  SqliteParameter(const CorrelationId& id) noexcept : value_(id.text()) {}
  SqliteParameter(std::span<const std::byte> bytes) noexcept : value_(bytes) {}
  SqliteParameter(const SqliteBlob& bytes) noexcept : value_(std::span<const std::byte>(bytes)) {}
  template <typename T>
  SqliteParameter(const std::optional<T>& value) : value_(nullptr) {
    if (value) *this = SqliteParameter(*value);
  }

  const Value& value() const noexcept { return value_; }

 private:
  /// std::in_range knows neither bool nor the character types.
  static auto widened(std::integral auto number) noexcept {
    if constexpr (std::is_signed_v<decltype(number)>) {
      return static_cast<std::int64_t>(number);
    } else {
      return static_cast<std::uint64_t>(number);
    }
  }

  Value value_;
};

}  // namespace snowfox
