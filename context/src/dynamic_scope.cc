#include <snowfox/context/dynamic_scope.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <string>
#include <system_error>

#include <snowfox/context/configuration_error.h>
#include <snowfox/core/loop_manager.h>

namespace snowfox {
namespace {

constexpr std::string_view kComponent = "configuration";

/// A listener that changes hands together with whom it calls.
struct Acceptor {
  const ListenerSource::OnConnection* whom = nullptr;
  std::unique_ptr<ListenerSource> source;
};

[[noreturn]] void refuse(const ListenerSettings& settings, std::string message) {
  throw ConfigurationError({settings.place, std::move(message)});
}

/// That the system would not set `what`.
std::string refusal(std::string_view what, const Address& address, int error) {
  return fmt::format("cannot set {} of {}: {}", what, address.str(), std::system_category().message(error));
}

bool every_interface(const Address& address) {
  return address == Address::tcp("0.0.0.0", address.port()) || address == Address::tcp("::", address.port());
}

/// Whether one of them cannot be bound while the other is.
bool overlap(const Address& left, const Address& right) {
  if (left.is_unix() || right.is_unix() || left.port() != right.port() || left.port() == 0) return false;
  return every_interface(left) || every_interface(right);
}

}  // namespace

struct DynamicScope::Listener {
  ListenerSettings settings;
  ListenerSource::OnConnection on_connection;
  std::unique_ptr<Acceptor> acceptor;  // null while the scope in force has it still, and once it was given away
  Listener* present = nullptr;         // which has it still

