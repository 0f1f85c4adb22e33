#include "simulated_poller.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "world.h"

namespace snowfox::simulation {

SimulatedPoller::~SimulatedPoller() {
  process_.poller = nullptr;
  for (auto& [_, work] : std::exchange(jobs_, {})) run(*work);
  tell_finished();
}

void SimulatedPoller::run(Work& work) {
  {
    const CodeOf its(process_.dead ? nullptr : &process_);
    work.run();
  }
  const CodeOfSimulator here;
  finished_.push_back(&work);
}

void SimulatedPoller::tell_finished() {
  for (Work* work : std::exchange(finished_, {})) {
    const CodeOf its(process_.dead ? nullptr : &process_);
    work->done();
  }
}

void SimulatedPoller::watch(PollTarget& target) {
  const CodeOfSimulator here;
  auto& world = process_.world;
  if (!process_.dead) {
    const int fd = target.fd();
    const std::string what = "descriptor " + std::to_string(fd);
    if (process_.kernel.find(fd) == nullptr) world.broken(process_, what + " is watched and not open");
    if (watches(fd)) world.broken(process_, what + " is watched twice");
    if (const int error = process_.kernel.trouble(process_.faults().watch, {ENOMEM})) {
      throw std::system_error(error, std::system_category(), "watch " + what);
    }
  }
  watches_.emplace(++last_watch_, Watch{&target});
  watch_of_[&target] = last_watch_;
}

void SimulatedPoller::set_interest(PollTarget& target, bool readable, bool writable) {
  const CodeOfSimulator here;
  if (process_.dead) return;
  if (const int error = process_.kernel.trouble(process_.faults().watch, {ENOMEM})) {
    throw std::system_error(error, std::system_category(), "watch a descriptor");
  }
  watches_.at(watch_of_.at(&target)) = {&target, readable, writable};
}

void SimulatedPoller::unwatch(PollTarget& target) noexcept {
  const auto found = watch_of_.find(&target);
  if (found == watch_of_.end()) return;
  watches_.erase(found->second);
  watch_of_.erase(found);
}

bool SimulatedPoller::watches(int fd) const noexcept {
  return std::any_of(watches_.begin(), watches_.end(),
                     [fd](const auto& entry) { return entry.second.target->fd() == fd; });
}

TimePoint SimulatedPoller::now() const noexcept { return process_.world.now; }

// Each simulation begins on the same morning; what has jumped since is the host's.
std::chrono::system_clock::time_point SimulatedPoller::wall_now() const noexcept {
  constexpr std::chrono::sys_days kDay = std::chrono::year(2001) / std::chrono::January / 1;
  const Duration since = now().time_since_epoch() + process_.machine.clock_ahead;
  return kDay + std::chrono::floor<std::chrono::system_clock::duration>(since);
}

void SimulatedPoller::submit(Work& work) {
  const CodeOfSimulator here;
  auto& world = process_.world;
  const std::uint64_t number = ++last_job_;
  jobs_.emplace(number, &work);
  const Duration takes = world.random.between(std::chrono::microseconds(10), std::chrono::milliseconds(20));
  world.after(takes, [this, number, &world, pid = process_.pid] {
    // The poller is there as long as the process's loop is.
    const Process::State* process = world.process(pid);
    if (process == nullptr || process->poller != this) return;
    const auto job = jobs_.find(number);
    if (job == jobs_.end()) return;
    Work* begun = job->second;
    jobs_.erase(job);
    run(*begun);
  });
}

void SimulatedPoller::drive(Turn turn) {
  const CodeOfSimulator here;
  turn_ = turn == nullptr ? nullptr : std::make_shared<Turn>(std::move(turn));
  until_ = TimePoint::min();
}

SimulatedPoller::Readiness SimulatedPoller::readiness(const Watch& watch) const noexcept {
  const Object* object = process_.kernel.find(watch.target->fd());
  if (object == nullptr || (!watch.readable && !watch.writable)) return {false, false};
  if (object->failed()) return {true, true};
  return {watch.readable && object->readable(), watch.writable && object->writable()};
}

bool SimulatedPoller::due() const noexcept {
  if (woken_ || !finished_.empty() || until_ <= process_.world.now) return true;
  return std::any_of(watches_.begin(), watches_.end(), [this](const auto& entry) {
    const Readiness ready = readiness(entry.second);
    return ready.readable || ready.writable;
  });
}

void SimulatedPoller::tell() {
  auto& world = process_.world;
  woken_ = false;
  tell_finished();

  std::vector<std::pair<std::uint64_t, Readiness>> told;
  for (const auto& [number, watch] : watches_) {
    Readiness ready = readiness(watch);
    if (world.random.chance(process_.faults().false_readiness)) {
      ready = {ready.readable || watch.readable, ready.writable || watch.writable};
    }
    if (ready.readable || ready.writable) told.emplace_back(number, ready);
  }
  // In any order, and perhaps not all at once: what is left is ready the next time, too.
  for (std::size_t i = told.size(); i > 1; --i) std::swap(told[i - 1], told[world.random.below(i)]);
  if (told.size() > 1 && world.random.below(4) == 0) told.resize(1 + world.random.below(told.size()));
  for (const auto& [number, ready] : told) {
    const auto found = watches_.find(number);
    if (found == watches_.end()) continue;  // those told before have ended this one
    world.trace("tell", process_.pid * 1000 + found->second.target->fd(),
                (ready.readable ? 1 : 0) + (ready.writable ? 2 : 0));
    const CodeOf its(&process_);
    found->second.target->on_poll(ready.readable, ready.writable);
  }
}

void SimulatedPoller::turn() {
  tell();
  // The turn may end the driving.
  if (const std::shared_ptr<Turn> turn = turn_) {
    const CodeOf its(&process_);
    until_ = (*turn)();
  }
}

void SimulatedPoller::wait(TimePoint until) {
  const CodeOfSimulator here;
  auto& world = process_.world;
  until_ = until;
  process_.waiting = true;
  if (!due() && world.random.chance(process_.faults().early_wake)) woken_ = true;
  while (!due()) {
    if (world.step(&process_)) continue;
    process_.waiting = false;
    throw std::logic_error("simulation: this wait would never end");
  }
  process_.waiting = false;
  tell();
}

}  // namespace snowfox::simulation
