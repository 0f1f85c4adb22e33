// caf_echo --tcp PORT: the echo server on CAF: one broker for all connections, which CAF's middleman runs on its own
// thread. There is nothing in CAF for Unix sockets.
#include <unordered_map>
#include <caf/all.hpp>
#include <caf/io/all.hpp>

#include "echo_work.h"
#include "listen.h"

namespace snowfox::peers {
namespace {

/// What is no whole frame yet, of each connection.
struct State {
  EchoWork work;
  Bytes answers;
  std::unordered_map<caf::io::connection_handle, Bytes> kept;
};

caf::behavior serve_connections(caf::io::stateful_broker<State>* self) {
  using namespace caf::io;
  return {
      [self](const new_connection_msg& message) {
        self->configure_read(message.handle, receive_policy::at_most(kReceiveBytes));
        self->state.kept[message.handle];
      },
      [self](const new_data_msg& message) {
        auto& [work, answers, all_kept] = self->state;
        Bytes& kept = all_kept[message.handle];
        const std::span<const char> received(reinterpret_cast<const char*>(message.buf.data()), message.buf.size());
        std::size_t used = 0;
        if (kept.empty()) {
          used = work.answer(received, answers);
          if (used != kMalformed) kept.append(received.subspan(used));
        } else {
          kept.append(received);
          used = work.answer(kept.span(), answers);
          if (used != kMalformed) kept.consume(used);
        }
        if (used == kMalformed) {
          all_kept.erase(message.handle);
          answers.clear();
          self->close(message.handle);
          return;
        }
        if (kept.empty()) kept.release();
        if (answers.empty()) return;
        self->write(message.handle, answers.size(), answers.data());
        self->flush(message.handle);
        answers.clear();
      },
      [self](const connection_closed_msg& message) { self->state.kept.erase(message.handle); },
  };
}

caf::behavior listen(caf::io::stateful_broker<State>* self, std::uint16_t port) {
  const auto listening = self->add_tcp_doorman(port, "127.0.0.1");
  if (!listening) throw std::runtime_error("cannot listen");
  std::printf("caf_echo: listening on %u\n", static_cast<unsigned>(listening->second));
  std::fflush(stdout);
  return serve_connections(self);
}

void serve(const ServerOptions& options) {
  if (!options.at.tcp()) throw std::invalid_argument("--unix: CAF has no Unix sockets");
  raise_descriptor_limit();
  caf::actor_system_config config;
  config.load<caf::io::middleman>();
  config.set("scheduler.max-threads", 1);
  caf::actor_system system(config);
  system.middleman().spawn_broker(listen, options.at.port);
  system.await_all_actors_done();
}

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) { return snowfox::peers::run_server(argc, argv, "caf_echo", snowfox::peers::serve); }
