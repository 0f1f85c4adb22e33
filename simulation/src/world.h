#pragma once

#include <array>
#include <csignal>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/core/log.h>
#include <snowfox/simulation/simulation.h>

#include "disk.h"
#include "kernel.h"
#include "objects.h"
#include "program_code.h"
#include "simulated_poller.h"

namespace snowfox::simulation {

/// What hosts and processes share: the time, what is going to happen, chance.
class Simulation::World final : public FaultChooser {
 public:
  explicit World(SimulationOptions options);
  ~World() override;

  bool fires(FaultPoint point) noexcept override;
  bool fires(Mutant mutant) noexcept override;

  SimulationOptions options;
  Random random;
  Random clock_random;  // the time of day's own, so that its jumps alone leave the rest of a run as it was
  TimePoint now{std::chrono::hours(1)};
  std::uint64_t hash = 0xcbf29ce484222325;
  std::uint64_t steps = 0;
  pid_t next_pid = 100;
  std::deque<std::string> log;
  std::vector<std::unique_ptr<Host, void (*)(Host*)>> hosts;
  std::vector<std::unique_ptr<Process, void (*)(Process*)>> processes;
  std::array<std::uint64_t, kFaultPoints> fired{};
  bool program_runs = false;  // something of a process's does

  void at(TimePoint time, std::function<void()> function);
  void after(Duration wait, std::function<void()> function) { at(now + wait, std::move(function)); }
  /// What has happened goes into the hash of the run.
  void trace(std::string_view what, std::int64_t one = 0, std::int64_t other = 0, std::string_view bytes = {}) noexcept;
  /// Something that must not be was seen: thrown when the turn is over, for handlers may not throw.
  void broken(const Process::State& process, const std::string& what);
  void throw_if_broken();

  /// The next turn or thing to happen; `waiting`, which is inside its turn, gets none. False if there is nothing.
  bool step(Process::State* waiting = nullptr);
  bool is_cut(const Host::State& one, const Host::State& other) const noexcept;
  Duration latency(const Host::State& one, const Host::State& other) noexcept;
  Host::State* host_at(std::string_view ip, Host::State& asking) noexcept;
  Process::State* process(pid_t pid) noexcept;
  Process& start(Host::State& host, std::string name, const Program& program, LoopOptions options, pid_t parent,
                 std::vector<std::string> arguments, std::map<int, std::shared_ptr<Object>> inherited);
  std::string description() const;

  std::set<std::pair<const Host::State*, const Host::State*>> cuts;

 private:
  struct Happening {
    TimePoint time;
    std::uint64_t number;  // of two at the same time, the one that was arranged first
    std::function<void()> function;
    bool operator<(const Happening& other) const noexcept {
      return time != other.time ? time > other.time : number > other.number;
    }
  };

  void turn(Process::State& process);

  std::priority_queue<Happening> agenda_;
  std::uint64_t last_number_ = 0;
  std::string broken_;
  FaultChooser* chooser_before_;
};

struct Host::State {
  State(Host& itself, Simulation::World& whole, std::string called, std::string address)
      : host(itself), world(whole), name(std::move(called)), ip(std::move(address)) {}

  Host& host;
  Simulation::World& world;
  std::string name;
  std::string ip;
  std::map<std::string, std::weak_ptr<Listener>, std::less<>> listeners;  // a dead one: the file of a Unix socket
  std::map<std::string, Program, std::less<>> programs;
  std::uint16_t next_port = 40000;
  Disk disk;
  Duration clock_ahead{};  // of what the time of day would be
};

struct Process::State final : LogSink {
  State(Process& itself, Simulation::World& whole, Host& where, std::string called);

  const Faults& faults() const noexcept { return own_faults ? *own_faults : world.options.faults; }

  void write(const LogRecord& record) noexcept override;
  /// The program is made and its loop set going.
  void begin(const Program& factory, LoopOptions options);
  /// Everything is over, in order.
  void finish(int code);
  /// The kernel takes everything away.
  void vanish(int code, bool silently);
  void signal(int signal, pid_t sender);

  Process& process;
  Simulation::World& world;
  Host& host;
  Host::State& machine;
  std::string name;
  pid_t pid;
  pid_t parent = 1;
  std::vector<std::string> arguments;
  Kernel kernel;
  std::deque<std::string> lines;
  Log log;
  std::unique_ptr<LoopManager> loop;
  SimulatedPoller* poller = nullptr;  // the loop's
  std::shared_ptr<void> program;
  std::optional<Faults> own_faults;
  std::optional<int> exit_code;
  bool dead = false;     // nothing that it does has an effect any more
  bool stopped = false;  // by SIGSTOP
  bool waiting = false;  // inside a wait() of its own
  bool in_turn = false;
  std::optional<int> killed_in_turn;
  std::uint64_t allocations = 0;
  std::uint64_t failing_allocation = 0;
};

}  // namespace snowfox::simulation
