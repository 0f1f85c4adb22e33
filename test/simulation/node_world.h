#pragma once

#include <csignal>
#include <memory>
#include <string>
#include <string_view>

#include <snowfox/simulation/seeds.h>
#include <snowfox/simulation/simulation.h>

#include "client/node_client.h"
#include "common/child_process.h"
#include "daemon/daemon.h"
#include "manager/manager.h"
#include "spawner/spawner.h"

// A simulated machine with a node: its real daemon, spawner and manager, what main() makes of each, and its clients.

namespace snowfox::node {

using namespace std::chrono_literals;
using simulation::Faults;
using simulation::Process;
using simulation::require;

inline constexpr std::string_view kRunDirectory = "/run/simulated";
inline constexpr const char* kConfiguration = "/etc/snow-fox/node.yaml";

/// What the main() of each program makes.
struct DaemonProgram {
  explicit DaemonProgram(Process& process)
      : loop(process.loop()),
        daemon(loop, RunDirectory(std::string(kRunDirectory)), -1,
               {.configuration = kConfiguration, .programs = "/usr/bin", .manager = {}, .log = {}}),
        signals(loop, {SIGTERM, SIGHUP}, [this](int signal) {
          if (signal == SIGTERM) return daemon.end();
          daemon.reload().detach();
        }) {
    daemon.run([this] { ready = true; })
        .then([this](const Daemon::Ended& ended) { loop.stop(ended.exit_code); })
        .detach();
  }
  LoopManager& loop;
  bool ready = false;
  Daemon daemon;
  SignalSource signals;
};

struct SpawnerProgram {
  explicit SpawnerProgram(Process& process)
      : signals(process.loop(), "spawner"),
        spawner(process.loop(), RunDirectory(std::string(kRunDirectory)),
                process.take_descriptor(kListenerDescriptor)) {}
  DaemonsSignals signals;
  Spawner spawner;
};

struct ManagerProgram {
  explicit ManagerProgram(Process& process)
      : signals(process.loop(), "manager"),
        sink(-1),
        manager(process.loop(), sink, RunDirectory(std::string(kRunDirectory)),
                process.take_descriptor(kListenerDescriptor), {.configuration = kConfiguration, .log = {}}) {}
  DaemonsSignals signals;
  DescriptorLogSink sink;
  Manager manager;
};

/// A service, which runs until it is told to end, or, if it is one that crashes, for a while.
struct ServiceProgram {
  struct Counts {
    int running = 0;
    int starts = 0;
  };
  struct Crash final : Timer {
    explicit Crash(LoopManager& whose) : loop(whose) {}
    void expire() noexcept override { loop.stop(1); }
    LoopManager& loop;
  };
  ServiceProgram(Process& process, Counts& all, Duration life)
      : counts(all), crash(process.loop()), signals(process.loop(), {SIGTERM}, [&process] { process.loop().stop(); }) {
    ++counts.running;
    ++counts.starts;
    if (life != Duration::max()) process.loop().arm(crash, life);
  }
  ~ServiceProgram() { --counts.running; }
  Counts& counts;
  Crash crash;
  SignalSource signals;
};

/// Asks for the status again and again; each request ends once, with an answer or an error. Trying again needs no
/// memory.
struct ClientProgram {
  ClientProgram(Process& process, int requests)
      : loop(process.loop()),
        left(requests),
        again_soon(*this),
        signals(process.loop(), {SIGTERM}, [&process](int) { process.loop().stop(); }),
        client(process.loop(), RunDirectory(std::string(kRunDirectory)).public_socket(), 1min,
               [this](std::error_code) { again(); }) {
    connect();
  }
  struct Again final : Timer {
    explicit Again(ClientProgram& whose) : program(whose) {}
    void expire() noexcept override { program.connect(); }
    ClientProgram& program;
  };

  void connect() noexcept try {
    connecting = client.connect().then([this] { ask(); }).otherwise([this](const std::exception_ptr&) { again(); });
  } catch (const std::exception&) {
    again();
  }
  void again() noexcept { loop.arm(again_soon, 200ms); }
  void ask() noexcept {
    while (client.connected() && left > 0 && pending < 4) {
      --left;
      ++pending;
      try {
        client.ask({.details = left % 2 == 0})
            .then([this](const NodeClient::Message& answer) { answered += answer.has_node_info_response() ? 1 : 0; })
            .otherwise([this](const std::exception_ptr&) { ++rejected; })
            .then([this] {
              --pending;
              ask();
            })
            .detach();
      } catch (const std::exception&) {
        ++rejected;
        --pending;
      }
    }
  }
  /// To be called from outside.
  void ask_more(int requests) noexcept {
    left += requests;
    again();
    loop.poller().wake();
  }
  int settled() const noexcept { return answered + rejected; }

  LoopManager& loop;
  int left;
  int pending = 0;
  int answered = 0;
  int rejected = 0;
  Again again_soon;
  SignalSource signals;
  Promise<void> connecting;
  NodeClient client;
};

struct NodeWorld {
  explicit NodeWorld(std::uint64_t seed) : world({.seed = seed}), machine(world.add_host("machine")) {
    configure(0);
    machine.install("/usr/bin/snow-fox-spawner",
                    [](Process& process) { return std::make_shared<SpawnerProgram>(process); });
    machine.install("/usr/bin/snow-fox-manager",
                    [](Process& process) { return std::make_shared<ManagerProgram>(process); });
    machine.install("/usr/bin/steady", [this](Process& process) {
      return std::make_shared<ServiceProgram>(process, steady, Duration::max());
    });
    machine.install("/usr/bin/crashing", [this](Process& process) {
      return std::make_shared<ServiceProgram>(process, crashing, world.random().between(1ms, 100ms));
    });
  }
  /// Every third does not hold.
  void configure(int number) const {
    machine.write_file(kConfiguration, number % 3 == 2
                                           ? "node: {nam: x}\n"
                                           : "node: {name: n" + std::to_string(number) +
                                                 "}\nservices:\n"
                                                 "- {id: steady, command: [/usr/bin/steady], output: discard}\n"
                                                 "- {id: crashing, command: [/usr/bin/crashing], output: discard,\n"
                                                 "   backoff: 100ms, backoff_limit: 100ms}\n");
  }
  void start() {
    daemon =
        &machine.start("snow-fox-daemon", [](Process& process) { return std::make_shared<DaemonProgram>(process); });
    require(world.run_until([&] { return !daemon->running() || daemon->program<DaemonProgram>().ready; }, 1min),
            "the node does not start\n" + world.description());
    require(daemon->running(), "the node has not started\n" + world.description());
  }

  ServiceProgram::Counts steady;
  ServiceProgram::Counts crashing;
  simulation::Simulation world;
  simulation::Host& machine;
  Process* daemon = nullptr;
};

}  // namespace snowfox::node
