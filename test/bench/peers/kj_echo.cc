// kj_echo (--tcp PORT | --unix PATH): the echo server on KJ, Cap'n Proto's event loop: a chain of promises for each
// connection.
#include <utility>
#include <kj/async-io.h>

#include "echo_work.h"
#include "listen.h"

namespace snowfox::peers {
namespace {

class Connection {
 public:
  Connection(kj::Own<kj::AsyncIoStream> stream, EchoWork& work) : stream_(kj::mv(stream)), work_(work) {}

  kj::Promise<void> run() {
    const std::span<char> room = input_.room();
    return stream_->tryRead(room.data(), 1, room.size()).then([this](std::size_t count) -> kj::Promise<void> {
      if (count == 0) return kj::READY_NOW;
      const std::size_t used = work_.answer(input_.received(count), answers_);
      if (used == kMalformed) return kj::READY_NOW;
      input_.used(used);
      if (answers_.empty()) return run();
      return stream_->write(answers_.data(), answers_.size()).then([this] {
        answers_.clear();
        return run();
      });
    });
  }

 private:
  kj::Own<kj::AsyncIoStream> stream_;
  EchoWork& work_;
  OwnInput input_;
  Bytes answers_;
};

class Server final : private kj::TaskSet::ErrorHandler {
 public:
  explicit Server(kj::Own<kj::ConnectionReceiver> listener) : listener_(kj::mv(listener)), connections_(*this) {}

  kj::Promise<void> run() {
    return listener_->accept().then([this](kj::Own<kj::AsyncIoStream> stream) {
      const int on = 1;
      if (tcp_) stream->setsockopt(IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      auto connection = kj::heap<Connection>(kj::mv(stream), work_);
      auto running = connection->run();
      connections_.add(running.attach(kj::mv(connection)));
      return run();
    });
  }
  void set_tcp(bool tcp) noexcept { tcp_ = tcp; }

 private:
  // That a peer has left is no error here.
  void taskFailed(kj::Exception&&) override {}

  EchoWork work_;
  bool tcp_ = true;
  kj::Own<kj::ConnectionReceiver> listener_;
  kj::TaskSet connections_;
};

void serve(const ServerOptions& options) {
  using Provider = kj::LowLevelAsyncIoProvider;
  kj::AsyncIoContext io = kj::setupAsyncIo();
  Server server(io.lowLevelProvider->wrapListenSocketFd(listen_at(options, "kj_echo"), Provider::TAKE_OWNERSHIP |
                                                                                           Provider::ALREADY_CLOEXEC |
                                                                                           Provider::ALREADY_NONBLOCK));
  server.set_tcp(options.at.tcp());
  server.run().wait(io.waitScope);
}

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) { return snowfox::peers::run_server(argc, argv, "kj_echo", snowfox::peers::serve); }
