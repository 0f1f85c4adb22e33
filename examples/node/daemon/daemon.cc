#include "daemon/daemon.h"

#include <array>
#include <cstdlib>
#include <type_traits>
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

/// A child that ends is started again after so long, twice that the next time, and so on up to the limit; one that has
/// lived for long enough begins anew.
constexpr Duration kFirstWait = std::chrono::milliseconds(100);
constexpr Duration kLongestWait = std::chrono::seconds(10);
constexpr Duration kForgivenAfter = std::chrono::seconds(60);
/// One that cannot be started so many times running never can.
constexpr int kMostFailures = 5;
/// Who has said that it cannot start ends within so long.
constexpr Duration kLastWords = std::chrono::seconds(1);

/// How so many orphans have ended is remembered for a spawner that is not there.
constexpr std::size_t kMostOrphans = 1024;

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

/// Gives the manager the sockets that were open already and are still nobody's.
void pass_inherited(const InheritedListeners& inherited, ProcessOptions& process) {
  std::string names;
  int to = kFirstInheritedDescriptor;
  for (const auto& one : inherited.all()) {
    if (one.taken) continue;
    process.descriptors.push_back({one.descriptor.get(), to++});
    names += (names.empty() ? "" : ":") + one.name;
  }
  if (!names.empty()) process.environment.push_back(std::string(kInheritedVariable) + "=" + names);
}

ListeningSocket public_socket(LoopManager& loop, const Address& address, std::optional<gid_t> group,
                              InheritedListeners& inherited) {
  if (auto theirs = inherited.take(address)) return ListeningSocket(std::move(theirs->descriptor));
  return {loop.io(), address, 0660, std::nullopt, group};
}

}  // namespace

// The sockets of inner links are for the one user as whom their other end runs.
Daemon::Daemon(LoopManager& loop, const RunDirectory& directory, int lock, DaemonOptions options,
               InheritedListeners inherited)
    : loop_(loop),
      recorder_(loop, "snow-fox-daemon"),
      directory_(directory),
      lock_(lock),
      options_(std::move(options)),
      inherited_(std::move(inherited)),
      daemon_socket_(loop.io(), directory.daemon_socket(), 0600, options_.manager.user, std::nullopt),
      spawner_socket_(loop.io(), directory.spawner_socket(), 0600, options_.manager.user, std::nullopt),
      public_socket_(public_socket(loop, directory.public_socket(), options_.manager.shared_group, inherited_)),
      listener_(loop, {daemon_socket_.take(), directory.daemon_socket(), nullptr}, {},
                [this](const ListenerSource::Connection& connection) { connected(connection.channel); }),
      spawner_(
          loop, "snow-fox-spawner", recorder_, options_.answer_timeout,
          [this] {
            for (const auto& orphan : orphans_) tell_of_orphan(orphan);
            tell_spawner();
          },
          [](MessageEvent<daemon_spawner::Message>&) { return false; }),
      manager_(
          loop, "snow-fox-manager", recorder_, options_.answer_timeout, [this] { tell_manager(); },
          [this](MessageEvent<daemon_manager::Message>& event) { return told(event); }) {}

Promise<Daemon::Ended> Daemon::run(OnReady on_ready) { return live(std::move(on_ready)).promise(loop_); }

void Daemon::end() { interrupt(std::make_exception_ptr(EndAsked())); }

Promise<void> Daemon::reload() {
  using Message = daemon_manager::Message;
  const CorrelationId id = loop_.ids().next();
  if (!manager_.link().is_open()) {
    loop_.log().warning(kComponent, "nothing to reload: the manager is not there", {}, id);
    say("configuration not reloaded: the manager is not there");
    return resolved(loop_);
  }
  loop_.log().info(kComponent, "the manager is to reload the configuration", {}, id);
  auto request = make_message<Message>(Message::kReload, id);
  request.mutable_reload();
  return manager_.link()
      .ask(std::move(request), {.id = id})
      .then([this, id](const Message&) { loop_.log().info(kComponent, "the configuration was reloaded", {}, id); })
      .otherwise([this, id](const std::exception_ptr& error) {
        const std::string reason = describe(error);
        loop_.log().error(kComponent, "the configuration was not reloaded", {{"reason", reason}}, id);
        say("configuration not reloaded: " + reason);
      });
}

