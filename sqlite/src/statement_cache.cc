#include "statement_cache.h"

#include <utility>

namespace snowfox {

StatementRef SqliteStatementCache::take(std::string_view sql) {
  const auto found = by_text_.find(sql);
  if (found == by_text_.end()) return nullptr;
  StatementRef statement = std::move(found->second->second);
  kept_.erase(found->second);
  by_text_.erase(found);
  return statement;
}

void SqliteStatementCache::give_back(StatementRef statement) noexcept {
  const std::string_view text = sqlite3_sql(statement.get());
  try {
    if (most_ == 0 || by_text_.contains(text)) return;
    kept_.emplace_front(text, std::move(statement));
    by_text_.emplace(text, kept_.begin());
  } catch (...) {
    if (!kept_.empty() && kept_.front().first.data() == text.data()) kept_.pop_front();
    return;
  }
  if (kept_.size() > most_) {
    by_text_.erase(kept_.back().first);
    kept_.pop_back();
  }
}

void SqliteStatementCache::clear() noexcept {
  by_text_.clear();
  kept_.clear();
}

}  // namespace snowfox
