// TLS in rough weather: however the bytes come and go, a client gets back what it said, whole and once, or is told that
// it did not.
#include <snowfox/simulation/failing_allocations.h>

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <snowfox/core/error.h>
#include <snowfox/drains/stream_drain.h>
#include <snowfox/simulation/seeds.h>
#include <snowfox/simulation/simulation.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/signal_source.h>
#include <snowfox/sources/stream_source.h>
#include <snowfox/tls/tls_client_context.h>
#include <snowfox/tls/tls_server_context.h>

#include "test_authority.h"

namespace snowfox::simulation {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kClients = 3;

struct Files {
  TestAuthority authority{"Test Authority", true};
  TlsCertificateFiles server = authority.issue({.name = "server"});
};

/// Sends back what it gets.
class Echo final : public StreamSource {
 public:
  Echo(LoopManager& loop, ChannelRef channel, DrainId drain) : StreamSource(loop, std::move(channel)), drain_(drain) {}

 private:
  EventRef parse_frame(ReceiveBuffer& received) override {
    if (EventDrain* drain = loop().drain(drain_)) drain->enqueue(received.data());
    received.consume(received.data().size());
    return nullptr;
  }
  DrainId drain_;
};

class Server {
 public:
  Server(LoopManager& loop, const Address& address, const Files& files)
      : quit_(loop, {SIGTERM}, [&loop](int) { loop.stop(); }),
        tls_(loop, options(files)),
        listener_(loop, address, {}, tls_.secured([&loop](TlsConnection client) {
          auto& drain = loop.add(std::make_unique<StreamDrain>(loop, client.channel));
          auto& source = loop.add(std::make_unique<Echo>(loop, client.channel, drain.id()));
          drain.bind(source.id());
        })) {}

  const TlsCounters& counters() const noexcept { return tls_.counters(); }

