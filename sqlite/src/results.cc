#include "results.h"

#include <memory>
#include <utility>

#include <snowfox/core/loop_manager.h>

namespace snowfox {

Results::Results(LoopManager& loop, std::string name, std::function<void()> on_all_given)
    : EventSource(loop), name_(std::move(name)), on_all_given_(std::move(on_all_given)) {
  // Calls under way keep the loop going, this does not.
  set_background(true);
}

Results::~Results() { give_all(); }

void Results::add(SqliteCall& call) noexcept {
  calls_.push_back(call);
  if (loop().stopping()) {
    give_all();
  } else {
    ready();
  }
}

EventRef Results::parse() {
  if (calls_.empty()) {
    on_all_given_();
    return nullptr;
  }
  SqliteCall& call = calls_.pop_front();
  given_.push_back(call);
  return EventRef(&call);
}

void Results::give_all() noexcept {
  while (!calls_.empty()) {
    const std::unique_ptr<SqliteCall> call(&calls_.pop_front());
    call->handle();
  }
  while (!given_.empty()) given_.pop_front().handle();
}

}  // namespace snowfox
