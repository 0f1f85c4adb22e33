#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <snowfox/postgres/postgres_unit.h>

namespace snowfox {

/// The statements that are prepared in one session of the server, by their text and the types that their parameters are
/// given. Where the session ends this ends.
class StatementCache {
 public:
  struct Statement {
    std::string key;
    std::string name;
    bool asked = false;  // the server was sent it
  };

  explicit StatementCache(std::size_t most) noexcept : most_(most) {}

  /// The one for `statement`, the last to go from now on; new if it has no name yet.
  Statement& use(const PostgresStatement& statement);
  /// It could not be prepared.
  void forget(Statement& statement) noexcept;
  /// The exchange is through: those too many, and not used for the longest, go.
  void trim();
  /// All are to be prepared anew.
  void distrust();
  /// Names of those that are gone here and not yet in the server; to be given back where that did not come about.
  std::vector<std::string>& gone() noexcept { return gone_; }
  std::size_t size() const noexcept { return by_key_.size(); }

 private:
  using Kept = std::list<Statement>;
  std::size_t most_;
  std::uint64_t made_ = 0;
  Kept kept_;  // the one used last comes first
  std::unordered_map<std::string_view, Kept::iterator> by_key_;
  std::vector<std::string> gone_;
};

}  // namespace snowfox
