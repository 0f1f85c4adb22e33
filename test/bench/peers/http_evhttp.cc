// http_evhttp --tcp PORT: the same on libevent's evhttp.
#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "listen.h"

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "http_evhttp", [](const ServerOptions& options) {
    event_base* const base = event_base_new();
    evhttp* const server = evhttp_new(base);
    evhttp_set_gencb(
        server,
        [](evhttp_request* request, void*) {
          evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "text/plain");
          evbuffer_add(evhttp_request_get_output_buffer(request), "ok\n", 3);
          evhttp_send_reply(request, 200, "OK", nullptr);
        },
        nullptr);
    if (evhttp_accept_socket(server, listen_at(options, "http_evhttp")) != 0) fail("accept");
    event_base_dispatch(base);
  });
}
