#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include <snowfox/sqlite/sqlite_error.h>
#include <snowfox/sqlite/sqlite_parameter.h>

struct sqlite3_stmt;

namespace snowfox {

/// What one column of a row is read as: a whole number (bool and enumerations, too), a real one, std::string,
/// SqliteBlob, or std::optional of those, which alone may be NULL. std::string_view and std::span<const std::byte>
/// borrow from the row and are only for SqliteSnapshot::each.
///
/// Nothing is converted on the quiet: text that is read as a number, NULL where no optional was asked for, or a number
/// that does not fit, is SqliteErrc::Mismatch and names the column; but a whole number may be read as a real one.
class SqliteRow {
 public:
  template <typename T>
  T get(int column) const {
    if constexpr (IsOptional<T>::value) {
      if (null(column)) return std::nullopt;
      return get<typename T::value_type>(column);
    } else if constexpr (std::is_enum_v<T>) {
      return static_cast<T>(get<std::underlying_type_t<T>>(column));
    } else if constexpr (std::same_as<T, bool>) {
      return integer(column) != 0;
    } else if constexpr (std::integral<T>) {
      const std::int64_t number = integer(column);
      if (!std::in_range<T>(number)) mismatch(column, "a number of that size");
      return static_cast<T>(number);
    } else if constexpr (std::floating_point<T>) {
      return static_cast<T>(real(column));
    } else if constexpr (std::same_as<T, std::string> || std::same_as<T, std::string_view>) {
      return T(text(column));
    } else if constexpr (std::same_as<T, SqliteBlob>) {
      const auto bytes = blob(column);
      return SqliteBlob(bytes.begin(), bytes.end());
    } else {
      static_assert(std::same_as<T, std::span<const std::byte>>, "no type that a column is read as");
      return blob(column);
    }
  }
  /// All columns, which must be as many as are asked for: a single one as itself, several as a tuple.
  template <typename... Columns>
  auto get_all() const {
    static_assert(sizeof...(Columns) > 0, "say what the columns are: all<std::int64_t, std::string>(…)");
    expect_columns(sizeof...(Columns));
    if constexpr (sizeof...(Columns) == 1) {
      return get<Columns...>(0);
    } else {
      return get_tuple<Columns...>(std::index_sequence_for<Columns...>());
    }
  }

 private:
  friend class SqliteSnapshot;
  template <typename T>
  struct IsOptional : std::false_type {};
  template <typename T>
  struct IsOptional<std::optional<T>> : std::true_type {};

  explicit SqliteRow(sqlite3_stmt* statement) noexcept : statement_(statement) {}

  template <typename... Columns, std::size_t... I>
  std::tuple<Columns...> get_tuple(std::index_sequence<I...>) const {
    return {get<Columns>(static_cast<int>(I))...};
  }

  bool null(int column) const noexcept;
  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string_view text(int column) const;
  std::span<const std::byte> blob(int column) const;
  void expect_columns(std::size_t count) const;
  [[noreturn]] void mismatch(int column, const char* expected) const;
  /// Of all columns.
  std::size_t bytes() const noexcept;

  sqlite3_stmt* statement_;
};

template <typename... Columns>
using SqliteColumns = decltype(std::declval<const SqliteRow&>().get_all<Columns...>());

}  // namespace snowfox
