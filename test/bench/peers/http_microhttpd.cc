// http_microhttpd --tcp PORT: the same on libmicrohttpd, one thread with epoll.
#include <microhttpd.h>
#include <unistd.h>

#include "listen.h"

namespace {

MHD_Result answer(void*, MHD_Connection* connection, const char*, const char*, const char*, const char*,
                  size_t* body_bytes, void** state) {
  static int seen = 0;
  if (*state == nullptr) {
    *state = &seen;
    return MHD_YES;
  }
  if (*body_bytes != 0) {
    *body_bytes = 0;
    return MHD_YES;
  }
  MHD_Response* const response = MHD_create_response_from_buffer(3, const_cast<char*>("ok\n"), MHD_RESPMEM_PERSISTENT);
  MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain");
  const MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
  MHD_destroy_response(response);
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "http_microhttpd", [](const ServerOptions& options) {
    MHD_Daemon* const daemon =
        MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO, options.at.port, nullptr, nullptr, &answer,
                         nullptr, MHD_OPTION_LISTEN_SOCKET, listen_at(options, "http_microhttpd"),
                         MHD_OPTION_CONNECTION_LIMIT, 10000U, MHD_OPTION_END);
    if (daemon == nullptr) fail("start");
    for (;;) pause();
  });
}