 private:
  static TlsServerOptions options(const Files& files) {
    TlsServerOptions options;
    options.certificate = files.server;
    options.handshake_timeout = 5min;
    return options;
  }
  SignalSource quit_;
  TlsServerContext tls_;
  ListenerSource listener_;
};

class Client {
 public:
  Client(LoopManager& loop, const Address& address, unsigned number, const Files& files)
      : quit_(loop, {SIGTERM}, [&loop](int) { loop.stop(); }), tls_(loop, options(files)) {
    for (unsigned i = 0; i < 2000; ++i) said += std::to_string(number) + ':' + std::to_string(i) + ' ';
    said.append(number * 40'000, 'x');
    connector_ = std::make_unique<ConnectorSource>(
        loop, address, 5min, [this, &loop](std::error_code error, const ChannelRef& channel) {
          if (error) return end_with(error);
          tls_.connect(channel, "localhost", [this, &loop](const TlsFailure& failure, TlsConnection server) {
            if (failure.code) return end_with(failure.code);
            auto& drain = loop.add(std::make_unique<StreamDrain>(loop, server.channel));
            loop.add(std::make_unique<Heard>(loop, server.channel, *this));
            drain.enqueue(said);
          });
        });
  }

  std::string said;
  std::string heard;
  bool ended = false;
  std::error_code end;

 private:
  class Heard final : public StreamSource {
   public:
    Heard(LoopManager& loop, ChannelRef channel, Client& client)
        : StreamSource(loop, std::move(channel)), client_(client) {}

   private:
    EventRef parse_frame(ReceiveBuffer& received) override {
      client_.heard.append(reinterpret_cast<const char*>(received.data().data()), received.data().size());
      received.consume(received.data().size());
      // That was all: the other side hears of it, and ends as well.
      if (client_.heard.size() >= client_.said.size()) channel()->io().shutdown_write(channel()->fd());
      return nullptr;
    }
    EventRef closed(std::error_code reason) override {
      client_.end_with(reason);
      return nullptr;
    }
    Client& client_;
  };

  static TlsClientOptions options(const Files& files) {
    TlsClientOptions options;
    options.authorities_file = files.authority.file();
    options.handshake_timeout = 5min;
    return options;
  }
  void end_with(std::error_code error) noexcept {
    ended = true;
    end = error;
  }

  SignalSource quit_;
  TlsClientContext tls_;
  std::unique_ptr<ConnectorSource> connector_;
};

std::uint64_t echo_all(std::uint64_t seed, const Faults& faults, bool all_arrives, const Files& files) {
  Simulation world({.seed = seed, .faults = faults});
  Host& here = world.add_host("here");
  Host& there = world.add_host("there");
  const Address address = Address::tcp("10.0.0.1", 443);
  Process& server =
      here.start("server", [&](Process& process) { return std::make_shared<Server>(process.loop(), address, files); });
  std::vector<Process*> clients;
  for (unsigned i = 0; i < kClients; ++i) {
    clients.push_back(&there.start("client " + std::to_string(i), [&, i](Process& process) {
      return std::make_shared<Client>(process.loop(), address, i, files);
    }));
  }
  for (Process* client : clients) {
    if (!client->running() && !all_arrives) continue;
    const auto& asking = client->program<Client>();
    const bool over = world.run_until([&] { return asking.ended; }, 20min);
    require(over, client->name() + " has no end\n" + world.description());
    require(asking.said.starts_with(asking.heard), client->name() + " heard something else\n" + world.description());
    if (asking.end == Errc::EndOfStream || all_arrives) {
      require(asking.heard == asking.said && asking.end == Errc::EndOfStream,
              client->name() + " heard " + std::to_string(asking.heard.size()) + " of " +
                  std::to_string(asking.said.size()) + " bytes, then: " + asking.end.message() + "\n" +
                  world.description());
    }
  }
  // Who is gone without a word is noticed by who waits for the end of the handshake.
  world.run_for(6min);
  if (server.running()) {
    const TlsCounters& counters = server.program<Server>().counters();
    require(counters.handshakes == 0, "a handshake is left\n" + world.description());
    require(counters.connections == 0, "a connection is left\n" + world.description());
    server.signal(SIGTERM);
    const bool over = world.run_until([&] { return !server.running(); }, 1min);
    require(over, "the server does not end\n" + world.description());
  }
  // Keys and random numbers are OpenSSL's own, so the bytes of two runs are not the same; only their sizes are.
  return 0;
}

TEST(TlsWorldTest, EchoesAllWhereNothingComesInOnePiece) {
  const Files files;
  const SeedsResult result =
      run_seeds(20, 5, [&](std::uint64_t seed) { return echo_all(seed, Faults::choppy(), true, files); });
  EXPECT_TRUE(result) << result.message;
}

TEST(TlsWorldTest, TellsWhoseConnectionsAreReset) {
  const Files files;
  Faults faults = Faults::choppy();
  faults.reset = Faults::rough().reset;
  const SeedsResult result = run_seeds(20, 5, [&](std::uint64_t seed) { return echo_all(seed, faults, false, files); });
  EXPECT_TRUE(result) << result.message;
}

// Goal: want of memory costs at most what wanted it: nobody hears something else than what was said, nothing is counted
// twice or for ever, and the process lives.
std::uint64_t survive_want_of_memory(std::uint64_t seed, const Files& files) {
  Simulation world({.seed = seed, .faults = Faults::choppy()});
  Host& here = world.add_host("here");
  const Address address = Address::tcp("10.0.0.1", 443);
  Process& server =
      here.start("server", [&](Process& process) { return std::make_shared<Server>(process.loop(), address, files); });
  world.run_for(1s);
  Faults faults = Faults::choppy();
  faults.allocation = 0.01;
  faults.fault_point = 0.01;
  server.set_faults(faults);
  std::vector<Process*> clients;
  for (unsigned i = 0; i < kClients; ++i) {
    clients.push_back(&here.start("client " + std::to_string(i), [&, i](Process& process) {
      return std::make_shared<Client>(process.loop(), address, i, files);
    }));
  }
  for (Process* client : clients) {
    const auto& asking = client->program<Client>();
    const bool over = world.run_until([&] { return asking.ended; }, 20min);
    require(over, client->name() + " has no end\n" + world.description());
    require(asking.said.starts_with(asking.heard), client->name() + " heard something else\n" + world.description());
    require(asking.end != Errc::EndOfStream || asking.heard == asking.said,
            client->name() + " took a part for all\n" + world.description());
  }
  server.reset_faults();
  world.run_for(6min);
  require(server.running(), "the server is gone\n" + world.description());
  const TlsCounters& counters = server.program<Server>().counters();
  require(counters.handshakes == 0, "a handshake is left\n" + world.description());
  require(counters.connections == 0, "a connection is left\n" + world.description());
  server.signal(SIGTERM);
  const bool over = world.run_until([&] { return !server.running(); }, 1min);
  require(over, "the server does not end\n" + world.description());
  return 0;
}

TEST(TlsWorldTest, SurvivesWantOfMemory) {
  const Files files;
  const SeedsResult result = run_seeds(20, 5, [&](std::uint64_t seed) { return survive_want_of_memory(seed, files); });
  EXPECT_TRUE(result) << result.message;
}

}  // namespace
}  // namespace snowfox::simulation
