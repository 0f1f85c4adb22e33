// asio_echo (--tcp PORT | --unix PATH): the echo server on Asio, with callbacks. One thread, which Asio is told, so
// that it takes no locks.
#include <memory>
#include <utility>
#include <asio.hpp>

#include "echo_work.h"
#include "listen.h"

namespace snowfox::peers {
namespace {

template <typename Protocol>
class Session : public std::enable_shared_from_this<Session<Protocol>> {
 public:
  Session(typename Protocol::socket socket, EchoWork& work) : socket_(std::move(socket)), work_(work) {}

  void read() {
    const std::span<char> room = input_.room();
    socket_.async_read_some(asio::buffer(room.data(), room.size()),
                            [self = this->shared_from_this()](const std::error_code& error, std::size_t count) {
                              if (!error) self->on_read(count);
                            });
  }

 private:
  void on_read(std::size_t count) {
    const std::size_t used = work_.answer(input_.received(count), answers_);
    if (used == kMalformed) return;
    input_.used(used);
    if (answers_.empty()) return read();
    asio::async_write(socket_, asio::buffer(answers_.data(), answers_.size()),
                      [self = this->shared_from_this()](const std::error_code& error, std::size_t) {
                        self->answers_.clear();
                        if (!error) self->read();
                      });
  }

  typename Protocol::socket socket_;
  EchoWork& work_;
  OwnInput input_;
  Bytes answers_;
};

template <typename Protocol>
class Server {
 public:
  Server(asio::io_context& context, const Protocol& protocol, int fd) : acceptor_(context, protocol, fd) { accept(); }

 private:
  void accept() {
    acceptor_.async_accept([this](const std::error_code& error, typename Protocol::socket socket) {
      if (!error) {
        set_no_delay(socket.native_handle());
        std::make_shared<Session<Protocol>>(std::move(socket), work_)->read();
      }
      accept();
    });
  }

  typename Protocol::acceptor acceptor_;
  EchoWork work_;
};

template <typename Protocol>
void serve(const Protocol& protocol, int fd) {
  asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
  const Server<Protocol> server(context, protocol, fd);
  context.run();
}

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "asio_echo", [](const ServerOptions& options) {
    const int fd = listen_at(options, "asio_echo");
    if (options.at.tcp()) {
      serve(asio::ip::tcp::v4(), fd);
    } else {
      serve(asio::local::stream_protocol(), fd);
    }
  });
}
