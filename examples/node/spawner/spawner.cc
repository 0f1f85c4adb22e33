#include "spawner/spawner.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <utility>

#include <snowfox/promises/sleep.h>

#include "common/build_version.h"
#include "common/child_process.h"

namespace snowfox::node {
namespace {

constexpr std::string_view kComponent = "spawner";
constexpr Duration kConnectTimeout = std::chrono::seconds(10);
/// The manager takes notice of an end within so long, or is told again.
constexpr Duration kExitTimeout = std::chrono::seconds(5);
/// Of those who may be the manager so many are waited with until the daemon says who is.
constexpr std::size_t kMostWaiting = 4;
/// Whether all that was killed has ended is looked at so often.
constexpr Duration kLookAgain = std::chrono::milliseconds(5);
/// Of the time that the daemon gives so much in a hundred is for the processes that the manager has not ended, half of
/// it before they are killed; the rest is our own.
constexpr int kProcessesShare = 80;

/// The request because of which the manager asks something under `id`; empty if it asks of its own accord.
CorrelationId because_of(const CorrelationId& id) { return is_of_a_request(id) ? origin_of(id) : CorrelationId(); }

}  // namespace

Spawner::Spawner(LoopManager& loop, const RunDirectory& directory, Descriptor listener,
                 std::function<void()> on_connected, std::optional<rlim_t> descriptor_limit)
    : loop_(loop),
      recorder_(loop, "snow-fox-spawner"),
      on_connected_(std::move(on_connected)),
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
      processes_(loop, directory, descriptor_limit,
                 [this](const manager_spawner::Process& process) { tell_exit(process); }),
      connector_(loop, directory.daemon_socket(), kConnectTimeout,
                 [this](std::error_code error, const ChannelRef& channel) { daemon_connected(error, channel); }),
      listener_(loop, {std::move(listener), directory.spawner_socket(), nullptr, /*remove_file=*/false}, {},
                [this](const ListenerSource::Connection& connection) { connected(connection.channel); }) {}

void Spawner::daemon_connected(std::error_code error, const ChannelRef& channel) {
  if (error) throw AbortError("cannot reach the daemon: " + error.message());
  try {
    if (on_connected_) on_connected_();
  } catch (const std::exception& failure) {
    throw AbortError(failure.what());
  }
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
    case daemon_spawner::SHUTDOWN: return end(request);
    case daemon_spawner::ORPHAN_EXITED: return processes_.orphan_exited(request.message().orphan_exited());
    case daemon_spawner::MANAGER_IS: {
      manager_pid_ = request.message().manager_is().pid();
      for (const ChannelRef& channel : std::exchange(waiting_, {})) connected(channel);
      return;
    }
    case daemon_spawner::PING: request.answer(make_ack<daemon_spawner::Message>(request.correlation_id())); return;
    default:
      request.answer(make_refusal<daemon_spawner::Message>(request.correlation_id(), not_a_request(request.message())));
  }
}

void Spawner::end(MessageEvent<daemon_spawner::Message>& request) {
  const Duration timeout = std::chrono::milliseconds(request.message().timeout_ms());
  end_by_ = deadline_after(loop_.now(), timeout * kProcessesShare / 100);
  kill_at_ = deadline_after(loop_.now(), timeout * kProcessesShare / 200);
  loop_.log().info(kComponent, "ending as the daemon asks", {}, request.correlation_id());
  loop_.arm(ending_, Duration::zero());  // also if there is no memory to say so
  request.answer(make_ack<daemon_spawner::Message>(request.correlation_id()));
}

void Spawner::Ending::expire() noexcept {
  using How = Processes::How;
  const TimePoint now = spawner.loop_.now();
  const How how = now >= spawner.kill_at_ ? How::Kill : stopped ? How::Look : How::Stop;
  stopped = true;
  const std::size_t left = spawner.processes_.end_what_is_not_to_be_left(how);
  if (left != 0 && now < spawner.end_by_) return spawner.loop_.arm(*this, kLookAgain);
  if (left != 0) spawner.loop_.log().error(kComponent, "killed processes do not end", {{"count", left}});
  spawner.processes_.forget_ended();
  spawner.loop_.stop();
}

void Spawner::connected(const ChannelRef& channel) {
  const auto peer = channel->io().peer_credentials(channel->fd());
  if (peer && manager_pid_ != 0 && peer->pid == manager_pid_) return open_manager(channel);
  // The manager may be here before the daemon's word of it. A child of the daemon's alone need not be it: the daemon is
  // the parent of services, too, whose spawner has died.
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
  const CorrelationId& id = request.correlation_id();
  switch (request.message().code()) {
    case manager_spawner::SPAWNER_INFO_REQUEST: return answer_info(request);
    case manager_spawner::START_PROCESS: {
      if (end_by_ != kNever) throw RemoteError(make_error(UNAVAILABLE, "the node is ending"));
      auto answer = make_message<Message>(Message::kStartProcessResponse, id);
      *answer.mutable_start_process_response()->mutable_process() =
          processes_.start(request.message().start_process(), manager_.credentials()->uid, because_of(id));
      request.answer(answer);
      return;
    }
    case manager_spawner::STOP_PROCESS:
      processes_.signal(request.message().stop_process(), because_of(id));
      request.answer(make_ack<Message>(id));
      return;
    case manager_spawner::PROCESS_LIST_REQUEST: {
      auto answer = make_message<Message>(Message::kProcessListResponse, id);
      *answer.mutable_process_list_response() = processes_.list();
      request.answer(answer);
      // What has ended is told again, so that it is acknowledged.
      for (const auto& process : answer.process_list_response().processes()) {
        if (process.has_exit()) tell_exit(process);
      }
      return;
    }
    case manager_spawner::TRACE_REQUEST: return answer_trace(request, recorder_);
    default: request.answer(make_refusal<Message>(id, not_a_request(request.message())));
  }
}

void Spawner::answer_info(MessageEvent<manager_spawner::Message>& request) {
  using Message = manager_spawner::Message;
  auto answer = make_message<Message>(Message::kSpawnerInfoResponse, request.correlation_id());
  auto& info = *answer.mutable_spawner_info_response();
  *info.mutable_version() = build_version();
  info.set_pid(loop_.io().process_id());
  const auto uptime = std::chrono::floor<std::chrono::seconds>(loop_.now() - started_);
  info.set_uptime_seconds(static_cast<std::uint32_t>(uptime.count()));
  request.answer(answer);
}

void Spawner::tell_exit(const manager_spawner::Process& process) {
  using Message = manager_spawner::Message;
  if (!manager_.is_open()) return;  // the next one asks
  auto request = make_message<Message>(Message::kProcessExited, {});
  *request.mutable_process_exited()->mutable_process() = process;
  const auto origin = CorrelationId::parse(process.origin()).value_or(CorrelationId());
  manager_.ask_because_of(origin, std::move(request), kExitTimeout)
      .then([this, process](const Message& answer) {
        if (!answer.has_ack()) throw std::runtime_error("it answers something else");
        processes_.acknowledge(process);
      })
      .otherwise([this, process, origin](const std::exception_ptr& error) {
        if (!manager_.is_open()) return;
        loop_.log().warning(kComponent, "the manager takes no notice of an end",
                            {{"service", process.service()}, {"reason", describe(error)}}, origin);
        // Without a pause a manager that answers by an error would be asked all the time.
        sleep(loop_, kExitTimeout).then([this, process] { tell_exit(process); }).detach();
      })
      .detach();
}

}  // namespace snowfox::node