  /// Whether it can be connected to: not if it failed, which has closed it, nor if somebody removed its file.
  bool reachable() const {
    if (acceptor == nullptr || acceptor->source->fd() < 0) return false;
    // A path of another world than the system's tells nothing.
    if (!settings.address.is_unix() || &acceptor->source->loop().io() != &Io::system()) return true;
    struct stat status {};
    return ::lstat(settings.address.path().data(), &status) == 0 || errno != ENOENT;
  }
};

DynamicScope::DynamicScope(StaticScope& statics, ConfigurationMetadata metadata)
    : statics_(statics),
      metadata_(std::move(metadata)),
      on_stopping_(statics.on_stopping().add([this] { close_listeners(); })) {
  metadata_.loaded_at = statics.loop().poller().wall_now();
}

DynamicScope::~DynamicScope() = default;

std::vector<ListenerSource*> DynamicScope::listeners() const {
  std::vector<ListenerSource*> all;
  for (const auto& listener : listeners_) {
    if (listener->acceptor) all.push_back(listener->acceptor->source.get());
  }
  return all;
}

DynamicScope::Listener* DynamicScope::find(const Address& address) const noexcept {
  const auto found = std::find_if(listeners_.begin(), listeners_.end(),
                                  [&](const auto& listener) { return listener->settings.address == address; });
  return found == listeners_.end() ? nullptr : found->get();
}

ListenerSource* DynamicScope::listener(const Address& address) const noexcept {
  const Listener* found = find(address);
  return found != nullptr && found->acceptor ? found->acceptor->source.get() : nullptr;
}

void DynamicScope::close_listeners() noexcept {
  for (const auto& listener : listeners_) {
    if (listener->acceptor) statics_.loop().remove(listener->acceptor->source->id());
  }
}

/// What a socket had before, in case it must have it again.
struct DynamicScopeBuilder::Undo {
  const Listener* present;
  bool mode = false;
  bool backlog = false;
};

DynamicScopeBuilder::DynamicScopeBuilder(StaticScope& statics, ConfigurationMetadata metadata, DynamicScope* in_force)
    : statics_(statics), in_force_(in_force), scope_(new DynamicScope(statics, std::move(metadata))) {}

DynamicScopeBuilder::~DynamicScopeBuilder() {
  for (const Undo& undo : undo_) {
    const ListenerSettings& settings = undo.present->settings;
    if (undo.mode) ::chmod(settings.address.path().data(), settings.options.unix_mode);
    if (undo.backlog) ::listen(undo.present->acceptor->source->fd(), settings.options.backlog);
  }
}

void DynamicScopeBuilder::listen(ListenerSettings settings, ListenerSource::OnConnection on_connection) {
  const bool any_port = !settings.address.is_unix() && settings.address.port() == 0;
  if (const Listener* same = any_port ? nullptr : scope_->find(settings.address)) {
    const std::string where = same->settings.place.str();
    refuse(settings, fmt::format("{} is to be listened on twice{}{}", settings.address.str(),
                                 where.empty() ? "" : ", also by ", where));
  }
  auto listener = std::make_unique<Listener>();
  listener->settings = std::move(settings);
  listener->on_connection = std::move(on_connection);
  listener->present = present(listener->settings.address);
  if (listener->present == nullptr) open(*listener);
  scope_->listeners_.push_back(std::move(listener));
}

/// The one in force whose socket goes on for `address`: of several that each have some free port the first one left.
DynamicScope::Listener* DynamicScopeBuilder::present(const Address& address) const noexcept {
  if (in_force_ == nullptr) return nullptr;
  for (const auto& listener : in_force_->listeners_) {
    if (listener->settings.address != address || !listener->reachable()) continue;
    const auto taken = [&](const auto& other) { return other->present == listener.get(); };
    if (std::none_of(scope_->listeners_.begin(), scope_->listeners_.end(), taken)) return listener.get();
  }
  return nullptr;
}

void DynamicScopeBuilder::open(Listener& listener) {
  const ListenerSettings& settings = listener.settings;
  auto acceptor = std::make_unique<Acceptor>();
  acceptor->whom = &listener.on_connection;
  const auto on_connection = [to = acceptor.get()](ListenerSource::Connection connection) {
    (*to->whom)(std::move(connection));
  };
  try {
    auto inherited = statics_.inherited().take(settings.address);
    acceptor->source =
        inherited
            ? std::make_unique<ListenerSource>(statics_.loop(), std::move(*inherited), settings.options, on_connection)
            : std::make_unique<ListenerSource>(statics_.loop(), settings.address, settings.options, on_connection);
  } catch (const std::system_error& error) {
    std::string message = fmt::format("cannot {}", error.what());
    if (in_force_ != nullptr && error.code() == std::errc::address_in_use) {
      for (const auto& present : in_force_->listeners_) {
        if (!overlap(present->settings.address, settings.address)) continue;
        message += fmt::format("; the configuration in force listens on {}, which is given up only after this",
                               present->settings.address.str());
      }
    }
    refuse(settings, std::move(message));
  }
  listener.acceptor = std::move(acceptor);
}

DynamicScopeBuilder::Changes DynamicScopeBuilder::changes() const noexcept {
  Changes changes;
  for (const auto& listener : scope_->listeners_) ++(listener->acceptor ? changes.opened : changes.kept);
  if (in_force_ != nullptr) changes.closed = in_force_->listeners_.size() - changes.kept;
  return changes;
}

void DynamicScopeBuilder::prepare() {
  for (const auto& listener : scope_->listeners_) {
    if (listener->acceptor == nullptr) set_options(*listener, *listener->present);
  }
}

// The limit of connections is the listener's own and changes with it; these are the system's.
void DynamicScopeBuilder::set_options(const Listener& wanted, const Listener& present) {
  const ListenOptions& after = wanted.settings.options;
  const ListenOptions& before = present.settings.options;
  const Address& address = wanted.settings.address;
  if (after.reuse_port != before.reuse_port) {
    statics_.log().warning(kComponent, "reuse_port of an open socket cannot change: restart for it",
                           {{"address", address.str()}});
  }
  // The descriptors of another world than the system's are not the system's to change.
  if (&statics_.loop().io() != &Io::system()) return;
  Undo& undo = undo_.emplace_back(Undo{&present});
  if (address.is_unix() && after.unix_mode != before.unix_mode) {
    if (::chmod(address.path().data(), after.unix_mode) != 0) {
      refuse(wanted.settings, refusal("the mode", address, errno));
    }
    undo.mode = true;
  }
  if (after.backlog != before.backlog) {
    if (::listen(present.acceptor->source->fd(), after.backlog) != 0) {
      refuse(wanted.settings, refusal("the backlog", address, errno));
    }
    undo.backlog = true;
  }
}

std::unique_ptr<DynamicScope> DynamicScopeBuilder::swap(std::unique_ptr<DynamicScope>& in_force) noexcept {
  assert(in_force.get() == in_force_ && scope_ != nullptr);
  undo_.clear();
  for (const auto& listener : scope_->listeners_) {
    if (listener->acceptor) continue;
    listener->acceptor = std::move(std::exchange(listener->present, nullptr)->acceptor);
    listener->acceptor->whom = &listener->on_connection;
    listener->acceptor->source->set_max_connections(listener->settings.options.max_connections);
  }
  if (in_force) in_force->close_listeners();
  in_force.swap(scope_);
  statics_.apply(in_force->log_);
  for (const auto& function : at_swap_) function();
  return std::move(scope_);
}

}  // namespace snowfox
