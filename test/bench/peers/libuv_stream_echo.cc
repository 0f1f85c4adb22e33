// libuv_stream_echo (--tcp PORT | --unix PATH): the echo server on libuv's streams. All connections read into one
// buffer; answers are written at once, and only what the kernel does not take goes into a write request, until the end
// of which nothing more is read.
#include <memory>

#include <uv.h>

#include "echo_work.h"
#include "listen.h"

namespace snowfox::peers {
namespace {

class Server {
 public:
  explicit Server(const ServerOptions& options) : tcp_(options.at.tcp()) {
    uv_loop_init(&loop_);
    open(listener_);
    listener_.stream.data = this;
    const int fd = listen_at(options, "libuv_stream_echo");
    if (tcp_) {
      uv_tcp_open(&listener_.tcp, fd);
    } else {
      uv_pipe_open(&listener_.pipe, fd);
    }
    const int result = uv_listen(&listener_.stream, SOMAXCONN, [](uv_stream_t* listener, int status) {
      if (status == 0) static_cast<Server*>(listener->data)->accept();
    });
    if (result != 0) throw std::runtime_error(uv_strerror(result));
  }
  void run() { uv_run(&loop_, UV_RUN_DEFAULT); }

 private:
  union Handle {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
  };
  struct Connection {
    Server* server = nullptr;
    Handle handle{};
    Unframed unframed;
    Bytes pending;
    uv_write_t write{};
  };

  void open(Handle& handle) {
    if (tcp_) {
      uv_tcp_init(&loop_, &handle.tcp);
    } else {
      uv_pipe_init(&loop_, &handle.pipe, 0);
    }
  }

  void accept() {
    auto* connection = new Connection;
    connection->server = this;
    open(connection->handle);
    connection->handle.stream.data = connection;
    if (uv_accept(&listener_.stream, &connection->handle.stream) != 0) return close(*connection);
    if (tcp_) uv_tcp_nodelay(&connection->handle.tcp, 1);
    read(*connection);
  }

  static void close(Connection& connection) {
    uv_close(&connection.handle.handle, [](uv_handle_t* closed) { delete static_cast<Connection*>(closed->data); });
  }

  static void read(Connection& connection) {
    uv_read_start(
        &connection.handle.stream,
        [](uv_handle_t* handle, std::size_t, uv_buf_t* buffer) {
          auto& reader = *static_cast<Connection*>(handle->data);
          const std::span<char> room = reader.unframed.room(reader.server->received_.get());
          *buffer = uv_buf_init(room.data(), static_cast<unsigned>(room.size()));
        },
        [](uv_stream_t* stream, ssize_t count, const uv_buf_t*) {
          auto& reader = *static_cast<Connection*>(stream->data);
          if (count < 0) return close(reader);
          if (count > 0) reader.server->on_read(reader, static_cast<std::size_t>(count));
        });
  }

  void on_read(Connection& connection, std::size_t count) {
    const auto all = connection.unframed.received(received_.get(), count);
    const std::size_t used = work_.answer(all, answers_);
    if (used == kMalformed) {
      answers_.clear();
      return close(connection);
    }
    connection.unframed.used(all, used);
    if (!answers_.empty()) write(connection);
  }

  void write(Connection& connection) {
    uv_stream_t* stream = &connection.handle.stream;
    uv_buf_t buffer = uv_buf_init(answers_.data(), static_cast<unsigned>(answers_.size()));
    const int written = uv_try_write(stream, &buffer, 1);
    if (written > 0) answers_.consume(static_cast<std::size_t>(written));
    if (answers_.empty()) return;
    connection.pending.append(answers_.span());
    answers_.clear();
    if (written < 0 && written != UV_EAGAIN) return close(connection);
    uv_read_stop(stream);
    buffer = uv_buf_init(connection.pending.data(), static_cast<unsigned>(connection.pending.size()));
    connection.write.data = &connection;
    uv_write(&connection.write, stream, &buffer, 1, [](uv_write_t* request, int status) {
      auto& writer = *static_cast<Connection*>(request->data);
      writer.pending.release();
      if (uv_is_closing(&writer.handle.handle) != 0) return;
      if (status != 0) return close(writer);
      read(writer);
    });
  }

  bool tcp_;
  EchoWork work_;
  Bytes answers_;
  std::unique_ptr<char[]> received_ = std::make_unique_for_overwrite<char[]>(2 * kReceiveBytes);
  uv_loop_t loop_{};
  Handle listener_{};
};

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "libuv_stream_echo", [](const ServerOptions& options) { Server(options).run(); });
}
