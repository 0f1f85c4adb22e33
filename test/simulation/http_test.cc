// An HTTP server in rough weather: however its clients' bytes come and its own go, and however long its answers take,
// each client gets its answers whole and in the order of its requests, or, if its connection is reset, the first of
// them.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <snowfox/drains/stream_drain.h>
#include <snowfox/http/http_source.h>
#include <snowfox/simulation/seeds.h>
#include <snowfox/simulation/simulation.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/scheduler_source.h>
#include <snowfox/sources/signal_source.h>

namespace snowfox::simulation {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLargeBytes = 100'000;

class Size final : public HttpBodyReceiver {
 public:
  explicit Size(HttpResponder responder) : responder_(std::move(responder)) {}
  void on_piece(std::string_view piece) override { bytes_ += piece.size(); }
  void on_end() override { responder_.answer({.body = std::to_string(bytes_)}); }

 private:
  HttpResponder responder_;
  std::size_t bytes_ = 0;
};

class Server {
 public:
  Server(LoopManager& loop, const Address& address)
      : quit_(loop, {SIGTERM}, [this, &loop](int) { protocol_.finish([&loop] { loop.stop(); }); }),
        scheduler_(loop),
        listener_(loop, address, {},
                  [this, &loop](const ListenerSource::Connection& c) { serve_http(loop, c.channel, protocol_); }) {
    protocol_.options.answer_correlation_id = false;
    protocol_.options.max_pipelined = 4;
    protocol_.router.add("GET", "/now/{n}",
                         [](HttpEvent& event) { event.answer({.body = *event.request().parameter("n")}); });
    protocol_.router.add("GET", "/later/{n:digits}", [this](HttpEvent& event) {
      const std::string n(*event.request().parameter("n"));
      auto responder = std::make_shared<HttpResponder>(event.take_responder());
      scheduler_.after(std::chrono::milliseconds(std::stoul(n) * 37 % 101),
                       [responder, n] { responder->answer({.body = n}); });
    });
    protocol_.router.add("GET", "/large",
                         [](HttpEvent& event) { event.answer({.body = std::string(kLargeBytes, 'l')}); });
    protocol_.router.add("POST", "/size", [](HttpEvent& event) {
      event.answer({.body = std::to_string(event.request().body().size())});
    });
    protocol_.router.add("PUT", "/size",
                         [](HttpEvent& event) { event.receive_body(std::make_unique<Size>(event.take_responder())); },
                         {.stream = true});
  }

  const HttpCounters& counters() const noexcept { return protocol_.counters(); }

 private:
  HttpProtocol protocol_;
  SignalSource quit_;
  SchedulerSource scheduler_;
  ListenerSource listener_;
};

/// Keeps what it receives.
class Listening final : public StreamSource {
 public:
  Listening(LoopManager& loop, ChannelRef channel, std::string& heard, bool& ended)
      : StreamSource(loop, std::move(channel)), heard_(heard), ended_(ended) {}

 private:
  EventRef parse_frame(ReceiveBuffer& received) override {
    const auto bytes = received.data();
    heard_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    received.consume(bytes.size());
    return nullptr;
  }
  EventRef closed(std::error_code) override {
    ended_ = true;
    return nullptr;
  }
  std::string& heard_;
  bool& ended_;
};

/// Sends all its requests at once, of which the last closes the connection.
class Client {
 public:
  Client(LoopManager& loop, const Address& address, unsigned number)
      : quit_(loop, {SIGTERM}, [&loop](int) { loop.stop(); }),
        connector_(loop, address, 30s, [this, &loop](std::error_code error, const ChannelRef& channel) {
          if (error) {
            ended = true;
            return;
          }
          auto& drain = loop.add(std::make_unique<StreamDrain>(loop, channel));
          loop.add(std::make_unique<Listening>(loop, channel, heard, ended));
          drain.enqueue(requests_);
        }) {
    const auto ask = [&](const std::string& request, const std::string& fields, const std::string& body) {
      requests_ += request + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n" + body;
    };
    const auto expect = [&](const std::string& body, const std::string& fields = "") {
      expected += "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" + fields + "\r\n" + body;
    };
    for (unsigned i = 0; i < 12; ++i) {
      const std::string n = std::to_string(number * 100 + i);
      switch ((number + i) % 5) {
        case 0:
          ask("GET /now/" + n, "", "");
          expect(n);
          break;
        case 1:
          ask("GET /later/" + n, "", "");
          expect(n);
          break;
        case 2:
          ask("POST /size", "Content-Length: 5000\r\n", std::string(5000, 'p'));
          expect("5000");
          break;
        case 3:
          ask("PUT /size", "Transfer-Encoding: chunked\r\n",
              "bb8\r\n" + std::string(3000, 'c') + "\r\n1\r\nc\r\n0\r\n\r\n");
          expect("3001");
          break;
        default: ask("GET /large", "", ""); expect(std::string(kLargeBytes, 'l'));
      }
    }
    ask("GET /now/last", "Connection: close\r\n", "");
    expect("last", "Connection: close\r\n");
  }

  std::string answers() const {
    std::string undated = heard;
    for (std::size_t at = 0; (at = undated.find("Date: ", at)) != std::string::npos;) {
      const std::size_t end = undated.find("\r\n", at);
      undated.erase(at, end == std::string::npos ? end : end + 2 - at);
    }
    return undated;
  }

  std::string expected;
  std::string heard;
  bool ended = false;

 private:
  std::string requests_;
  SignalSource quit_;
  ConnectorSource connector_;
};

std::uint64_t answer_all(std::uint64_t seed) {
  const bool resets = seed % 2 == 0;
  Faults faults = Faults::choppy();
  if (resets) faults.reset = Faults::rough().reset;
  Simulation world({.seed = seed, .faults = faults});
  Host& here = world.add_host("here");
  Host& there = world.add_host("there");
  const Address address = Address::tcp("10.0.0.1", 80);
  Process& server =
      here.start("server", [&](Process& process) { return std::make_shared<Server>(process.loop(), address); });
  std::vector<Process*> clients;
  for (unsigned i = 0; i < 3; ++i) {
    clients.push_back(&there.start("client " + std::to_string(i), [&, i](Process& process) {
      return std::make_shared<Client>(process.loop(), address, i);
    }));
  }
  for (Process* client : clients) {
    const auto& asking = client->program<Client>();
    require(world.run_until([&] { return asking.ended; }, 10min), "no end\n" + world.description());
    const std::string answers = asking.answers();
    const bool right = resets ? asking.expected.starts_with(answers) || answers.find("Date: ") != std::string::npos ||
                                    asking.expected.starts_with(answers.substr(0, answers.rfind('\n') + 1))
                              : answers == asking.expected;
    require(right, client->name() + " got " + std::to_string(answers.size()) + " of " +
                       std::to_string(asking.expected.size()) + " bytes, or other ones\n" + world.description());
  }
  world.run_for(2min);
  require(server.program<Server>().counters().connections == 0, "a connection is left\n" + world.description());
  server.signal(SIGTERM);
  for (Process* client : clients) client->signal(SIGTERM);
  require(world.run_until([&] { return !server.running(); }, 1min), "no end\n" + world.description());
  require(server.exit_code() == 0, "the server has not ended in order\n" + world.description());
  return world.trace_hash();
}

TEST(HttpWorldTest, AnswersAllInOrder) {
  const SeedsResult result = run_seeds(60, 15, answer_all);
  EXPECT_TRUE(result) << result.message;
}

}  // namespace
}  // namespace snowfox::simulation
