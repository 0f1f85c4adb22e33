#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <snowfox/context/process.h>
#include <snowfox/context/reload.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise_keeper.h>
#include <snowfox/promises/request.h>
#include <snowfox/simulation/seeds.h>
#include <snowfox/simulation/simulation.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/manual_source.h>
#include <snowfox/sources/proto_buf_source.h>
#include <snowfox/sources/scheduler_source.h>
#include <snowfox/sources/signal_source.h>
#include <snowfox/sources/worker_source.h>

#include "echo.pb.h"

namespace snowfox::simulation {

using namespace std::chrono_literals;
using echo::Envelope;

/// A daemon as our users write them: answers at once, after a while, or when a worker has done something, as the code
/// of the request says; ends in order on SIGTERM.
class EchoServer {
 public:
  static Address tcp_address() { return Address::tcp("10.0.0.1", 7000); }
  static Address unix_address() { return Address::unix_socket("/run/echo.sock"); }

  explicit EchoServer(Process& process)
      : loop_(process.loop()),
        protocol_([this](MessageEvent<Envelope>& request) { answer(request); }, {{.idle_timeout = 1h}}),
        process_({.name = process.name(), .notify = false}, loop_),
        posted_(loop_),
        scheduler_(loop_),
        workers_(loop_),
        reload_(
            process_.scope(), [this] { return load(); },
            [this](const int&, DynamicScopeBuilder& scope) {
              scope.listen({.address = Address::tcp("0.0.0.0", 7000)}, [this](const auto& client) { accept(client); });
              if (version_ % 2 != 0) return;
              scope.listen({.address = Address::tcp("0.0.0.0", 7001)}, [this](const auto& client) { accept(client); });
            }),
        unix_(loop_, unix_address(), {}, [this](const auto& client) { accept(client); }) {
    reload_.reload().check();
    process_.on_reload([this] { reload_.reload(); });
    process_.start();
  }

  std::uint64_t requests() const noexcept { return requests_; }

 private:
  static constexpr Watermarks kWatermarks{.high = 8U << 10, .low = 2U << 10, .stall_timeout = 20s};

  /// Each version is another one; every third does not hold.
  LoadedConfiguration<int> load() {
    if (++version_ % 3 == 0) throw std::runtime_error("a configuration that does not hold");
    return {version_, {.version = std::to_string(version_), .name = "echo"}};
  }
  void accept(const ListenerSource::Connection& client) {
    serve_proto_buf(loop_, client.channel, protocol_, &kWatermarks);
  }
  void answer(MessageEvent<Envelope>& request) {
    ++requests_;
    // No copy of it: protobuf's own lose what they have copied when memory runs out.
    const std::shared_ptr<Envelope> message = request.take_message();
    const std::uint32_t way = message->code() % 4;
    message->set_code(message->code() + 1);
    if (way == 0) {
      request.answer(*message);
      return;
    }
    auto lease = std::make_shared<DrainLease>(request.answer_later());
    auto reply = [message, lease] {
      if (auto* drain = dynamic_cast<ProtoBufDrain*>(lease->drain())) drain->enqueue(*message);
    };
    if (way == 1) {
      scheduler_.after(3ms, make_event(reply));
    } else if (way == 2) {
      posted_.post(make_event(reply));
    } else {
      workers_.submit([] { return 0; }, [reply](const Result<int>&) { reply(); });
    }
  }

  LoopManager& loop_;
  ProtoBufProtocol<Envelope> protocol_;
  snowfox::Process process_;
  ManualSource posted_;
  SchedulerSource scheduler_;
  WorkerSource workers_;
  Reload<int> reload_;
  ListenerSource unix_;
  std::uint64_t requests_ = 0;
  int version_ = 0;
};

/// Asks so many times, some requests at once, each with a body that no other has; connects again when the connection is
/// lost. Whatever happens, each request ends once: answered with its own body and code, or rejected. Trying again needs
/// no memory, so that it never ends.
class EchoClient {
 public:
  EchoClient(Process& process, const Address& address, int requests)
      : loop_(process.loop()),
        address_(address),
        name_(process.name()),
        quit_(loop_, {SIGTERM}, [this](int) { loop_.stop(); }),
        left_(requests),
        protocol_([this](MessageEvent<Envelope>& answer) {
          keeper_.fulfill<Envelope>(answer.correlation_id(), std::move(answer.message()));
        }),
        keeper_(loop_, {.default_deadline = 5s}),
        again_(*this) {
    auto [promise, resolver] = make_promise<void>(loop_);
    finished_ = std::move(promise);
    finish_ = std::move(resolver);
    protocol_.on_closed = [this](SourceId source, std::error_code reason) { closed(source, reason); };
    connect();
  }

