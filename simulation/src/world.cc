#include "world.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <exception>

#include <fmt/format.h>

#include <snowfox/core/audit.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/core/error.h>
#include <snowfox/core/fault_point.h>
#include <snowfox/core/pool.h>
#include <snowfox/core/signal_name.h>

namespace snowfox::simulation {
namespace {

constexpr std::size_t kProcessLines = 500;

/// Before anything is hashed: the order within hash tables must be the same in each run.
[[maybe_unused]] const bool kHashesRepeat = (fix_hash_secret(0x5eed), true);

std::string time_text(TimePoint now) {
  return fmt::format("{:.6f}", std::chrono::duration<double>(now.time_since_epoch() - std::chrono::hours(1)).count());
}

}  // namespace

Simulation::World::World(SimulationOptions given)
    : options(given), random(given.seed), clock_random(given.seed), chooser_before_(set_fault_chooser(this)) {
  // What a world before this one has left would be allocations that this one does not make.
  pool_trim();
}

Simulation::World::~World() {
  for (const auto& process : processes) process->state_->vanish(128 + SIGKILL, true);
  set_fault_chooser(chooser_before_);
}

bool Simulation::World::fires(FaultPoint point) noexcept {
  if (!program_runs || !random.chance(options.faults.fault_point)) return false;
  ++fired[static_cast<std::size_t>(point)];
  return true;
}

bool Simulation::World::fires(Mutant mutant) noexcept {
  return program_runs && mutant == options.mutant && random.chance(options.mutant_rate);
}

void Simulation::World::at(TimePoint time, std::function<void()> function) {
  const CodeOfSimulator here;
  agenda_.push({std::max(time, now), ++last_number_, std::move(function)});
}

// FNV-1a (http://www.isthe.com/chongo/tech/comp/fnv/).
void Simulation::World::trace(std::string_view what, std::int64_t one, std::int64_t other,
                              std::string_view bytes) noexcept {
  const auto mix = [this](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  };
  const std::int64_t numbers[] = {one, other, now.time_since_epoch().count()};
  mix(what);
  mix({reinterpret_cast<const char*>(numbers), sizeof numbers});
  mix(bytes);
}

void Simulation::World::broken(const Process::State& process, const std::string& what) {
  const CodeOfSimulator here;
  if (broken_.empty()) broken_ = process.name + " (process " + std::to_string(process.pid) + "): " + what;
}

void Simulation::World::throw_if_broken() {
  if (broken_.empty()) return;
  throw InvariantBroken(
      fmt::format("{}, at {} s, seed {}\n{}", std::exchange(broken_, {}), time_text(now), options.seed, description()));
}

bool Simulation::World::is_cut(const Host::State& one, const Host::State& other) const noexcept {
  return !cuts.empty() && cuts.contains(std::minmax(&one, &other));
}

Duration Simulation::World::latency(const Host::State& one, const Host::State& other) noexcept {
  if (&one == &other) return random.between(std::chrono::microseconds(1), options.most_local_latency);
  return random.between(options.least_latency, options.most_latency);
}

Host::State* Simulation::World::host_at(std::string_view ip, Host::State& asking) noexcept {
  if (ip.starts_with("127.") || ip == "::1") return &asking;
  for (const auto& host : hosts) {
    if (host->state_->ip == ip) return host->state_.get();
  }
  return nullptr;
}

Process::State* Simulation::World::process(pid_t pid) noexcept {
  for (const auto& process : processes) {
    if (process->state_->pid == pid) return process->state_.get();
  }
  return nullptr;
}

Process& Simulation::World::start(Host::State& host, std::string name, const Program& program, LoopOptions loop,
                                  pid_t parent, std::vector<std::string> arguments,
                                  std::map<int, std::shared_ptr<Object>> inherited) {
  const CodeOfSimulator here;
  processes.emplace_back(new Process, [](Process* process) { delete process; });
  Process& process = *processes.back();
  process.state_ = std::make_unique<Process::State>(process, *this, host.host, std::move(name));
  Process::State& state = *process.state_;
  state.parent = parent;
  state.arguments = std::move(arguments);
  state.kernel.table = std::move(inherited);
  if (!loop.id_seed) loop.id_seed = random();
  // A child begins in a turn of its own, after its parent knows of it.
  if (parent != 1) {
    after(random.between(std::chrono::microseconds(100), std::chrono::milliseconds(5)),
          [&state, program, loop] { state.begin(program, loop); });
  } else {
    state.begin(program, loop);
    throw_if_broken();
  }
  return process;
}

void Simulation::World::turn(Process::State& process) {
  process.in_turn = program_runs = true;
  trace("turn", process.pid);
  if (clock_random.chance(process.faults().clock_jump)) {
    process.machine.clock_ahead += clock_random.between(-options.clock_jump, options.clock_jump);
  }
  if (random.chance(process.faults().standstill)) now += random.between(Duration::zero(), options.standstill);
  process.poller->turn();
  process.in_turn = program_runs = false;
  now += random.between(std::chrono::microseconds(1), std::chrono::microseconds(50));
  if (process.killed_in_turn) return process.vanish(*process.killed_in_turn, false);
  if (!process.poller->driven()) return process.finish(process.loop->exit_code());
  const Audit audit = process.loop->audit();
  if (!audit.findings().empty()) broken(process, audit.findings().front());
  if (!process.poller->active()) process.loop->stop();
}

bool Simulation::World::step(Process::State* waiting) {
  const CodeOfSimulator here;
  throw_if_broken();
  ++steps;
  std::vector<Process::State*> due;
  TimePoint next = waiting != nullptr ? waiting->poller->until() : kNever;
  for (const auto& process : processes) {
    Process::State* state = process->state_.get();
    if (state == waiting || state->exit_code || state->stopped || state->poller == nullptr ||
        !state->poller->driven()) {
      continue;
    }
    if (state->poller->due()) {
      due.push_back(state);
    } else {
      next = std::min(next, state->poller->until());
    }
  }
  const bool happens = !agenda_.empty() && agenda_.top().time <= now;
  if (happens && (due.empty() || random.below(2) == 0)) {
    const auto function = std::move(const_cast<Happening&>(agenda_.top()).function);
    agenda_.pop();
    function();
  } else if (!due.empty()) {
    turn(*due[random.below(due.size())]);
  } else {
    if (!agenda_.empty()) next = std::min(next, agenda_.top().time);
    if (next == kNever) return false;
    now = std::max(now, next);
  }
  throw_if_broken();
  return true;
}

std::string Simulation::World::description() const {
  std::string text;
  for (const auto& process : processes) {
    const Process::State& state = *process->state_;
    if (!state.loop || state.exit_code) continue;
    text += fmt::format("{} on {} waits for:\n", state.name, state.machine.name);
    for (const LoopManager::Waiting& each : state.loop->waiting()) {
      text += fmt::format("  {}: {}{}\n", each.name, each.state,
                          each.pending_bytes == 0 ? "" : fmt::format(", {} bytes", each.pending_bytes));
    }
  }
  if (!log.empty()) text += "the last log lines:\n";
  for (const std::string& line : log) text += "  " + line + "\n";
  return text;
}

// --- a process ---

Process::State::State(Process& itself, Simulation::World& whole, Host& where, std::string called)
    : process(itself),
      world(whole),
      host(where),
      machine(*where.state_),
      name(std::move(called)),
      pid(whole.next_pid++),
      kernel(*this),
      log(*this, LogLevel::Debug) {}

void Process::State::write(const LogRecord& record) noexcept try {
  const CodeOfSimulator here;
  std::string line = format_log_record(record, LogFormat::Text);
  // In place of the real time, which means nothing here.
  line =
      fmt::format("{} {}: {}", time_text(world.now), name, line.substr(std::min(line.find(' '), line.size() - 1) + 1));
  world.log.push_back(line);
  if (world.log.size() > world.options.log_lines) world.log.pop_front();
  lines.push_back(std::move(line));
  if (lines.size() > kProcessLines) lines.pop_front();
} catch (const std::exception&) {
}

void Process::State::begin(const Program& factory, LoopOptions options) {
  if (exit_code) return;  // killed before it began
  world.trace("begin", pid);
  auto made = std::make_unique<SimulatedPoller>(*this);
  poller = made.get();
  in_turn = true;
  try {
    const CodeOf its(this);
    loop = std::make_unique<LoopManager>(std::move(made), kernel, log, options);
    program = factory(process);
  } catch (...) {
    log.critical("simulation", "the program cannot start", {{"error", describe(std::current_exception())}});
    in_turn = false;
    return finish(1);
  }
  in_turn = false;
  if (killed_in_turn) return vanish(*killed_in_turn, false);
  const CodeOf its(this);
  loop->attach();
}

void Process::State::finish(int code) {
  world.trace("finish", pid, code);
  world.program_runs = true;
  {
    const CodeOf its(this);
    program.reset();
    // What drains borrow of the program is gone, so this is no audit.
    if (loop && loop->counters().settled_twice != 0) world.broken(*this, "a promise was settled twice");
    loop.reset();
  }
  world.program_runs = false;
  for (const auto& [fd, object] : kernel.table) {
    if (fd < 3) continue;  // its standard streams
    world.broken(*this, "has left descriptor " + std::to_string(fd) + " open: " + object->describe());
  }
  exit_code = code;
  dead = true;
  kernel.close_all(false);
}

void Process::State::vanish(int code, bool silently) {
  const CodeOfSimulator here;
  if (exit_code) return;
  world.trace("vanish", pid, code);
  exit_code = code;
  dead = true;
  kernel.close_all(silently);
  program.reset();
  loop.reset();
}

void Process::State::signal(int number, pid_t sender) {
  const CodeOfSimulator here;
  if (exit_code) return;
  world.trace("signal", pid, number);
  if (number == SIGSTOP || number == SIGCONT) {
    stopped = number == SIGSTOP;
    return;
  }
  for (const auto& [_, object] : kernel.table) {
    auto* queue = dynamic_cast<SignalQueue*>(object.get());
    if (queue == nullptr || sigismember(&queue->signals, number) != 1) continue;
    for (const signalfd_siginfo& pending : queue->pending) {
      if (static_cast<int>(pending.ssi_signo) == number) return;  // the kernel keeps one of each
    }
    signalfd_siginfo info{};
    info.ssi_signo = static_cast<std::uint32_t>(number);
    info.ssi_pid = static_cast<std::uint32_t>(sender);
    queue->pending.push_back(info);
    return;
  }
  if (number == SIGCHLD || number == SIGPIPE || number == SIGWINCH) return;
  if (in_turn || waiting) {
    killed_in_turn = 128 + number;
  } else {
    vanish(128 + number, false);
  }
}

}  // namespace snowfox::simulation
