#include "statement_cache.h"

#include <utility>

namespace snowfox {

StatementCache::Statement& StatementCache::use(const PostgresStatement& statement) {
  std::string key = statement.sql;
  key += '\0';
  for (const PostgresParameter& parameter : statement.parameters) {
    key += std::to_string(parameter.type());
    key += ',';
  }
  const auto found = by_key_.find(key);
  if (found != by_key_.end()) {
    kept_.splice(kept_.begin(), kept_, found->second);
    return kept_.front();
  }
  kept_.push_front({.key = std::move(key), .name = "s" + std::to_string(++made_)});
  by_key_.emplace(kept_.front().key, kept_.begin());
  return kept_.front();
}

void StatementCache::forget(Statement& statement) noexcept {
  const auto found = by_key_.find(statement.key);
  if (found == by_key_.end()) return;
  const auto kept = found->second;
  by_key_.erase(found);
  kept_.erase(kept);
}

void StatementCache::trim() {
  while (kept_.size() > most_) {
    gone_.push_back(kept_.back().name);
    forget(kept_.back());
  }
}

void StatementCache::distrust() {
  for (const Statement& statement : kept_) gone_.push_back(statement.name);
  by_key_.clear();
  kept_.clear();
}

}  // namespace snowfox
