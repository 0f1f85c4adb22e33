// snowfox_echo (--tcp PORT | --unix PATH) [--spin]: the echo server on SnowFox, as examples/echo has it.
#include <cstdio>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/proto_buf_source.h>

#include "echo.pb.h"
#include "listen.h"

namespace snowfox::peers {
namespace {

void serve(const ServerOptions& options) {
  // LoopOptions has nothing to say it with yet.
  if (options.spin) throw std::invalid_argument("--spin: the loop cannot wait without sleeping");
  raise_descriptor_limit();
  LoopManager loop;
  ProtoBufProtocol<echo::Envelope> protocol([](MessageEvent<echo::Envelope>& request) {
    request.message().set_code(request.message().code() + 1);
    request.answer(request.message());
  });
  const Address address =
      options.at.tcp() ? Address::parse(std::to_string(options.at.port)) : Address::unix_socket(options.at.path);
  ListenerSource listener(loop, address, {{.backlog = SOMAXCONN}}, [&](const ListenerSource::Connection& client) {
    serve_proto_buf(loop, client.channel, protocol);
  });
  const std::string where = listener.local_address().str();
  std::printf("snowfox_echo: listening on %s\n", where.substr(where.rfind(':') + 1).c_str());
  std::fflush(stdout);
  loop.run();
}

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  return snowfox::peers::run_server(argc, argv, "snowfox_echo", snowfox::peers::serve);
}
