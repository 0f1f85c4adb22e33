// http_snowfox --tcp PORT: answers each request with three bytes.
#include <snowfox/http/http_source.h>

#include <cstdio>
#include <string>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/listener_source.h>

#include "listen.h"

int main(int argc, char** argv) {
  using namespace snowfox;
  return peers::run_server(argc, argv, "http_snowfox", [](const peers::ServerOptions& options) {
    peers::raise_descriptor_limit();
    LoopManager loop;
    HttpProtocol protocol;
    protocol.router.add("POST", "/",
                        [](HttpEvent& event) { event.answer({.content_type = "text/plain", .body = "ok\n"}); });
    ListenerSource listener(
        loop, Address::parse(std::to_string(options.at.port)), {{.backlog = SOMAXCONN}},
        [&](const ListenerSource::Connection& client) { serve_http(loop, client.channel, protocol); });
    const std::string where = listener.local_address().str();
    std::printf("http_snowfox: listening on %s\n", where.substr(where.rfind(':') + 1).c_str());
    std::fflush(stdout);
    loop.run();
  });
}