  bool done() const noexcept { return finished_.settled(); }
  int answered() const noexcept { return answered_; }
  int rejected() const noexcept { return rejected_; }
  /// What was answered wrongly; empty if nothing was.
  const std::string& wrong() const noexcept { return wrong_; }

 private:
  struct Again final : Timer {
    explicit Again(EchoClient& whose) : client(whose) {}
    void expire() noexcept override { client.connect(); }
    EchoClient& client;
  };

  void connect() noexcept {
    connector_.reset();
    if (left_ == 0) return ask();
    try {
      connector_ = std::make_unique<ConnectorSource>(
          loop_, address_, 2s, [this](std::error_code error, const ChannelRef& channel) { connected(error, channel); });
    } catch (const std::exception&) {
      again();
    }
  }
  void connected(std::error_code error, const ChannelRef& channel) {
    if (error) return again();
    try {
      connection_ = connect_proto_buf(loop_, channel, protocol_);
    } catch (const std::exception&) {
      return again();
    }
    ask();
  }
  void again() noexcept { loop_.arm(again_, 100ms); }
  void closed(SourceId source, std::error_code reason) {
    if (source != connection_.source) return;
    connection_ = {kNoSource, kNoDrain};
    keeper_.reject_all(reason);
    again();
  }
  void ask() noexcept {
    while (left_ > 0 && pending_ < 8) {
      auto* drain = loop_.fetch<ProtoBufDrain>(connection_.drain);
      if (drain == nullptr) return;
      const int number = left_--;
      ++pending_;
      try {
        Envelope message;
        message.set_code(static_cast<std::uint32_t>(number));
        message.set_body(name_ + " " + std::to_string(number) +
                         std::string(static_cast<std::size_t>(number * 37 % 2000), '.'));
        request<Envelope>(keeper_, *drain, message)
            .then([this, number, body = message.body()](const Envelope& answer) {
              ++answered_;
              if (answer.body() != body || answer.code() != static_cast<std::uint32_t>(number) + 1) {
                wrong_ = "request " + std::to_string(number) + " got the answer " + answer.ShortDebugString();
              }
            })
            .otherwise([this](const std::exception_ptr&) { ++rejected_; })
            .then([this] {
              --pending_;
              ask();
            })
            .detach();
      } catch (const std::exception&) {
        ++rejected_;  // it was not even sent
        --pending_;
      }
    }
    if (left_ == 0 && pending_ == 0) {
      if (finish_.wanted()) finish_.resolve();
      loop_.remove(connection_.source);
      loop_.remove(connection_.drain);
      connection_ = {kNoSource, kNoDrain};
    }
  }

  LoopManager& loop_;
  Address address_;
  std::string name_;
  SignalSource quit_;  // also keeps it there when it is done
  int left_;
  ProtoBufProtocol<Envelope> protocol_;
  PromiseKeeper keeper_;
  std::unique_ptr<ConnectorSource> connector_;
  ProtoBufConnection connection_{kNoSource, kNoDrain};
  Again again_;
  Promise<void> finished_;
  Resolver<void> finish_;
  int pending_ = 0;
  int answered_ = 0;
  int rejected_ = 0;
  std::string wrong_;
};

/// A server and some clients on three hosts.
struct EchoWorld {
  EchoWorld(const SimulationOptions& options, int clients, int requests, bool start_server = true)
      : simulation(options), here(simulation.add_host("here")), there(simulation.add_host("there")) {
    if (start_server) serve();
    for (int i = 0; i < clients; ++i) {
      Host& host = i % 2 == 0 ? there : here;
      const bool local = i % 3 == 2;
      const Address address = local ? EchoServer::unix_address() : EchoServer::tcp_address();
      Host& where = local ? here : host;
      asking.push_back(&start(where, "client" + std::to_string(i), [=](Process& process) {
        return std::make_shared<EchoClient>(process, address, requests);
      }));
    }
  }
  void serve() {
    server = &start(here, "server", [](Process& process) { return std::make_shared<EchoServer>(process); });
  }
  /// Without faults: who cannot start says so and is started again by others.
  Process& start(Host& host, const std::string& name, const Program& program) {
    const Faults faults = simulation.faults();
    simulation.set_faults(Faults::none());
    Process& process = host.start(name, program);
    simulation.set_faults(faults);
    return process;
  }

  bool clients_done() {
    for (Process* client : asking) {
      if (client->running() && !client->program<EchoClient>().done()) return false;
    }
    return true;
  }
  void check_answers() {
    for (Process* client : asking) {
      if (!client->running()) continue;
      require(client->program<EchoClient>().wrong().empty(), client->program<EchoClient>().wrong());
    }
  }

  Simulation simulation;
  Host& here;
  Host& there;
  Process* server = nullptr;
  std::vector<Process*> asking;
};

}  // namespace snowfox::simulation
