#pragma once

#include <cstddef>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include <sqlite3.h>

namespace snowfox {

struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};
using StatementRef = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

/// Statements that a connection keeps prepared, by their text. Lends each to one user at a time.
class SqliteStatementCache {
 public:
  explicit SqliteStatementCache(std::size_t most) : most_(most) {}

  /// The statement prepared from `sql`, or null if none is kept or it is lent.
  StatementRef take(std::string_view sql);
  /// Keeps it, in place of the one not used for the longest if there are enough. What there is no memory for goes.
  void give_back(StatementRef statement) noexcept;
  void clear() noexcept;

 private:
  // The text is the statement's own.
  using Kept = std::list<std::pair<std::string_view, StatementRef>>;
  std::size_t most_;
  Kept kept_;  // the one used last comes first
  std::unordered_map<std::string_view, Kept::iterator> by_text_;
};

}  // namespace snowfox
