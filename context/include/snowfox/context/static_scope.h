#pragma once

#include <any>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/context/belongings.h>
#include <snowfox/context/inherited_listeners.h>
#include <snowfox/core/id.h>
#include <snowfox/core/lifecycle.h>
#include <snowfox/core/log.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise_keeper.h>
#include <snowfox/sources/scheduler_source.h>

namespace snowfox {

/// What of the log a configuration decides. What it does not, is as the program began with.
struct LogSettings {
  std::optional<LogLevel> level{};
  std::optional<LogFormat> format{};
};

/// What lives as long as the process, whatever configurations come and go. `main` makes it, or Process does, and passes
/// it on.
class StaticScope {
 public:
  /// `loop` must outlive the scope.
  explicit StaticScope(LoopManager& loop, const PromiseKeeperOptions& promises = {});
  ~StaticScope();
  StaticScope(const StaticScope&) = delete;
  StaticScope& operator=(const StaticScope&) = delete;

  LoopManager& loop() const noexcept { return loop_; }
  Log& log() const noexcept { return loop_.log(); }
  PromiseKeeper& promises() noexcept { return promises_; }
  SchedulerSource& scheduler() noexcept { return scheduler_; }

  /// The program's options, of a type of its own, as its command line gave them.
  template <typename Options>
  void set_options(Options options) {
    options_ = std::move(options);
  }
  /// Throws std::bad_any_cast if they are not of this type.
  template <typename Options>
  const Options& options() const {
    return std::any_cast<const Options&>(options_);
  }

  /// Owns a source, a drain or any other part until the process ends; the last one goes first.
  template <typename T>
  T& keep(std::unique_ptr<T> part) {
    return parts_.keep(std::move(part));
  }

  // --- drains by name ---

  /// False if another drain that still exists has the name.
  bool add_drain(std::string name, DrainId drain);
  /// kNoDrain if no drain has the name, or none any more.
  DrainId find_drain(std::string_view name) const noexcept;
  /// False if none had the name. The drain itself stays.
  bool remove_drain(std::string_view name) noexcept;
  /// Those that exist, by name.
  std::vector<std::pair<std::string, DrainId>> drains() const;

  // --- what the scopes of configurations need ---

  InheritedListeners& inherited() noexcept { return inherited_; }
  void set_inherited(InheritedListeners inherited) noexcept { inherited_ = std::move(inherited); }

  /// Where the log's format is set. `sink` must outlive the scope. Without one a configuration's format is not heeded.
  void set_log_sink(DescriptorLogSink& sink, LogFormat format) noexcept;
  /// Sets what `settings` has, and what it has not as the program began with.
  void apply(const LogSettings& settings) noexcept;

  /// Called when the process is about to end and takes on nothing new; the loop still runs.
  Hook<>& on_stopping() noexcept { return on_stopping_; }
  /// Says so, once.
  void announce_stopping() noexcept;
  bool stopping() const noexcept { return stopping_; }

 private:
  LoopManager& loop_;
  Hook<> on_stopping_;
  bool stopping_ = false;
  LogLevel first_level_;
  LogFormat first_format_ = LogFormat::Text;
  DescriptorLogSink* log_sink_ = nullptr;
  std::any options_;
  std::map<std::string, DrainId, std::less<>> drains_;
  InheritedListeners inherited_;
  PromiseKeeper promises_;
  SchedulerSource scheduler_;
  Belongings parts_;
};

}  // namespace snowfox
