// raw_epoll_echo (--tcp PORT | --unix PATH): the echo server by hand, on epoll alone: level triggered, one read and one
// write a connection and turn. What the others are measured by.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "listen.h"
#include "socket_echo.h"

namespace snowfox::peers {
namespace {

constexpr int kEvents = 256;

class Server {
 public:
  explicit Server(const ServerOptions& options) : listener_(listen_at(options, "raw_epoll_echo")) {
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ < 0) fail("epoll_create1");
    watch(EPOLL_CTL_ADD, listener_, EPOLLIN, nullptr);
  }

  void run() {
    std::array<epoll_event, kEvents> events;
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), kEvents, -1);
      if (count < 0 && errno != EINTR) fail("epoll_wait");
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.ptr == nullptr) {
          accept_all();
        } else {
          on_event(*static_cast<Connection*>(event.data.ptr), event.events);
        }
      }
    }
  }

 private:
  struct Connection {
    SocketEcho echo;
    SocketEcho::Wants wants = SocketEcho::Wants::Read;
  };

  void watch(int operation, int fd, std::uint32_t events, Connection* connection) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = connection;
    if (epoll_ctl(epoll_, operation, fd, &event) != 0) fail("epoll_ctl");
  }

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      set_no_delay(fd);
      watch(EPOLL_CTL_ADD, fd, EPOLLIN, new Connection{{shared_, fd}});
    }
  }

  void on_event(Connection& connection, std::uint32_t events) {
    using Wants = SocketEcho::Wants;
    const Wants wants = (events & EPOLLOUT) != 0 ? connection.echo.on_writable() : connection.echo.on_readable();
    if (wants == connection.wants) return;
    if (wants == Wants::Close) {
      delete &connection;
      return;
    }
    connection.wants = wants;
    watch(EPOLL_CTL_MOD, connection.echo.fd(), wants == Wants::Write ? EPOLLOUT : EPOLLIN, &connection);
  }

  SocketEchoShared shared_;
  int listener_;
  int epoll_;
};

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "raw_epoll_echo", [](const ServerOptions& options) { Server(options).run(); });
}
