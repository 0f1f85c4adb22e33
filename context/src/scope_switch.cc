#include <snowfox/context/scope_switch.h>

#include <cassert>
#include <new>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/fault_point.h>

namespace snowfox {
namespace {

constexpr std::string_view kComponent = "configuration";

/// True until the end of the block.
class Guard {
 public:
  explicit Guard(bool& flag) : flag_(flag) { flag_ = true; }
  ~Guard() { flag_ = false; }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;

 private:
  bool& flag_;
};

/// What is thrown to end the loop is no error of the configuration.
ConfigurationError as_configuration_error(const std::exception_ptr& error, const std::string& name) {
  try {
    std::rethrow_exception(error);
  } catch (const ConfigurationError& own) {
    return own;
  } catch (const CleanExit&) {
    throw;
  } catch (const AbortError&) {
    throw;
  } catch (...) {
    return ConfigurationError({{.file = name}, describe(error)});
  }
}

}  // namespace

void ReloadResult::check() const {
  if (error) throw *error;
}

ReloadResult ScopeSwitch::replace(const ConfigurationMetadata& metadata, const Build& build, const CorrelationId& id) {
  assert(!building_ && "a reload from inside a reload");
  if (scope_ && scope_->metadata().version == metadata.version) {
    statics_.log().info(kComponent, "unchanged", {{"version", metadata.version}, {"name", metadata.name}}, id);
    return {ReloadResult::Outcome::Unchanged, version(), version(), std::nullopt};
  }
  try {
    if (statics_.stopping()) throw std::system_error(make_error_code(Errc::ShuttingDown));
    const Guard guard(building_);
    const std::string before = version();
    retired_.reserve(retired_.size() + 1);
    DynamicScopeBuilder builder(statics_, metadata, scope_.get());
    build(builder);
    if (SNOWFOX_FAULT(ReloadBuild)) throw std::bad_alloc();
    builder.prepare();
    const DynamicScopeBuilder::Changes changes = builder.changes();
    ReloadResult result{ReloadResult::Outcome::Changed, before, metadata.version, std::nullopt};

    std::unique_ptr<DynamicScope> old = builder.swap(scope_);
    if (old) {
      retired_.push_back(std::move(old));
      if (!burial_.linked()) statics_.loop().defer(burial_);
    }
    statics_.log().info(kComponent, "in force",
                        {{"version", metadata.version},
                         {"name", metadata.name},
                         {"listeners_kept", changes.kept},
                         {"listeners_opened", changes.opened},
                         {"listeners_closed", changes.closed}},
                        id);
    return result;
  } catch (...) {
    return failed(std::current_exception(), metadata.name, id);
  }
}

ReloadResult ScopeSwitch::failed(const std::exception_ptr& error, const std::string& name, const CorrelationId& id) {
  ReloadResult result{ReloadResult::Outcome::Failed, version(), version(), as_configuration_error(error, name)};
  // Each is a message of its own, for of one message the log would show no more than ten.
  for (const ConfigurationProblem& problem : result.error->problems()) {
    log_if_possible([&] { statics_.log().error(kComponent, problem.str(), {}, id); });
  }
  if (scope_) {
    statics_.log().error(
        kComponent, "refused, the one in force goes on",
        {{"problems", result.error->problems().size() + result.error->omitted()}, {"version", result.version_after}},
        id);
  }
  return result;
}

}  // namespace snowfox
