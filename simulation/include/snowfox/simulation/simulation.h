#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/fault_point.h>
#include <snowfox/simulation/faults.h>
#include <snowfox/simulation/process.h>
#include <snowfox/simulation/random.h>

namespace snowfox::simulation {

struct SimulationOptions {
  /// Decides all that is left to chance. The same seed and the same program give the same run, step by step.
  std::uint64_t seed = 1;
  Faults faults{};
  /// How long bytes are under way between two hosts, and within one.
  Duration least_latency = std::chrono::microseconds(50);
  Duration most_latency = std::chrono::milliseconds(5);
  Duration most_local_latency = std::chrono::microseconds(50);
  /// The longest that Faults::standstill lasts.
  Duration standstill = std::chrono::seconds(3);
  /// The farthest that Faults::clock_jump sets a host's time of day forwards or back.
  Duration clock_jump = std::chrono::hours(48);
  /// What fits between the two ends of a connection, in bytes; each direction draws its own.
  std::size_t least_socket_buffer = 2U << 10;
  std::size_t most_socket_buffer = 256U << 10;
  /// A bug to put into the library (see fault_point.h), and how often it shows where it can.
  Mutant mutant = Mutant::None;
  double mutant_rate = 0.05;
  /// So many log lines are kept, of all processes together, for description().
  std::size_t log_lines = 200;
};

/// Something has happened that must not, whatever the program and the world do. what() says what, where and when, and
/// ends with the last log lines.
class InvariantBroken : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// A world of simulated hosts in which real programs run: LoopManager, sources, drains, promises, whatever is built on
/// them, unchanged; only what lies below Poller, Io and ChildIo is simulated. Time is virtual: while nobody has
/// anything to do it jumps.
///
///     Simulation world({.seed = seed, .faults = Faults::rough()});
///     Host& here = world.add_host("here");
///     Process& server = here.start("server", [](Process& p) { return std::make_shared<Server>(p.loop()); });
///     Process& client = here.start("client", [](Process& p) { return std::make_shared<Client>(p.loop()); });
///     world.run_until([&] { return client.program<Client>().done(); }, 60s);
///
/// All processes run on the calling thread, one turn at a time, in an order drawn from the seed. After each turn the
/// loop's books are audited (LoopManager::audit); what is broken is thrown as InvariantBroken by the call that ran it.
class Simulation {
 public:
  explicit Simulation(SimulationOptions options = {});
  /// Ends the processes that still run, as Process::kill() does.
  ~Simulation();
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;

  /// A machine with an address of its own: 10.0.0.1, 10.0.0.2, …
  Host& add_host(std::string name);

  TimePoint now() const noexcept;
  Random& random() noexcept;
  std::uint64_t seed() const noexcept;

  /// Calls `function` after `wait`, outside of any process's turn.
  void after(Duration wait, std::function<void()> function);

  /// One turn of one process, or else one jump to the next thing that happens. False if nothing ever will.
  bool step();
  /// Steps until `condition` holds: true. False if it does not within `limit` of virtual time, or never can.
  bool run_until(const std::function<bool()>& condition, Duration limit);
  /// Steps for so much virtual time.
  void run_for(Duration time);

  /// From now on, of all processes that have none of their own. With Faults::none() a run is brought to its end: all
  /// that was begun must settle then.
  void set_faults(const Faults& faults) noexcept;
  const Faults& faults() const noexcept;
  /// Nothing gets through between the two until heal(), nor is anything lost; who waits too long gives up by himself.
  void cut(const Host& one, const Host& other);
  void heal(const Host& one, const Host& other);

  /// How often the fault point has made something fail. Always 0 if the library was built without them.
  std::uint64_t fired(FaultPoint point) const noexcept;

  /// Of all that has happened so far: two runs with the same seed have the same.
  std::uint64_t trace_hash() const noexcept;
  std::uint64_t steps() const noexcept;
  /// What the processes wait for, and the last log lines: for the message of a test that has failed.
  std::string description() const;

  class World;

 private:
  std::unique_ptr<World> world_;
};

}  // namespace snowfox::simulation
