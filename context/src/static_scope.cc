#include <snowfox/context/static_scope.h>

namespace snowfox {

StaticScope::StaticScope(LoopManager& loop, const PromiseKeeperOptions& promises)
    : loop_(loop), first_level_(loop.log().level()), promises_(loop, promises), scheduler_(loop) {}

StaticScope::~StaticScope() = default;

bool StaticScope::add_drain(std::string name, DrainId drain) {
  const auto [at, added] = drains_.try_emplace(std::move(name), drain);
  if (!added && loop_.drain(at->second) != nullptr) return false;
  at->second = drain;
  return true;
}

DrainId StaticScope::find_drain(std::string_view name) const noexcept {
  const auto found = drains_.find(name);
  return found != drains_.end() && loop_.drain(found->second) != nullptr ? found->second : kNoDrain;
}

bool StaticScope::remove_drain(std::string_view name) noexcept {
  const auto found = drains_.find(name);
  if (found == drains_.end()) return false;
  const bool existed = loop_.drain(found->second) != nullptr;
  drains_.erase(found);
  return existed;
}

std::vector<std::pair<std::string, DrainId>> StaticScope::drains() const {
  std::vector<std::pair<std::string, DrainId>> existing;
  for (const auto& [name, drain] : drains_) {
    if (loop_.drain(drain) != nullptr) existing.emplace_back(name, drain);
  }
  return existing;
}

void StaticScope::set_log_sink(DescriptorLogSink& sink, LogFormat format) noexcept {
  log_sink_ = &sink;
  first_format_ = format;
}

void StaticScope::apply(const LogSettings& settings) noexcept {
  log().set_level(settings.level.value_or(first_level_));
  if (log_sink_ != nullptr) log_sink_->set_format(settings.format.value_or(first_format_));
}

void StaticScope::announce_stopping() noexcept {
  if (!std::exchange(stopping_, true)) on_stopping_();
}

}  // namespace snowfox