Task<Daemon::Ended> Daemon::live(OnReady on_ready) {
  Ended ended;
  try {
    co_await start(std::move(on_ready));
    std::vector<Promise<void>> both;
    both.push_back(keep(spawner_, spawner_socket_, *history_.mutable_spawner()).promise(loop_));
    both.push_back(keep(manager_, public_socket_, *history_.mutable_manager()).promise(loop_));
    co_await wait(race(loop_, std::move(both)));
  } catch (const EndAsked&) {
  } catch (const std::exception& error) {
    ended = {EXIT_FAILURE, error.what()};
  }
  if (interruption_ == nullptr) interruption_ = std::make_exception_ptr(EndAsked());
  say(ended.exit_code == 0 ? "ending" : "ending: " + ended.reason);
  // Nobody is to come in any more while the last ones are served.
  public_socket_.close();
  const TimePoint now = loop_.now();
  const CorrelationId id = loop_.ids().next();
  loop_.log().info(kComponent, "the children are to end", {}, id);
  co_await stop(manager_, deadline_after(now, options_.shutdown_timeout * kManagersShare / 100), id);
  co_await stop(spawner_, deadline_after(now, options_.shutdown_timeout), id);
  co_return ended;
}

Task<> Daemon::start(OnReady on_ready) {
  say("starting");
  co_await wait(start(spawner_, spawner_socket_));
  co_await wait(start(manager_, public_socket_));
  on_ready();
}

// Ends only with an exception.
template <typename Message>
Task<> Daemon::keep(Child<Message>& child, const ListeningSocket& listener, daemon_manager::ChildHistory& history) {
  Backoff backoff(kFirstWait, kLongestWait, kForgivenAfter);
  for (;;) {
    const std::string how = co_await child.failure();
    history.set_last_end(how);
    tell_manager();
    say("Yellow: " + child.name() + " has ended and is started again: " + how);
    co_await start_again(child, listener, backoff, how);
    history.set_restarts(history.restarts() + 1);
    tell_manager();
    say(node_status_);
  }
}

template <typename Message>
Task<> Daemon::start_again(Child<Message>& child, const ListeningSocket& listener, Backoff& backoff,
                           std::string failure) {
  for (int failures = 0; failures < kMostFailures; ++failures) {
    const Duration pause = backoff.next(child.lived());
    loop_.log().warning(kComponent, "child will be started again",
                        {{"child", child.name()}, {"in", to_text(pause)}, {"reason", failure}});
    co_await sleep(loop_, pause);
    try {
      co_await start(child, listener);
      co_return;
    } catch (const std::exception& error) {
      failure = error.what();
    }
    loop_.log().error(kComponent, "child cannot be started", {{"child", child.name()}, {"reason", failure}});
    co_await await_end(child, kLastWords);
  }
  throw ChildFailed(fmt::format("{} could not be started {} times running: {}", child.name(), kMostFailures, failure));
}

