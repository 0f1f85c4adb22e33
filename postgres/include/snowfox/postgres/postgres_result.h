#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <snowfox/postgres/postgres_error.h>
#include <snowfox/postgres/postgres_parameter.h>

namespace snowfox {

class PostgresRow;
template <typename... Columns>
using PostgresColumns =
    typename std::conditional_t<sizeof...(Columns) == 1, std::tuple_element<0, std::tuple<Columns..., void>>,
                                std::type_identity<std::tuple<Columns...>>>::type;

/// What a statement gave: its rows, owned, and how many rows it changed.
class PostgresResult {
 public:
  std::size_t size() const noexcept { return rows_; }
  bool empty() const noexcept { return rows_ == 0; }
  std::size_t column_count() const noexcept { return columns_.size(); }
  const std::string& column_name(std::size_t column) const { return columns_.at(column).name; }
  /// Rows inserted, updated, deleted, or, of a SELECT, given.
  std::int64_t affected() const noexcept { return affected_; }
  /// `row` must be below size(). It borrows from the result.
  PostgresRow operator[](std::size_t row) const noexcept;

  /// The first row, if there is one: `auto name = result.one<std::string>();`
  template <typename... Columns>
  std::optional<PostgresColumns<Columns...>> one() const;
  /// All rows: `for (auto& [id, name] : result.all<std::int64_t, std::string>())`.
  template <typename... Columns>
  std::vector<PostgresColumns<Columns...>> all() const;

 private:
  friend class PostgresExchange;
  friend class PostgresRow;
  struct Column {
    std::string name;
    std::uint32_t type = 0;  // pg_type.oid
  };
  struct Cell {
    std::size_t at = 0;
    std::int64_t bytes = -1;  // -1: NULL
  };

  std::string sql_;  // shortened, for errors
  std::vector<Column> columns_;
  std::vector<Cell> cells_;  // row by row
  std::string text_;
  std::size_t rows_ = 0;
  std::int64_t affected_ = 0;
};

using PostgresResults = std::vector<PostgresResult>;

/// What one column of a row is read as: bool, a whole number (enumerations, too), a real one, std::string,
/// PostgresBytes, a vector of std::int64_t or std::string, or std::optional of those, which alone may be NULL.
/// std::string_view borrows from the result.
///
/// As text every type but bytea can be read: a time, a jsonb, a numeric is then as PostgreSQL writes it. Otherwise
/// nothing is converted on the quiet: text that is read as a number, NULL where no optional was asked for, or a number
/// that does not fit, is PostgresErrc::Mismatch and names the column; but a whole number may be read as a real one.
class PostgresRow {
 public:
  template <typename T>
  T get(std::size_t column) const {
    if constexpr (IsOptional<T>::value) {
      if (null(column)) return std::nullopt;
      return get<typename T::value_type>(column);
    } else if constexpr (std::is_enum_v<T>) {
      return static_cast<T>(get<std::underlying_type_t<T>>(column));
    } else if constexpr (std::same_as<T, bool>) {
      return truth(column);
    } else if constexpr (std::integral<T>) {
      const std::int64_t number = integer(column);
      if (!std::in_range<T>(number)) mismatch(column, "a number of that size");
      return static_cast<T>(number);
    } else if constexpr (std::floating_point<T>) {
      return static_cast<T>(real(column));
    } else if constexpr (std::same_as<T, std::string> || std::same_as<T, std::string_view>) {
      return T(text(column));
    } else if constexpr (std::same_as<T, PostgresBytes>) {
      return bytes(column);
    } else if constexpr (std::same_as<T, std::vector<std::int64_t>>) {
      return numbers(column);
    } else {
      static_assert(std::same_as<T, std::vector<std::string>>, "no type that a column is read as");
      return texts(column);
    }
  }
  /// All columns, which must be as many as are asked for: a single one as itself, several as a tuple.
  template <typename... Columns>
  PostgresColumns<Columns...> get_all() const {
    static_assert(sizeof...(Columns) > 0, "say what the columns are: all<std::int64_t, std::string>()");
    expect_columns(sizeof...(Columns));
    return get_tuple<Columns...>(std::index_sequence_for<Columns...>());
  }
  bool null(std::size_t column) const;

 private:
  friend class PostgresResult;
  template <typename T>
  struct IsOptional : std::false_type {};
  template <typename T>
  struct IsOptional<std::optional<T>> : std::true_type {};

  PostgresRow(const PostgresResult& result, std::size_t row) noexcept : result_(&result), row_(row) {}

  template <typename... Columns, std::size_t... I>
  PostgresColumns<Columns...> get_tuple(std::index_sequence<I...>) const {
    return {get<Columns>(I)...};
  }

  std::string_view raw(std::size_t column) const;
  std::uint32_t type(std::size_t column) const;
  bool truth(std::size_t column) const;
  std::int64_t integer(std::size_t column) const;
  double real(std::size_t column) const;
  std::string_view text(std::size_t column) const;
  PostgresBytes bytes(std::size_t column) const;
  std::vector<std::int64_t> numbers(std::size_t column) const;
  std::vector<std::string> texts(std::size_t column) const;
  std::vector<std::string> elements(std::size_t column, const char* expected) const;
  void expect_columns(std::size_t count) const;
  [[noreturn]] void mismatch(std::size_t column, const char* expected) const;

  const PostgresResult* result_;
  std::size_t row_;
};

inline PostgresRow PostgresResult::operator[](std::size_t row) const noexcept { return {*this, row}; }

template <typename... Columns>
std::optional<PostgresColumns<Columns...>> PostgresResult::one() const {
  if (empty()) return std::nullopt;
  return (*this)[0].get_all<Columns...>();
}

template <typename... Columns>
std::vector<PostgresColumns<Columns...>> PostgresResult::all() const {
  std::vector<PostgresColumns<Columns...>> rows;
  rows.reserve(rows_);
  for (std::size_t row = 0; row < rows_; ++row) rows.push_back((*this)[row].get_all<Columns...>());
  return rows;
}

}  // namespace snowfox
