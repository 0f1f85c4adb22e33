// asio_coroutine_echo (--tcp PORT | --unix PATH): the echo server on Asio, with a coroutine for each connection. One
// thread, which Asio is told, so that it takes no locks.
#include <utility>
#include <asio.hpp>

#include "echo_work.h"
#include "listen.h"

namespace snowfox::peers {
namespace {

template <typename Socket>
asio::awaitable<void> serve_connection(Socket socket, EchoWork& work) {
  OwnInput input;
  Bytes answers;
  std::error_code error;
  const auto await = [&error] { return asio::redirect_error(asio::use_awaitable, error); };
  while (!error) {
    const std::span<char> room = input.room();
    const std::size_t count = co_await socket.async_read_some(asio::buffer(room.data(), room.size()), await());
    if (error) co_return;
    const std::size_t used = work.answer(input.received(count), answers);
    if (used == kMalformed) co_return;
    input.used(used);
    if (answers.empty()) continue;
    co_await asio::async_write(socket, asio::buffer(answers.data(), answers.size()), await());
    answers.clear();
  }
}

template <typename Acceptor>
asio::awaitable<void> accept_all(Acceptor acceptor, EchoWork& work) {
  std::error_code error;
  for (;;) {
    auto socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (error) continue;
    set_no_delay(socket.native_handle());
    asio::co_spawn(acceptor.get_executor(), serve_connection(std::move(socket), work), asio::detached);
  }
}

template <typename Protocol>
void serve(const Protocol& protocol, int fd) {
  asio::io_context context(ASIO_CONCURRENCY_HINT_UNSAFE);
  EchoWork work;
  asio::co_spawn(context, accept_all(typename Protocol::acceptor(context, protocol, fd), work), asio::detached);
  context.run();
}

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "asio_coroutine_echo", [](const ServerOptions& options) {
    const int fd = listen_at(options, "asio_coroutine_echo");
    if (options.at.tcp()) {
      serve(asio::ip::tcp::v4(), fd);
    } else {
      serve(asio::local::stream_protocol(), fd);
    }
  });
}