template <typename Message>
Promise<void> Daemon::start(Child<Message>& child, const ListeningSocket& listener) {
  constexpr bool kIsManager = std::is_same_v<Message, daemon_manager::Message>;
  ProcessOptions process;
  process.program = options_.programs + "/" + child.name();
  process.arguments = {child.name(), "--run-dir", directory_.path()};
  for (const std::string& argument : options_.log.arguments()) process.arguments.push_back(argument);
  if (kIsManager) process.arguments.insert(process.arguments.end(), {"--config", options_.configuration});
  process.inherit_environment = false;
  process.environment = environment_for_children();
  process.working_directory = "/";
  process.descriptors = {{listener.fd(), kListenerDescriptor}};
  if (lock_ >= 0) process.descriptors.push_back({lock_, kLockDescriptor});
  if (kIsManager) pass_inherited(inherited_, process);
  // Away from the terminal: what is typed there, or its end, is for the daemon to act on.
  process.process_group = ProcessGroup::NewSession;
  if (kIsManager && options_.manager.changed) {
    process.user = options_.manager.user;
    process.group = options_.manager.group;
    process.groups = options_.manager.groups;
  }
  const std::string late = fmt::format("{} was not ready within {}", child.name(), to_text(options_.start_timeout));
  Promise<void> ready = child.start(process);
  if (kIsManager) tell_spawner();
  return with_deadline(std::move(ready), options_.start_timeout).otherwise([late](const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::system_error&) {
      throw ChildFailed(late);
    }
  });
}

template <typename Message>
Task<> Daemon::stop(Child<Message>& child, TimePoint deadline, const CorrelationId& id) {
  if (!child.running()) co_return;
  const Duration left = std::max<Duration>(deadline - loop_.now(), std::chrono::milliseconds(1));
  child.shut_down(left, id);
  co_await await_end(child, left);
}

// Of a child that knows that it is to end.
template <typename Message>
Task<> Daemon::await_end(Child<Message>& child, Duration patience) {
  if (!child.running()) co_return;
  bool in_time = true;
  try {
    co_await with_deadline(child.end_of_process(), patience);
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

bool Daemon::is_child(pid_t pid) const noexcept { return pid == spawner_.pid() || pid == manager_.pid(); }

void Daemon::orphan_exited(const OrphanReaper::Orphan& orphan) {
  if (!orphan.process) return;
  if (orphans_.size() == kMostOrphans) orphans_.pop_front();
  orphans_.push_back(orphan);
  tell_of_orphan(orphan);
}

void Daemon::tell_of_orphan(const OrphanReaper::Orphan& orphan) {
  using Message = daemon_spawner::Message;
  auto message = make_message<Message>(Message::kOrphanExited, loop_.ids().next());
  auto& exited = *message.mutable_orphan_exited();
  exited.set_pid(orphan.process->pid);
  exited.set_start_ticks(orphan.process->start_ticks);
  if (orphan.exit.code) exited.set_code(*orphan.exit.code);
  if (orphan.exit.signal) exited.set_signal(*orphan.exit.signal);
  exited.set_core_dumped(orphan.exit.core_dumped);
  spawner_.link().send(message);
}

// Who may give it orders.
void Daemon::tell_spawner() {
  using Message = daemon_spawner::Message;
  if (!manager_.running()) return;
  auto message = make_message<Message>(Message::kManagerIs, loop_.ids().next());
  message.mutable_manager_is()->set_pid(manager_.pid());
  spawner_.link().send(message);
}

bool Daemon::told(MessageEvent<daemon_manager::Message>& event) {
  const daemon_manager::Message& message = event.message();
  if (message.has_shutdown()) {
    loop_.log().info(kComponent, "ending as a client asks", {}, event.correlation_id());
    event.answer(make_ack<daemon_manager::Message>(event.correlation_id()));
    on_end_asked_();
    return true;
  }
  if (!message.has_node_status()) return false;
  const Status& status = message.node_status();
  node_status_ = Status::Colour_Name(status.colour()) + ": " + status.reason();
  say(node_status_);
  return true;
}

void Daemon::say(const std::string& status) {
  if (on_status_ && !status.empty()) on_status_(status);
}

// How often what has been started again, for the status.
void Daemon::tell_manager() {
  using Message = daemon_manager::Message;
  auto message = make_message<Message>(Message::kSupervision, loop_.ids().next());
  *message.mutable_supervision() = history_;
  manager_.link().send(message);
}

}  // namespace snowfox::node
