#include "manager/spawner_link.h"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/promises/sleep.h>

#include "common/child_process.h"
#include "common/connect.h"

namespace snowfox::node {
namespace {

constexpr std::string_view kComponent = "spawner-link";
constexpr Duration kAnswerTimeout = std::chrono::seconds(10);
constexpr Duration kFirstWait = std::chrono::milliseconds(50);
constexpr Duration kLongestWait = std::chrono::seconds(1);

/// Throws RemoteError if `answer` is another question's.
void expect(const manager_spawner::Message& answer, manager_spawner::Message::PayloadCase payload) {
  if (answer.payload_case() == payload) return;
  throw RemoteError(
      make_error(WRONG_PAYLOAD, "it answers by " + payload_name(answer, static_cast<int>(answer.payload_case()))));
}

}  // namespace

SpawnerLink::SpawnerLink(LoopManager& loop, Handlers handlers)
    : loop_(loop),
      handlers_(std::move(handlers)),
      link_(
          loop, "snow-fox-spawner", [this](MessageEvent<Message>& request) { asked(request); },
          [this](std::error_code reason) {
            loop_.log().error(kComponent, "the spawner is gone", {{"reason", reason.message()}});
            handlers_.on_gone();
            if (directory_ && !std::exchange(connecting_, true)) connect_again(kFirstWait);
          }) {}

void SpawnerLink::asked(MessageEvent<Message>& request) {
  const CorrelationId& id = request.correlation_id();
  if (request.message().code() != manager_spawner::PROCESS_EXITED) {
    request.answer(make_refusal<Message>(id, not_a_request(request.message())));
    return;
  }
  handlers_.on_exited(request.message().process_exited().process());
  request.answer(make_ack<Message>(id));
}

Promise<manager_spawner::Process> SpawnerLink::start_process(manager_spawner::StartProcess request,
                                                             const CorrelationId& origin) {
  auto message = make_message<Message>(Message::kStartProcess, {});
  const std::string service = request.service();
  *message.mutable_start_process() = std::move(request);
  return link_.ask_because_of(origin, std::move(message), kAnswerTimeout).then([service](const Message& answer) {
    expect(answer, Message::kStartProcessResponse);
    const manager_spawner::Process& process = answer.start_process_response().process();
    if (process.pid() > 0 && process.service() == service) return process;
    throw RemoteError(make_error(WRONG_PAYLOAD, "it has started no process, or another"));
  });
}

Promise<void> SpawnerLink::stop_process(manager_spawner::StopProcess request, const CorrelationId& origin) {
  if (!link_.is_open()) return rejected<void>(loop_, std::make_error_code(std::errc::not_connected));
  auto message = make_message<Message>(Message::kStopProcess, {});
  *message.mutable_stop_process() = std::move(request);
  return link_.ask_because_of(origin, std::move(message), kAnswerTimeout).then([](const Message& answer) {
    expect(answer, Message::kAck);
  });
}

Promise<TraceResponse> SpawnerLink::trace(const CorrelationId& about, const CorrelationId& origin, Duration timeout) {
  if (!link_.is_open()) return rejected<TraceResponse>(loop_, std::make_error_code(std::errc::not_connected));
  auto message = make_message<Message>(Message::kTraceRequest, {});
  message.mutable_trace_request()->set_id(about.str());
  return link_.ask_because_of(origin, std::move(message), timeout).then([](Message&& answer) {
    expect(answer, Message::kTraceResponse);
    return std::move(*answer.mutable_trace_response());
  });
}

Promise<manager_spawner::ProcessListResponse> SpawnerLink::list(Duration timeout) {
  auto message = make_message<Message>(Message::kProcessListRequest, {});
  message.mutable_process_list_request();
  return link_.ask(std::move(message), {.deadline = timeout}).then([](const Message& answer) {
    expect(answer, Message::kProcessListResponse);
    return answer.process_list_response();
  });
}

Promise<void> SpawnerLink::connect(const RunDirectory& directory, Duration timeout) {
  return open(directory, timeout).then([this, directory] { directory_ = directory; });
}

Promise<void> SpawnerLink::open(const RunDirectory& directory, Duration timeout) {
  return node::connect(loop_, directory.spawner_socket(), timeout).then([this, timeout](const ChannelRef& channel) {
    link_.close();
    link_.open(channel);
    // The daemon has made the socket that the spawner listens at.
    if (!link_.credentials() || link_.credentials()->pid != daemon_pid(loop_)) {
      link_.close();
      throw std::runtime_error("the spawner's socket is not the daemon's");
    }
    return look(loop_.ids().next(), timeout);
  });
}

void SpawnerLink::connect_again(Duration wait) {
  sleep(loop_, wait)
      .then([this] { return open(*directory_, kAnswerTimeout); })
      .then([this] {
        connecting_ = false;
        loop_.log().info(kComponent, "connected to the spawner again");
        handlers_.on_back();
      })
      .otherwise([this, wait](const std::exception_ptr& error) {
        loop_.log().warning(kComponent, "the spawner cannot be reached", {{"reason", snowfox::describe(error)}});
        link_.close();
        connect_again(std::min(wait * 2, kLongestWait));
      })
      .detach();
}

Promise<void> SpawnerLink::look(const CorrelationId& id, Duration timeout) {
  if (!link_.is_open()) return rejected<void>(loop_, std::make_error_code(std::errc::not_connected), id);
  auto request = make_message<Message>(Message::kSpawnerInfoRequest, id);
  request.mutable_spawner_info_request();
  const TimePoint asked = loop_.now();
  return link_.ask(std::move(request), {.deadline = timeout, .id = id})
      .then([this, asked](const Message& answer) {
        expect(answer, Message::kSpawnerInfoResponse);
        remember(answer.spawner_info_response(), loop_.now() - asked);
      })
      .otherwise([this](const std::exception_ptr& error) {
        late_ = true;
        std::rethrow_exception(error);
      });
}

void SpawnerLink::remember(const manager_spawner::SpawnerInfoResponse& info, Duration round_trip) {
  late_ = false;
  last_.set_pid(info.pid());
  *last_.mutable_version() = info.version();
  last_.set_uptime_seconds(info.uptime_seconds());
  last_.set_round_trip_microseconds(
      static_cast<std::uint32_t>(std::chrono::ceil<std::chrono::microseconds>(round_trip).count()));
}

Status SpawnerLink::status() const {
  // The daemon starts it again, or ends the node.
  if (!link_.is_open()) return make_status(Status::Yellow, "the spawner is gone, and is being started again");
  if (late_) return make_status(Status::Yellow, "the spawner does not answer");
  return make_status(Status::Green, "connected");
}

void SpawnerLink::describe(public_api::Link& link) const {
  link = last_;
  *link.mutable_status() = status();
}

}  // namespace snowfox::node
