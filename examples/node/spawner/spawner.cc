#include "spawner/spawner.h"

#include <chrono>
#include <utility>

#include "common/build_version.h"
#include "common/child_process.h"

namespace snowfox::node {
namespace {

constexpr std::string_view kComponent = "spawner";
constexpr Duration kConnectTimeout = std::chrono::seconds(10);
/// Of those who may be the manager so many are waited with until the daemon says who is.
constexpr std::size_t kMostWaiting = 4;

}  // namespace

Spawner::Spawner(LoopManager& loop, const RunDirectory& directory, Descriptor listener)
    : loop_(loop),
      started_(loop.now()),
      daemon_(
          loop, "snow-fox-daemon", [this](auto& request) { daemon_asks(request); },
          [this](std::error_code reason) {
            loop_.log().warning(kComponent, "the daemon is gone: ending", {{"reason", reason.message()}});
            loop_.stop();
          }),
      manager_(
          loop, "snow-fox-manager", [this](auto& request) { manager_asks(request); },
          [this](std::error_code reason) {
            loop_.log().info(kComponent, "the manager has disconnected", {{"reason", reason.message()}});
          }),
      connector_(loop, directory.daemon_socket(), kConnectTimeout,
                 [this](std::error_code error, const ChannelRef& channel) { daemon_connected(error, channel); }),
      listener_(loop, {std::move(listener), directory.spawner_socket(), nullptr, /*remove_file=*/false}, {},
                [this](const ListenerSource::Connection& connection) { connected(connection.channel); }) {}

void Spawner::daemon_connected(std::error_code error, const ChannelRef& channel) {
  if (error) throw AbortError("cannot reach the daemon: " + error.message());
  daemon_.open(channel);
  if (!daemon_.credentials() || daemon_.credentials()->pid != daemon_pid(loop_)) {
    throw AbortError("who listens for children is not the parent process");
  }
  auto ready = make_message<daemon_spawner::Message>(daemon_spawner::Message::kReady, loop_.ids().next());
  *ready.mutable_ready()->mutable_version() = build_version();
  daemon_.send(ready);
}

void Spawner::daemon_asks(MessageEvent<daemon_spawner::Message>& request) {
  switch (request.message().code()) {
    case daemon_spawner::SHUTDOWN:
      loop_.log().info(kComponent, "ending as the daemon asks", {}, request.correlation_id());
      loop_.stop();  // also if there is no memory to say so
      request.answer(make_ack<daemon_spawner::Message>(request.correlation_id()));
      return;
    case daemon_spawner::MANAGER_IS:
      manager_pid_ = request.message().manager_is().pid();
      for (const ChannelRef& channel : std::exchange(waiting_, {})) connected(channel);
      return;
    default:
      request.answer(make_refusal<daemon_spawner::Message>(request.correlation_id(), not_a_request(request.message())));
  }
}

void Spawner::connected(const ChannelRef& channel) {
  const auto peer = channel->io().peer_credentials(channel->fd());
  if (peer && manager_pid_ != 0 && peer->pid == manager_pid_) return open_manager(channel);
  // The manager may be here before the daemon's word of it. A child of the daemon's alone need not be it: the daemon
  // may come to be the parent of others.
  if (peer && peer->pid != loop_.io().process_id() && loop_.io().parent_of(peer->pid) == daemon_pid(loop_)) {
    if (waiting_.size() == kMostWaiting) waiting_.erase(waiting_.begin());
    return waiting_.push_back(channel);
  }
  loop_.log().warning(kComponent, "connection closed: not the manager",
                      {{"pid", peer ? peer->pid : 0}, {"uid", peer ? peer->uid : 0}});
}

void Spawner::open_manager(const ChannelRef& channel) {
  manager_.close();  // one that connects again is done with the old connection
  manager_.open(channel);
  loop_.log().info(kComponent, "the manager has connected", {{"pid", manager_pid_}});
}

void Spawner::manager_asks(MessageEvent<manager_spawner::Message>& request) {
  using Message = manager_spawner::Message;
  if (request.message().code() != manager_spawner::SPAWNER_INFO_REQUEST) {
    request.answer(make_refusal<Message>(request.correlation_id(), not_a_request(request.message())));
    return;
  }
  auto answer = make_message<Message>(Message::kSpawnerInfoResponse, request.correlation_id());
  auto& info = *answer.mutable_spawner_info_response();
  *info.mutable_version() = build_version();
  info.set_pid(loop_.io().process_id());
  const auto uptime = std::chrono::floor<std::chrono::seconds>(loop_.now() - started_);
  info.set_uptime_seconds(static_cast<std::uint32_t>(uptime.count()));
  request.answer(answer);
}

}  // namespace snowfox::node
