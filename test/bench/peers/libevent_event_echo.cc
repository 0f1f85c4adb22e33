// libevent_event_echo (--tcp PORT | --unix PATH): the echo server on libevent, which only says when a descriptor is
// ready.
#include <sys/socket.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "listen.h"
#include "socket_echo.h"

namespace snowfox::peers {
namespace {

class Server {
 public:
  explicit Server(const ServerOptions& options) : listener_fd_(listen_at(options, "libevent_event_echo")) {
    event_config* config = event_config_new();
    // No descriptor is watched twice or duplicated here, so changes may be collected: fewer system calls.
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    base_ = event_base_new_with_config(config);
    event_config_free(config);
    event_assign(
        &listener_, base_, listener_fd_, EV_READ | EV_PERSIST,
        [](evutil_socket_t, short, void* server) { static_cast<Server*>(server)->accept_all(); }, this);
    event_add(&listener_, nullptr);
  }
  void run() { event_base_dispatch(base_); }

 private:
  struct Connection {
    Connection(SocketEchoShared& shared, int fd) noexcept : echo(shared, fd) {}
    SocketEcho echo;
    SocketEcho::Wants wants = SocketEcho::Wants::Read;
    event ready{};
  };

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      set_no_delay(fd);
      auto* connection = new Connection(shared_, fd);
      event_assign(&connection->ready, base_, fd, EV_READ | EV_PERSIST, on_event, connection);
      event_add(&connection->ready, nullptr);
    }
  }

  static void on_event(evutil_socket_t fd, short events, void* data) {
    using Wants = SocketEcho::Wants;
    auto& connection = *static_cast<Connection*>(data);
    const Wants wants = (events & EV_WRITE) != 0 ? connection.echo.on_writable() : connection.echo.on_readable();
    if (wants == connection.wants) return;
    connection.wants = wants;
    event_base* base = event_get_base(&connection.ready);
    event_del(&connection.ready);
    if (wants == Wants::Close) {
      delete &connection;
      return;
    }
    const int what = wants == Wants::Write ? EV_WRITE : EV_READ;
    event_assign(&connection.ready, base, fd, static_cast<short>(what | EV_PERSIST), on_event, &connection);
    event_add(&connection.ready, nullptr);
  }

  SocketEchoShared shared_;
  int listener_fd_;
  event_base* base_ = nullptr;
  event listener_{};
};

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "libevent_event_echo", [](const ServerOptions& options) { Server(options).run(); });
}
