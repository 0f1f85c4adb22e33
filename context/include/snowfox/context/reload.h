#pragma once

#include <cassert>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <snowfox/context/dynamic_scope.h>
#include <snowfox/context/loaded_configuration.h>
#include <snowfox/context/scope_switch.h>
#include <snowfox/core/correlation_id.h>

namespace snowfox {

/// The program's configuration, and how it is exchanged while the program runs: read and validated, its scope built
/// beside the one in force, then both swapped. On any error the old ones go on, with their listeners accepting.
///
///     Reload<Settings> settings(process.scope(), [&] { return load_yaml<Settings>(path); },
///                               [&](const Settings& wanted, DynamicScopeBuilder& scope) { … scope.listen(…); });
///     settings.reload().check();
///     process.on_reload([&] { settings.reload(); });
template <typename Configuration>
class Reload {
 public:
  using Loaded = LoadedConfiguration<Configuration>;
  /// Reads and validates. Throws ConfigurationError, or anything else, if there is nothing valid to be read.
  using Load = std::function<Loaded()>;
  /// Says what the scope of a configuration consists of; the parts may borrow from the configuration. Throws if it
  /// cannot be had.
  using Build = std::function<void(const Configuration&, DynamicScopeBuilder&)>;

  /// `statics` must outlive it.
  Reload(StaticScope& statics, Load load, Build build)
      : load_(std::move(load)), build_(std::move(build)), switch_(statics) {}

  /// Loads, and applies what it got. Throws std::bad_alloc, and changes nothing, if there is no memory to say what went
  /// wrong. The log lines have `id`, that of whoever has asked for it.
  ReloadResult reload(const CorrelationId& id = {}) {
    try {
      return apply(load_(), id);
    } catch (...) {
      return switch_.failed(std::current_exception(), "configuration", id);
    }
  }
  /// Puts `loaded` in force, for a program that loads elsewhere, such as on a worker.
  ReloadResult apply(Loaded loaded, const CorrelationId& id = {}) {
    auto next = std::make_shared<const Configuration>(std::move(loaded.configuration));
    const auto build = [&](DynamicScopeBuilder& scope) {
      scope.keep(std::make_unique<std::shared_ptr<const Configuration>>(next));
      scope.at_swap([this, next] { configuration_ = next; });
      build_(*next, scope);
    };
    return switch_.replace(loaded.metadata, build, id);
  }

  /// Null, or to be called only, before the first: what is in force.
  DynamicScope* scope() const noexcept { return switch_.scope(); }
  const Configuration& configuration() const noexcept {
    assert(configuration_);
    return *configuration_;
  }
  /// The same, for a request that began under it and is to end under it.
  std::shared_ptr<const Configuration> shared_configuration() const noexcept { return configuration_; }

 private:
  Load load_;
  Build build_;
  std::shared_ptr<const Configuration> configuration_;
  ScopeSwitch switch_;
};

}  // namespace snowfox
