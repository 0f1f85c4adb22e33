// snowfox_in_place_two_hop (--tcp PORT | --unix PATH) (--back-tcp PORT | --back-unix PATH): passes what clients ask on
// to an echo server, and its answers back to who has asked, as they came: a promise for each request, kept under its
// correlation id for at most 30 seconds.
#include <sys/socket.h>

#include <cstdio>
#include <optional>
#include <system_error>
#include <utility>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise_keeper.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/proto_buf_source.h>

#include "listen.h"

namespace snowfox::peers {
namespace {

using Envelope = EnvelopeView<EnvelopeFields{.correlation_id = 1, .code = 2}>;
using Answer = ProtoBufProtocol<Envelope>::MessageRef;

Address address_of(const Place& place) {
  return place.tcp() ? Address::parse(std::to_string(place.port)) : Address::unix_socket(place.path);
}

void serve(const ServerOptions& options) {
  raise_descriptor_limit();
  LoopManager loop;
  ProtoBufProtocol<Envelope> answers(nullptr);
  ProtoBufProtocol<Envelope> requests(nullptr);
  PromiseKeeper keeper(loop);
  answers.on_message = [&](MessageEvent<Envelope>& answer) {
    keeper.fulfill<Answer>(answer.correlation_id(), answer.take_message());
  };
  answers.on_closed = [&](SourceId, std::error_code) { loop.stop(1); };

  DrainId back = kNoDrain;
  requests.on_message = [&](MessageEvent<Envelope>& request) {
    auto answered = [&loop, client = request.drain_id(), lease = request.answer_later()](const Answer& answer) {
      if (auto* drain = loop.fetch<ProtoBufDrain>(client)) drain->enqueue(*answer);
    };
    Promise<Answer> answer = keeper.keep<Answer>(request.correlation_id());
    loop.fetch<ProtoBufDrain>(back)->enqueue(request.message());
    std::move(answer).then(std::move(answered)).detach();
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
        std::printf("snowfox_in_place_two_hop: listening on %s\n", where.substr(where.rfind(':') + 1).c_str());
        std::fflush(stdout);
      });
  if (const int code = loop.run(); code != 0) throw std::runtime_error("ended with " + std::to_string(code));
}

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  return snowfox::peers::run_server(argc, argv, "snowfox_in_place_two_hop", snowfox::peers::serve);
}
