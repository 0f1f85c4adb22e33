#include "manager/daemon_link.h"

#include <chrono>
#include <utility>

#include "common/build_version.h"
#include "common/child_process.h"
#include "common/connect.h"
#include "common/status.h"

namespace snowfox::node {

DaemonLink::DaemonLink(LoopManager& loop, Handlers handlers)
    : loop_(loop),
      handlers_(std::move(handlers)),
      link_(
          loop, "snow-fox-daemon", [this](MessageEvent<Message>& request) { asked(request); },
          [this](std::error_code) { handlers_.on_gone(); }) {}

Promise<void> DaemonLink::connect(const RunDirectory& directory, Duration timeout) {
  return node::connect(loop_, directory.daemon_socket(), timeout).then([this](const ChannelRef& channel) {
    link_.open(channel);
    since_ = loop_.now();
    if (link_.credentials() && link_.credentials()->pid == daemon_pid(loop_)) return;
    throw std::runtime_error("who listens for children is not the parent process");
  });
}

void DaemonLink::tell(const Status& status) {
  auto message = make_message<Message>(Message::kNodeStatus, loop_.ids().next());
  *message.mutable_node_status() = status;
  link_.send(message);
}

void DaemonLink::ready() {
  auto message = make_message<Message>(Message::kReady, loop_.ids().next());
  *message.mutable_ready()->mutable_version() = build_version();
  link_.send(message);
}

bool DaemonLink::start_failed(const std::string& reason) {
  auto message = make_message<Message>(Message::kStartFailed, loop_.ids().next());
  message.mutable_start_failed()->set_text(reason);
  return link_.send(message);
}

Promise<void> DaemonLink::shut_down(const CorrelationId& id) {
  auto request = make_message<Message>(Message::kShutdown, id);
  request.mutable_shutdown();
  return link_.ask(std::move(request), {.id = id}).then([](const Message&) {});
}

void DaemonLink::asked(MessageEvent<Message>& request) {
  const CorrelationId& id = request.correlation_id();
  switch (request.message().code()) {
    case daemon_manager::SHUTDOWN:
      loop_.log().info("manager", "ending as the daemon asks", {}, id);
      handlers_.on_shutdown(std::chrono::milliseconds(request.message().timeout_ms()),
                            id);  // also if there is no memory to say so
      request.answer(make_ack<Message>(id));
      return;
    case daemon_manager::RELOAD: {
      const auto error = handlers_.on_reload(id);
      request.answer(error ? make_refusal<Message>(id, *error) : make_ack<Message>(id));
      return;
    }
    case daemon_manager::SUPERVISION: return handlers_.on_supervision(request.message().supervision());
    case daemon_manager::PING: request.answer(make_ack<Message>(id)); return;
    default: request.answer(make_refusal<Message>(id, not_a_request(request.message())));
  }
}

Promise<TraceResponse> DaemonLink::trace(const CorrelationId& about, const CorrelationId& origin, Duration timeout) {
  if (!link_.is_open()) return rejected<TraceResponse>(loop_, std::make_error_code(std::errc::not_connected));
  auto message = make_message<Message>(Message::kTraceRequest, {});
  message.mutable_trace_request()->set_id(about.str());
  return link_.ask_because_of(origin, std::move(message), timeout).then([](Message&& answer) {
    return std::move(*answer.mutable_trace_response());
  });
}

void DaemonLink::describe(public_api::Link& link) const {
  // That the daemon is gone nobody can ask: the manager ends with it.
  *link.mutable_status() = make_status(Status::Green, "connected");
  link.set_pid(daemon_pid(loop_));
  link.set_uptime_seconds(
      static_cast<std::uint32_t>(std::chrono::floor<std::chrono::seconds>(loop_.now() - since_).count()));
}

}  // namespace snowfox::node
