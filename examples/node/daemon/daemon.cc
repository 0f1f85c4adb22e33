#include "daemon/daemon.h"

#include <array>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include <snowfox/promises/promise_group.h>
#include <snowfox/promises/sleep.h>

#include "common/child_process.h"
#include "common/duration.h"

namespace snowfox::node {
namespace {

constexpr std::string_view kComponent = "daemon";
/// Of the time to shut down, so much in a hundred is the manager's; what it leaves is the spawner's.
constexpr int kManagersShare = 80;

/// It was asked to end: no failure.
class EndAsked : public std::exception {};

/// What children are given of our environment, which has been cleaned already.
std::vector<std::string> environment_for_children() {
  std::vector<std::string> all;
  for (const char* name : {"PATH", "LANG", "LC_ALL", "TZ"}) {
    if (const char* value = std::getenv(name)) all.push_back(std::string(name) + "=" + value);
  }
  return all;
}

}  // namespace

// The sockets of inner links are for the one user as whom their other end runs.
Daemon::Daemon(LoopManager& loop, const RunDirectory& directory, int lock, DaemonOptions options)
    : loop_(loop),
      directory_(directory),
      lock_(lock),
      options_(std::move(options)),
      daemon_socket_(loop.io(), directory.daemon_socket(), 0600, options_.manager.user, std::nullopt),
      spawner_socket_(loop.io(), directory.spawner_socket(), 0600, options_.manager.user, std::nullopt),
      public_socket_(loop.io(), directory.public_socket(), 0660, std::nullopt, options_.manager.shared_group),
      listener_(loop, {daemon_socket_.take(), directory.daemon_socket(), nullptr}, {},
                [this](const ListenerSource::Connection& connection) { connected(connection.channel); }),
      spawner_(loop, "snow-fox-spawner",
               [this](const std::string& reason) { interrupt(std::make_exception_ptr(ChildFailed(reason))); }),
      manager_(loop, "snow-fox-manager",
               [this](const std::string& reason) { interrupt(std::make_exception_ptr(ChildFailed(reason))); }) {}

Promise<Daemon::Ended> Daemon::run(OnReady on_ready) { return live(std::move(on_ready)).promise(loop_); }

void Daemon::end() { interrupt(std::make_exception_ptr(EndAsked())); }

Promise<void> Daemon::reload() {
  using Message = daemon_manager::Message;
  const CorrelationId id = loop_.ids().next();
  if (!manager_.link().is_open()) {
    loop_.log().warning(kComponent, "nothing to reload: the manager is not there", {}, id);
    return resolved(loop_);
  }
  loop_.log().info(kComponent, "the manager is to reload the configuration", {}, id);
  auto request = make_message<Message>(Message::kReload, id);
  request.mutable_reload();
  return manager_.link()
      .ask(std::move(request), {.id = id})
      .then([this, id](const Message&) { loop_.log().info(kComponent, "the configuration was reloaded", {}, id); })
      .otherwise([this, id](const std::exception_ptr& error) {
        loop_.log().error(kComponent, "the configuration was not reloaded", {{"reason", describe(error)}}, id);
      });
}

Task<Daemon::Ended> Daemon::live(OnReady on_ready) {
  Ended ended;
  try {
    co_await start(std::move(on_ready));
    co_await wait(Promise<void>());
  } catch (const EndAsked&) {
  } catch (const std::exception& error) {
    ended = {EXIT_FAILURE, error.what()};
  }
  if (interruption_ == nullptr) interruption_ = std::make_exception_ptr(EndAsked());
  // Nobody is to come in any more while the last ones are served.
  public_socket_.close();
  const TimePoint now = loop_.now();
  co_await stop(manager_, deadline_after(now, options_.shutdown_timeout * kManagersShare / 100));
  co_await stop(spawner_, deadline_after(now, options_.shutdown_timeout));
  co_return ended;
}

Task<> Daemon::start(OnReady on_ready) {
  co_await wait(start(spawner_, spawner_socket_, false));
  co_await wait(start(manager_, public_socket_, true));
  on_ready();
}

template <typename Message>
Promise<void> Daemon::start(Child<Message>& child, const ListeningSocket& listener, bool is_manager) {
  ProcessOptions process;
  process.program = options_.programs + "/" + child.name();
  process.arguments = {child.name(), "--run-dir", directory_.path()};
  for (const std::string& argument : options_.log.arguments()) process.arguments.push_back(argument);
  if (is_manager) process.arguments.insert(process.arguments.end(), {"--config", options_.configuration});
  process.inherit_environment = false;
  process.environment = environment_for_children();
  process.working_directory = "/";
  process.descriptors = {{listener.fd(), kListenerDescriptor}};
  if (lock_ >= 0) process.descriptors.push_back({lock_, kLockDescriptor});
  // Away from the terminal: what is typed there, or its end, is for the daemon to act on.
  process.process_group = ProcessGroup::NewSession;
  if (is_manager && options_.manager.changed) {
    process.user = options_.manager.user;
    process.group = options_.manager.group;
    process.groups = options_.manager.groups;
  }
  const std::string late = fmt::format("{} was not ready within {}", child.name(), to_text(options_.start_timeout));
  return with_deadline(child.start(process), options_.start_timeout).otherwise([late](const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::system_error&) {
      throw ChildFailed(late);
    }
  });
}

template <typename Message>
Task<> Daemon::stop(Child<Message>& child, TimePoint deadline) {
  if (!child.running()) co_return;
  const Duration left = std::max<Duration>(deadline - loop_.now(), std::chrono::milliseconds(1));
  child.shut_down(left);
  bool in_time = true;
  try {
    co_await with_deadline(child.end_of_process(), left);
  } catch (const std::system_error&) {
    in_time = false;
  }
  if (in_time || !child.running()) co_return;
  child.kill();
  co_await child.end_of_process();
}

// As `what`, which may be no promise, unless the end comes first.
Promise<void> Daemon::wait(Promise<void> what) {
  if (interruption_ != nullptr) return rejected<void>(loop_, interruption_);
  auto [interruption, resolver] = make_promise<void>(loop_);
  interrupted_ = std::move(resolver);
  if (!what.valid()) return std::move(interruption);
  std::vector<Promise<void>> both;
  both.push_back(std::move(interruption));
  both.push_back(std::move(what));
  return race(loop_, std::move(both));
}

void Daemon::interrupt(std::exception_ptr reason) {
  if (interruption_ != nullptr) return;
  interruption_ = std::move(reason);
  if (interrupted_.wanted()) interrupted_.reject(interruption_);
}

void Daemon::connected(const ChannelRef& channel) {
  const auto peer = channel->io().peer_credentials(channel->fd());
  if (peer && peer->pid == spawner_.pid()) {
    spawner_.connected(channel);
  } else if (peer && peer->pid == manager_.pid()) {
    manager_.connected(channel);
  } else {
    loop_.log().warning(kComponent, "connection closed: not one of our children",
                        {{"pid", peer ? peer->pid : 0}, {"uid", peer ? peer->uid : 0}});
  }
}

}  // namespace snowfox::node
