#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <snowfox/context/configuration_error.h>
#include <snowfox/context/dynamic_scope.h>
#include <snowfox/context/static_scope.h>
#include <snowfox/core/loop_manager.h>

namespace snowfox {

/// What came of a reload.
struct ReloadResult {
  enum class Outcome : std::uint8_t {
    Changed,    ///< the new configuration is in force
    Unchanged,  ///< it is the one that was in force: nothing was done
    Failed,     ///< the one that was in force goes on
  };

  Outcome outcome = Outcome::Failed;
  std::string version_before;               ///< empty if there was none
  std::string version_after;                ///< of what is in force now
  std::optional<ConfigurationError> error;  ///< if it has failed

  explicit operator bool() const noexcept { return outcome != Outcome::Failed; }
  bool changed() const noexcept { return outcome == Outcome::Changed; }
  /// Throws the error, if there is one: for a first configuration, without which there is nothing to do.
  void check() const;
};

/// The dynamic scope in force, and how another takes its place: as a whole, or not at all.
class ScopeSwitch {
 public:
  /// `statics` must outlive it.
  explicit ScopeSwitch(StaticScope& statics) : statics_(statics), burial_(*this) {}

  StaticScope& statics() const noexcept { return statics_; }
  /// Null before the first.
  DynamicScope* scope() const noexcept { return scope_.get(); }

  /// Builds a scope and puts it in force. With the version that is in force nothing is done, and `build` is not called.
  /// Whatever `build` throws leaves the old scope as it was; CleanExit and AbortError pass on. The old scope is
  /// destroyed after the event being handled, which may have been begun by one of its parts. The log lines have `id`,
  /// that of whoever has asked for it.
  using Build = std::function<void(DynamicScopeBuilder&)>;
  ReloadResult replace(const ConfigurationMetadata& metadata, const Build& build, const CorrelationId& id = {});

  /// The result, and the log lines, of a configuration that could not even be read. `name` is what the error is about
  /// if it does not say so itself.
  ReloadResult failed(const std::exception_ptr& error, const std::string& name, const CorrelationId& id = {});

 private:
  struct Burial final : Deferred {
    explicit Burial(ScopeSwitch& whose) : scopes(whose.retired_) {}
    void run() noexcept override { scopes.clear(); }
    std::vector<std::unique_ptr<DynamicScope>>& scopes;
  };
  std::string version() const { return scope_ ? scope_->metadata().version : std::string(); }

  StaticScope& statics_;
  std::unique_ptr<DynamicScope> scope_;
  std::vector<std::unique_ptr<DynamicScope>> retired_;
  Burial burial_;
  bool building_ = false;
};

}  // namespace snowfox
