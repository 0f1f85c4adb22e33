// libevent_bufferevent_echo (--tcp PORT | --unix PATH): the echo server on libevent's bufferevents.
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include <algorithm>
#include <array>

#include "echo_work.h"
#include "listen.h"

namespace snowfox::peers {
namespace {

/// While more answers wait, nothing is read.
constexpr std::size_t kMostPending = 256U << 10;

class Server {
 public:
  explicit Server(const ServerOptions& options) {
    event_config* config = event_config_new();
    // No descriptor is watched twice or duplicated here, so changes may be collected: fewer system calls.
    event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    base_ = event_base_new_with_config(config);
    event_config_free(config);
    evconnlistener_new(
        base_,
        [](evconnlistener*, evutil_socket_t fd, sockaddr*, int, void* server) {
          static_cast<Server*>(server)->accept(fd);
        },
        this, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, -1, listen_at(options, "libevent_bufferevent_echo"));
  }
  void run() { event_base_dispatch(base_); }

 private:
  void accept(int fd) {
    set_no_delay(fd);
    bufferevent* connection = bufferevent_socket_new(base_, fd, BEV_OPT_CLOSE_ON_FREE);
    bufferevent_set_max_single_read(connection, kReceiveBytes);
    bufferevent_set_max_single_write(connection, kReceiveBytes);
    bufferevent_setcb(connection, on_read, nullptr, on_event, this);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
  }

  static void on_event(bufferevent* connection, short what, void*) {
    if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0) bufferevent_free(connection);
  }

  static void on_read(bufferevent* connection, void* data) {
    auto& server = *static_cast<Server*>(data);
    evbuffer* input = bufferevent_get_input(connection);
    if (!server.answer_all(input)) {
      server.answers_.clear();
      return bufferevent_free(connection);
    }
    bufferevent_write(connection, server.answers_.data(), server.answers_.size());
    server.answers_.clear();
    if (evbuffer_get_length(bufferevent_get_output(connection)) > kMostPending) {
      bufferevent_disable(connection, EV_READ);
      bufferevent_setcb(connection, on_read, on_written, on_event, data);
    }
  }

  static void on_written(bufferevent* connection, void* data) {
    bufferevent_setcb(connection, on_read, nullptr, on_event, data);
    bufferevent_enable(connection, EV_READ);
  }

  bool answer_all(evbuffer* input) {
    std::array<char, kHeaderBytes> header;
    while (evbuffer_copyout(input, header.data(), header.size()) == static_cast<ev_ssize_t>(header.size())) {
      const std::size_t size = frame_bytes(header.data());
      if (size > kMaxFrameBytes) return false;
      if (evbuffer_get_length(input) < kHeaderBytes + size) break;
      const unsigned char* frame = evbuffer_pullup(input, static_cast<ev_ssize_t>(kHeaderBytes + size));
      if (!work_.answer_one({reinterpret_cast<const char*>(frame) + kHeaderBytes, size}, answers_)) return false;
      evbuffer_drain(input, kHeaderBytes + size);
    }
    return true;
  }

  EchoWork work_;
  Bytes answers_;
  event_base* base_ = nullptr;
};

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "libevent_bufferevent_echo",
                    [](const ServerOptions& options) { Server(options).run(); });
}
