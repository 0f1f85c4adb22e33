#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <snowfox/sqlite/sqlite_parameter.h>
#include <snowfox/sqlite/sqlite_row.h>

namespace snowfox {

class SqliteConnection;

/// The database as it is at one moment, whatever others write meanwhile: what the function of a read is given. It is
/// used on the thread that the function runs on, and only as long as that runs.
///
/// SQL is one statement at a time, with a `?` for each parameter; statements are prepared once and kept. What SQLite
/// refuses is thrown as SqliteError.
class SqliteSnapshot {
 public:
  SqliteSnapshot(const SqliteSnapshot&) = delete;
  SqliteSnapshot& operator=(const SqliteSnapshot&) = delete;

  /// The first row, if there is one: `auto name = s.one<std::string>("SELECT name FROM users WHERE id = ?", id);`
  template <typename... Columns, typename... Parameters>
  std::optional<SqliteColumns<Columns...>> one(std::string_view sql, const Parameters&... parameters) {
    const std::array<SqliteParameter, sizeof...(Parameters)> values{SqliteParameter(parameters)...};
    Rows rows(connection_, sql, values);
    if (!rows.next()) return std::nullopt;
    return rows.row().template get_all<Columns...>();
  }

  /// All rows: `for (auto& [id, name] : s.all<std::int64_t, std::string>("SELECT id, name FROM users"))`. More of them
  /// than SqliteOptions::max_rows, or more bytes than max_result_bytes, is Errc::LimitReached: who expects many asks
  /// for them in pages, by `WHERE key > ? ORDER BY key LIMIT ?`, or looks at them one by one by each().
  template <typename... Columns, typename... Parameters>
  std::vector<SqliteColumns<Columns...>> all(std::string_view sql, const Parameters&... parameters) {
    const std::array<SqliteParameter, sizeof...(Parameters)> values{SqliteParameter(parameters)...};
    std::vector<SqliteColumns<Columns...>> result;
    for (Rows rows(connection_, sql, values); rows.next_to_keep();) {
      result.push_back(rows.row().template get_all<Columns...>());
    }
    return result;
  }

  /// Calls `function(columns...)` with each row; it may return false to see no more of them.
  template <typename... Columns, typename F, typename... Parameters>
  void each(std::string_view sql, F&& function, const Parameters&... parameters) {
    const std::array<SqliteParameter, sizeof...(Parameters)> values{SqliteParameter(parameters)...};
    for (Rows rows(connection_, sql, values); rows.next();) {
      const auto call = [&](auto&&... columns) {
        if constexpr (std::is_void_v<decltype(function(std::move(columns)...))>) {
          function(std::move(columns)...);
          return true;
        } else {
          return function(std::move(columns)...);
        }
      };
      if (!std::apply(call, std::tuple<Columns...>(rows.row().template get_all<Columns...>()))) return;
    }
  }

 protected:
  friend class SqliteReader;
  explicit SqliteSnapshot(SqliteConnection& connection) noexcept : connection_(connection) {}
  ~SqliteSnapshot() = default;

  /// A statement that is run, and the row that it is at. `parameters` must outlive it.
  class Rows {
   public:
    Rows(SqliteConnection& connection, std::string_view sql, std::span<const SqliteParameter> parameters);
    ~Rows();
    Rows(const Rows&) = delete;
    Rows& operator=(const Rows&) = delete;
    bool next();
    /// The same, and counts it against the limits.
    bool next_to_keep();
    const SqliteRow& row() const noexcept { return row_; }

   private:
    SqliteConnection& connection_;
    SqliteRow row_;
    std::size_t rows_ = 0;
    std::size_t bytes_ = 0;
  };

  SqliteConnection& connection_;
};

}  // namespace snowfox
