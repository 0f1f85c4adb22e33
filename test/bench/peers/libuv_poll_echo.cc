// libuv_poll_echo (--tcp PORT | --unix PATH): the echo server on libuv, which only says when a descriptor is ready.
#include <sys/socket.h>

#include <uv.h>

#include "listen.h"
#include "socket_echo.h"

namespace snowfox::peers {
namespace {

class Server {
 public:
  explicit Server(const ServerOptions& options) : listener_fd_(listen_at(options, "libuv_poll_echo")) {
    uv_loop_init(&loop_);
    uv_poll_init_socket(&loop_, &listener_, listener_fd_);
    listener_.data = this;
    uv_poll_start(&listener_, UV_READABLE,
                  [](uv_poll_t* handle, int, int) { static_cast<Server*>(handle->data)->accept_all(); });
  }
  void run() { uv_run(&loop_, UV_RUN_DEFAULT); }

 private:
  struct Connection {
    Connection(SocketEchoShared& shared, int fd) noexcept : echo(shared, fd) {}
    SocketEcho echo;
    SocketEcho::Wants wants = SocketEcho::Wants::Read;
    uv_poll_t poll{};
  };

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      set_no_delay(fd);
      auto* connection = new Connection(shared_, fd);
      uv_poll_init_socket(&loop_, &connection->poll, fd);
      connection->poll.data = connection;
      uv_poll_start(&connection->poll, UV_READABLE, on_event);
    }
  }

  static void on_event(uv_poll_t* poll, int status, int events) {
    using Wants = SocketEcho::Wants;
    auto& connection = *static_cast<Connection*>(poll->data);
    Wants wants = Wants::Close;
    if (status == 0) {
      wants = (events & UV_WRITABLE) != 0 ? connection.echo.on_writable() : connection.echo.on_readable();
    }
    if (wants == connection.wants) return;
    connection.wants = wants;
    if (wants == Wants::Close) {
      uv_close(reinterpret_cast<uv_handle_t*>(poll),
               [](uv_handle_t* closed) { delete static_cast<Connection*>(closed->data); });
      return;
    }
    uv_poll_start(poll, wants == Wants::Write ? UV_WRITABLE : UV_READABLE, on_event);
  }

  SocketEchoShared shared_;
  int listener_fd_;
  uv_loop_t loop_{};
  uv_poll_t listener_{};
};

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "libuv_poll_echo", [](const ServerOptions& options) { Server(options).run(); });
}
