#include "manager/spawner_link.h"

#include <chrono>
#include <utility>

#include "common/connect.h"

namespace snowfox::node {

SpawnerLink::SpawnerLink(LoopManager& loop)
    : loop_(loop),
      link_(
          loop, "snow-fox-spawner",
          [](MessageEvent<Message>& request) {
            request.answer(make_refusal<Message>(request.correlation_id(), not_a_request(request.message())));
          },
          [this](std::error_code reason) {
            loop_.log().error("spawner-link", "the spawner is gone", {{"reason", reason.message()}});
          }) {}

Promise<void> SpawnerLink::connect(const RunDirectory& directory, Duration timeout) {
  return node::connect(loop_, directory.spawner_socket(), timeout).then([this, timeout](const ChannelRef& channel) {
    link_.open(channel);
    return look(loop_.ids().next(), timeout);
  });
}

Promise<void> SpawnerLink::look(const CorrelationId& id, Duration timeout) {
  if (!link_.is_open()) return rejected<void>(loop_, std::make_error_code(std::errc::not_connected), id);
  auto request = make_message<Message>(Message::kSpawnerInfoRequest, id);
  request.mutable_spawner_info_request();
  const TimePoint asked = loop_.now();
  return link_.ask(std::move(request), {.deadline = timeout, .id = id})
      .then([this, asked](const Message& answer) { remember(answer.spawner_info_response(), loop_.now() - asked); })
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
  if (!link_.is_open()) return make_status(Status::Red, "the spawner is gone");
  if (late_) return make_status(Status::Yellow, "the spawner does not answer");
  return make_status(Status::Green, "connected");
}

void SpawnerLink::describe(public_api::Link& link) const {
  link = last_;
  *link.mutable_status() = status();
}

}  // namespace snowfox::node
