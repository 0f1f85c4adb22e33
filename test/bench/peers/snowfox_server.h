#pragma once

#include <cstdio>
#include <string>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/proto_buf_source.h>

#include "listen.h"

namespace snowfox::peers {

/// Serves connections of this protocol, as examples/echo does, until the process is ended.
template <typename Message>
void serve(const ServerOptions& options, const char* name, ProtoBufProtocol<Message>& protocol) {
  raise_descriptor_limit();
  LoopOptions loop_options;
  if (options.spin) loop_options.spin = std::chrono::microseconds(200);
  LoopManager loop(loop_options);
  const Address address =
      options.at.tcp() ? Address::parse(std::to_string(options.at.port)) : Address::unix_socket(options.at.path);
  ListenerSource listener(loop, address, {{.backlog = SOMAXCONN}}, [&](const ListenerSource::Connection& client) {
    serve_proto_buf(loop, client.channel, protocol);
  });
  const std::string where = listener.local_address().str();
  std::printf("%s: listening on %s\n", name, where.substr(where.rfind(':') + 1).c_str());
  std::fflush(stdout);
  loop.run();
}

}  // namespace snowfox::peers
