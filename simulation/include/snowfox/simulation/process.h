#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/core/address.h>
#include <snowfox/core/io.h>
#include <snowfox/core/log.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/simulation/faults.h>

namespace snowfox::simulation {

class Process;

/// Makes the program that a process runs: an object on the process's loop, destroyed when the process ends. What it
/// throws ends the process with exit code 1.
using Program = std::function<std::shared_ptr<void>(Process&)>;

/// A simulated machine: an address, Unix sockets by their paths, files, processes.
class Host {
 public:
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  const std::string& name() const noexcept;
  /// The host's own: `10.0.0.1`. 127.0.0.1 is each host's name for itself.
  const std::string& ip() const noexcept;

  /// Starts a process. It lives in the simulation from then on, also when it has ended.
  Process& start(std::string name, const Program& program, LoopOptions options = {});
  /// What ProcessSource starts when it is asked to execute `file`.
  void install(std::string file, Program program);

  /// Puts a file there, synced, as an administrator does. Its path begins with a slash; its directory need not be
  /// there.
  void write_file(const std::string& path, std::string_view content);
  /// What processes would read; nothing if there is no such file.
  std::optional<std::string> read_file(const std::string& path) const;

  /// Sets its time of day forwards or back, as an administrator does, or NTP: what Poller::wall_now() says. No other
  /// clock jumps.
  void jump_clock(Duration by) noexcept;

  /// The power goes: all processes are gone without a word, and those they talked with are told nothing either. Of what
  /// was written to files and not synced some is lost.
  void power_off();

  struct State;

 private:
  friend class Process;
  friend class Simulation;
  Host();
  ~Host();
  std::unique_ptr<State> state_;
};

/// A process on a simulated host: a loop that waits in the simulated world, and the program on it.
class Process {
 public:
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // --- for the program that runs in it ---

  LoopManager& loop() noexcept;
  Io& io() noexcept;
  Log& log() noexcept;
  pid_t pid() const noexcept;
  Host& host() noexcept;
  /// How it was asked to be started, if ProcessSource did.
  const std::vector<std::string>& arguments() const noexcept;
  /// What it was given under the number `fd` (ProcessOptions::descriptors); not open if there is none.
  Descriptor take_descriptor(int fd);

  // --- for who watches ---

  const std::string& name() const noexcept;
  bool running() const noexcept;
  /// Set when it has ended: the exit code; 128 + the signal, if one ended it.
  std::optional<int> exit_code() const noexcept;
  /// The program, which must be a T. Throws std::logic_error if it does not run any more.
  template <typename T>
  T& program() {
    return *static_cast<T*>(program_pointer());
  }
  /// How many descriptors it has open.
  std::size_t open_descriptors() const noexcept;
  /// Whether a line of its log, of those still kept, contains `text`.
  bool said(std::string_view text) const;
  /// It has at most so many descriptors from now on: beyond, EMFILE. 0: no limit.
  void limit_descriptors(std::size_t most) noexcept;

  /// What may go wrong with it, in place of what may with all (Simulation::set_faults); but slow links and the fault
  /// points of the library go by that.
  void set_faults(const Faults& faults) noexcept;
  /// The same as with all others again.
  void reset_faults() noexcept;

  /// Sends a signal, from outside. Without a SignalSource for it the process ends, as by default.
  void signal(int signal);
  /// SIGKILL: it is gone between two turns. The kernel closes its descriptors.
  void kill() { signal(9); }

  // --- the k-th failure, for sweeps ---

  /// The system call after the next `k` fails with an error that it may have, every other works. Simulated faults are
  /// not counted.
  void fail_system_call(std::uint64_t k) noexcept;
  /// How many there were so far that may fail.
  std::uint64_t system_calls() const noexcept;
  /// The allocation after the next `k` throws std::bad_alloc. Only what the process's own code allocates counts, not
  /// what the simulator does for it; nothing does unless the program includes failing_allocations.h.
  void fail_allocation(std::uint64_t k) noexcept;
  std::uint64_t allocations() const noexcept;

  struct State;

 private:
  friend class Host;
  friend class Simulation;
  Process();
  ~Process();
  void* program_pointer();
  std::unique_ptr<State> state_;
};

namespace detail {
/// Whether this allocation is one that a process makes, and is to fail: for failing_allocations.h.
bool allocation_fails() noexcept;
}  // namespace detail

}  // namespace snowfox::simulation
