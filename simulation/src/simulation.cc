#include <snowfox/simulation/simulation.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "world.h"

namespace snowfox::simulation {

Simulation::Simulation(SimulationOptions options) : world_(std::make_unique<World>(options)) {}
Simulation::~Simulation() = default;

Host& Simulation::add_host(std::string name) {
  const std::string ip = "10.0.0." + std::to_string(world_->hosts.size() + 1);
  world_->hosts.emplace_back(new Host, [](Host* host) { delete host; });
  Host& host = *world_->hosts.back();
  host.state_ = std::make_unique<Host::State>(host, *world_, std::move(name), ip);
  return host;
}

TimePoint Simulation::now() const noexcept { return world_->now; }
Random& Simulation::random() noexcept { return world_->random; }
std::uint64_t Simulation::seed() const noexcept { return world_->options.seed; }
void Simulation::after(Duration wait, std::function<void()> function) { world_->after(wait, std::move(function)); }
bool Simulation::step() { return world_->step(); }

bool Simulation::run_until(const std::function<bool()>& condition, Duration limit) {
  const TimePoint end = deadline_after(world_->now, limit);
  while (!condition()) {
    if (world_->now >= end || !world_->step()) return condition();
  }
  return true;
}

void Simulation::run_for(Duration time) {
  const TimePoint end = deadline_after(world_->now, time);
  bool over = false;
  world_->at(end, [&over] { over = true; });
  while (!over) world_->step();
}

void Simulation::set_faults(const Faults& faults) noexcept { world_->options.faults = faults; }
const Faults& Simulation::faults() const noexcept { return world_->options.faults; }

void Simulation::cut(const Host& one, const Host& other) {
  world_->cuts.insert(std::minmax<const Host::State*>(one.state_.get(), other.state_.get()));
}
void Simulation::heal(const Host& one, const Host& other) {
  world_->cuts.erase(std::minmax<const Host::State*>(one.state_.get(), other.state_.get()));
}

std::uint64_t Simulation::fired(FaultPoint point) const noexcept {
  return world_->fired[static_cast<std::size_t>(point)];
}
std::uint64_t Simulation::trace_hash() const noexcept { return world_->hash; }
std::uint64_t Simulation::steps() const noexcept { return world_->steps; }
std::string Simulation::description() const { return world_->description(); }

// --- a host ---

Host::Host() = default;
Host::~Host() = default;

const std::string& Host::name() const noexcept { return state_->name; }
const std::string& Host::ip() const noexcept { return state_->ip; }

Process& Host::start(std::string name, const Program& program, LoopOptions options) {
  return state_->world.start(*state_, std::move(name), program, options, 1, {}, {});
}

void Host::install(std::string file, Program program) {
  state_->programs.insert_or_assign(std::move(file), std::move(program));
}

void Host::write_file(const std::string& path, std::string_view content) {
  auto inode = state_->disk.find(path);
  if (!inode) inode = state_->disk.create(path);
  inode->truncate(0);
  inode->write(0, content);
  inode->sync();
  state_->disk.sync_directory(path.substr(0, path.rfind('/') + 1));
}

std::optional<std::string> Host::read_file(const std::string& path) const {
  const auto inode = state_->disk.find(path);
  return inode ? std::optional(inode->bytes()) : std::nullopt;
}

void Host::jump_clock(Duration by) noexcept { state_->clock_ahead += by; }

void Host::power_off() {
  for (const auto& process : state_->world.processes) {
    if (process->state_->machine.name == state_->name) process->state_->vanish(128 + SIGKILL, true);
  }
  state_->disk.lose_power(state_->world.random);
}

// --- a process ---

Process::Process() = default;
Process::~Process() = default;

LoopManager& Process::loop() noexcept { return *state_->loop; }
Io& Process::io() noexcept { return state_->kernel; }
Log& Process::log() noexcept { return state_->log; }
pid_t Process::pid() const noexcept { return state_->pid; }
Host& Process::host() noexcept { return state_->host; }
const std::vector<std::string>& Process::arguments() const noexcept { return state_->arguments; }

Descriptor Process::take_descriptor(int fd) {
  return state_->kernel.find(fd) == nullptr ? Descriptor() : Descriptor(state_->kernel, fd);
}

const std::string& Process::name() const noexcept { return state_->name; }
bool Process::running() const noexcept { return !state_->exit_code; }
std::optional<int> Process::exit_code() const noexcept { return state_->exit_code; }
void* Process::program_pointer() {
  if (!state_->program) throw std::logic_error(state_->name + " does not run any more");
  return state_->program.get();
}
std::size_t Process::open_descriptors() const noexcept { return state_->kernel.table.size(); }
void Process::limit_descriptors(std::size_t most) noexcept { state_->kernel.most_descriptors = most; }
void Process::set_faults(const Faults& faults) noexcept { state_->own_faults = faults; }
void Process::reset_faults() noexcept { state_->own_faults.reset(); }
void Process::signal(int signal) { state_->signal(signal, 0); }

bool Process::said(std::string_view text) const {
  return std::any_of(state_->lines.begin(), state_->lines.end(),
                     [text](const std::string& line) { return line.find(text) != std::string::npos; });
}

void Process::fail_system_call(std::uint64_t k) noexcept { state_->kernel.failing_call = state_->kernel.calls + k + 1; }
std::uint64_t Process::system_calls() const noexcept { return state_->kernel.calls; }
void Process::fail_allocation(std::uint64_t k) noexcept { state_->failing_allocation = state_->allocations + k + 1; }
std::uint64_t Process::allocations() const noexcept { return state_->allocations; }

bool detail::allocation_fails() noexcept {
  Process::State* process = CodeOf::current();
  if (process == nullptr) return false;
  ++process->allocations;
  return process->allocations == process->failing_allocation ||
         process->world.random.chance(process->faults().allocation);
}

}  // namespace snowfox::simulation
