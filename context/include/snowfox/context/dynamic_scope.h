#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <snowfox/context/belongings.h>
#include <snowfox/context/configuration_place.h>
#include <snowfox/context/loaded_configuration.h>
#include <snowfox/context/static_scope.h>
#include <snowfox/core/address.h>
#include <snowfox/core/lifecycle.h>
#include <snowfox/sources/listener_source.h>

namespace snowfox {

/// A listener as a configuration asks for it.
struct ListenerSettings {
  Address address{};
  ListenerOptions options{};
  ConfigurationPlace place{};  ///< where the configuration does so, for the error if it cannot be had
};

/// What belongs to one configuration and goes with it: its listeners, configured sources and other parts.
///
/// Connections do not: they outlive the scope in which they were accepted, so what they borrow must not be among its
/// parts. Made by a DynamicScopeBuilder; which one is in force is a ScopeSwitch's to know.
class DynamicScope {
 public:
  ~DynamicScope();
  DynamicScope(const DynamicScope&) = delete;
  DynamicScope& operator=(const DynamicScope&) = delete;

  const ConfigurationMetadata& metadata() const noexcept { return metadata_; }
  /// Those that listen, in the order in which they were asked for.
  std::vector<ListenerSource*> listeners() const;
  /// The one that was asked for with `address`, or null.
  ListenerSource* listener(const Address& address) const noexcept;
  /// Accepts nothing more. Connections stay.
  void close_listeners() noexcept;

 private:
  friend class DynamicScopeBuilder;
  struct Listener;

  DynamicScope(StaticScope& statics, ConfigurationMetadata metadata);
  Listener* find(const Address& address) const noexcept;

  StaticScope& statics_;
  ConfigurationMetadata metadata_;
  LogSettings log_;
  Belongings parts_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  Hook<>::Token on_stopping_;
};

/// Makes a DynamicScope beside the one in force, which works on meanwhile and notices nothing if this fails.
///
/// A listener whose address the scope in force has, too, keeps its socket with all who wait there: it changes hands in
/// the swap, where nothing can fail. All that can fail comes before: new addresses are bound, changed options of kept
/// sockets are set - and set back if the builder is destroyed without a swap.
class DynamicScopeBuilder {
 public:
  /// `in_force` may be null, and must be if nothing is in force. All must outlive the builder.
  DynamicScopeBuilder(StaticScope& statics, ConfigurationMetadata metadata, DynamicScope* in_force);
  ~DynamicScopeBuilder();
  DynamicScopeBuilder(const DynamicScopeBuilder&) = delete;
  DynamicScopeBuilder& operator=(const DynamicScopeBuilder&) = delete;

  StaticScope& statics() const noexcept { return statics_; }

  /// `on_connection` is called with who connects, from the swap on. An address that the scope in force has keeps its
  /// socket, and so does one that was inherited (LISTEN_FDS). Mode, backlog and limit may then be others than before;
  /// reuse_port cannot change.
  /// Port 0 may be asked for several times: each time it is another port.
  /// Throws ConfigurationError that names the place if it cannot be listened on, or was asked for before.
  void listen(ListenerSettings settings, ListenerSource::OnConnection on_connection);

  /// The new scope owns `part`: a source, a router, whatever; the last one goes first, all after the listeners.
  template <typename T>
  T& keep(std::unique_ptr<T> part) {
    return scope_->parts_.keep(std::move(part));
  }
  void set_log(const LogSettings& settings) noexcept { scope_->log_ = settings; }
  /// Calls `function` in the swap, when the new scope is in force. It must not throw.
  void at_swap(std::function<void()> function) { at_swap_.push_back(std::move(function)); }

  /// How many listeners go on, are new, and will be gone.
  struct Changes {
    std::size_t kept = 0;
    std::size_t opened = 0;
    std::size_t closed = 0;
  };
  Changes changes() const noexcept;

  /// The last step that may fail: sets the changed options of sockets that are kept. Throws ConfigurationError.
  void prepare();
  /// The swap: puts the new scope in the place of `in_force` - which was given to the constructor - and gives back the
  /// old one, whose listeners are closed or have changed hands. To be called once, after prepare().
  std::unique_ptr<DynamicScope> swap(std::unique_ptr<DynamicScope>& in_force) noexcept;

 private:
  using Listener = DynamicScope::Listener;
  struct Undo;
  Listener* present(const Address& address) const noexcept;
  void open(Listener& listener);
  void set_options(const Listener& wanted, const Listener& present);

  StaticScope& statics_;
  DynamicScope* in_force_;
  std::unique_ptr<DynamicScope> scope_;
  std::vector<std::function<void()>> at_swap_;
  std::vector<Undo> undo_;  // what prepare() has set, to be set back
};

}  // namespace snowfox
