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
#include <vector>

#include <snowfox/core/correlation_id.h>
#include <snowfox/postgres/postgres_error.h>

namespace snowfox {

/// Bytes as a bytea, owned.
using PostgresBytes = std::vector<std::byte>;

/// A value for a `$1` of a statement, owned: NULL, a truth, a whole number, a real one, text, bytes, or an array of
/// numbers or texts.
///
/// What type it has the server finds out from where it stands, as of a literal in quotes: text may be a jsonb, a uuid
/// or a time. Where that does not tell, the SQL says it: `$1::bigint`. Bytes are always bytea, arrays bigint[] and
/// text[]: many rows by one statement are `INSERT INTO t SELECT * FROM UNNEST($1, $2)`.
class PostgresParameter {
 public:
  PostgresParameter(std::nullptr_t) noexcept {}
  PostgresParameter(std::nullopt_t) noexcept {}
  PostgresParameter(bool value) : value_(value ? "t" : "f"), null_(false) {}
  template <std::integral T>
  requires(!std::same_as<T, bool>) PostgresParameter(T number) : value_(text_of(number)), null_(false) {}
  template <typename E>
  requires std::is_enum_v<E> PostgresParameter(E value)
      : PostgresParameter(static_cast<std::underlying_type_t<E>>(value)) {}
  PostgresParameter(std::floating_point auto number) : value_(real(static_cast<double>(number))), null_(false) {}
  /// Throws PostgresErrc::Data if there is a zero in it, which no text of PostgreSQL may have; so do arrays of texts.
  PostgresParameter(std::string text);
  PostgresParameter(std::string_view text) : PostgresParameter(std::string(text)) {}
  PostgresParameter(const char* text) : PostgresParameter(std::string(text)) {}
  PostgresParameter(const CorrelationId& id) : PostgresParameter(id.text()) {}
  PostgresParameter(std::span<const std::byte> bytes);
  PostgresParameter(const PostgresBytes& bytes) : PostgresParameter(std::span<const std::byte>(bytes)) {}
  PostgresParameter(std::span<const std::int64_t> numbers);
  PostgresParameter(const std::vector<std::int64_t>& numbers) : PostgresParameter(std::span(numbers)) {}
  PostgresParameter(const std::vector<std::optional<std::int64_t>>& numbers);
  PostgresParameter(std::span<const std::string> texts);
  PostgresParameter(const std::vector<std::string>& texts) : PostgresParameter(std::span(texts)) {}
  PostgresParameter(const std::vector<std::optional<std::string>>& texts);
  template <typename T>
  PostgresParameter(const std::optional<T>& value) {
    if (value) *this = PostgresParameter(*value);
  }

  bool null() const noexcept { return null_; }
  /// As it is sent: as text, or, of bytea, the bytes.
  const std::string& value() const noexcept { return value_; }
  /// The server's number for its type (pg_type.oid); 0: the server's to find out.
  std::uint32_t type() const noexcept { return type_; }
  bool binary() const noexcept;

 private:
  static std::string real(double number);
  static std::string text_of(std::integral auto number) {
    if constexpr (std::is_signed_v<decltype(number)>) {
      return std::to_string(static_cast<std::int64_t>(number));
    } else {
      return std::to_string(static_cast<std::uint64_t>(number));
    }
  }

  std::string value_;
  std::uint32_t type_ = 0;
  bool null_ = true;
};

}  // namespace snowfox
