#pragma once

#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise_keeper.h>
#include <snowfox/promises/request.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/proto_buf_source.h>

#include "listen.h"

namespace snowfox::peers {

inline Address address_of(const Place& place) {
  return place.tcp() ? Address::parse(std::to_string(place.port)) : Address::unix_socket(place.path);
}

/// Passes what clients ask on to an echo server, and its answers back to who has asked: a promise for each request,
/// kept under its correlation id for at most 30 seconds.
template <typename Message>
void serve_front(const ServerOptions& options, const char* name) {
  using Answer = typename ProtoBufProtocol<Message>::MessageRef;
  raise_descriptor_limit();
  LoopManager loop;
  ProtoBufProtocol<Message> answers(nullptr);
  ProtoBufProtocol<Message> requests(nullptr);
  PromiseKeeper keeper(loop);
  answers.on_message = [&](MessageEvent<Message>& answer) {
    keeper.fulfill<Answer>(answer.correlation_id(), answer.take_message());
  };
  answers.on_closed = [&](SourceId, std::error_code) { loop.stop(1); };

  DrainId back = kNoDrain;
  requests.on_message = [&](MessageEvent<Message>& request) {
    auto answered = [&loop, client = request.drain_id(), lease = request.answer_later()](const Answer& answer) {
      if (auto* drain = loop.fetch<ProtoBufDrain>(client)) drain->enqueue(*answer);
    };
    snowfox::request<Answer>(keeper, *loop.fetch<ProtoBufDrain>(back), request.message(),
                             {.id = request.correlation_id()})
        .then(std::move(answered))
        .detach();
  };

  std::optional<ListenerSource> listener;
  ConnectorSource connector(
      loop, address_of(options.back), std::chrono::seconds(5), [&](std::error_code error, const ChannelRef& channel) {
        if (error) throw AbortError("cannot connect to the back: " + error.message());
        back = connect_proto_buf(loop, channel, answers).drain;
        listener.emplace(
            loop, address_of(options.at), ListenerOptions{{.backlog = SOMAXCONN}},
            [&](const ListenerSource::Connection& client) { serve_proto_buf(loop, client.channel, requests); });
        const std::string where = listener->local_address().str();
        std::printf("%s: listening on %s\n", name, where.substr(where.rfind(':') + 1).c_str());
        std::fflush(stdout);
      });
  if (const int code = loop.run(); code != 0) throw std::runtime_error("ended with " + std::to_string(code));
}

}  // namespace snowfox::peers
