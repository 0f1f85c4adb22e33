#include "manager/service.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <snowfox/core/error.h>
#include <snowfox/core/signal_name.h>
#include <snowfox/sources/process_source.h>

#include "common/duration.h"
#include "common/message.h"
#include "common/status.h"

namespace snowfox::node {
namespace {

constexpr std::string_view kComponent = "service";
/// A process that was killed and does not end is in the kernel's hands; killed again it is so often.
constexpr Duration kKillAgain = std::chrono::seconds(5);

/// What the wall's clock, which shows `now`, showed so long ago.
std::string utc(std::chrono::system_clock::time_point now, Duration ago) {
  const auto time = now - std::chrono::duration_cast<std::chrono::microseconds>(ago);
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

/// The loop's clock counts from the boot: it goes on from one process to the next.
std::uint64_t since_boot(TimePoint time) { return static_cast<std::uint64_t>(time.time_since_epoch().count()); }
TimePoint at(std::uint64_t since_boot_ns) { return TimePoint(Duration(static_cast<std::int64_t>(since_boot_ns))); }

std::string to_text(const manager_spawner::Exit& exit) {
  ProcessExit how;
  if (exit.has_code()) how.code = exit.code();
  if (exit.has_signal()) how.signal = exit.signal();
  how.core_dumped = exit.core_dumped();
  return how.code || how.signal ? how.str() : "ended, nobody knows how";
}

bool is_same(const manager_spawner::Process& one, const manager_spawner::Process& other) {
  return one.pid() == other.pid() && one.start_ticks() == other.start_ticks();
}

Backoff backoff_of(const ServiceConfiguration& configuration) {
  return {configuration.backoff, configuration.backoff_limit, configuration.stable_after};
}

}  // namespace

Service::Service(LoopManager& loop, SpawnerLink& spawner, ServiceConfiguration configuration, std::string pipe,
                 OnChanged on_changed)
    : loop_(loop),
      spawner_(spawner),
      configuration_(std::move(configuration)),
      pipe_(std::move(pipe)),
      on_changed_(std::move(on_changed)),
      backoff_(backoff_of(configuration_)),
      since_(loop.now()) {}

Service::~Service() = default;

// --- what is wanted ---

Promise<void> Service::start(const CorrelationId& origin) {
  wanted_ = true;
  start_anew_ = false;
  if (state_ == public_api::Service::Running) {
    loop_.log().debug(kComponent, "runs already", {{"service", id()}, {"pid", process_.pid()}}, origin);
    return resolved(loop_);
  }
  begin_anew_for(origin);
  switch (state_) {
    case public_api::Service::Stopping: start_anew_ = true; break;
    case public_api::Service::Starting: break;
    default: backoff_.reset(); launch();
  }
  on_changed_(*this);
  return wait_for(Until::Up);
}

Promise<void> Service::stop(const CorrelationId& origin) { return stop_within(configuration_.stop_timeout, origin); }

Promise<void> Service::stop_within(Duration patience, const CorrelationId& origin) {
  begin_anew_for(origin);
  wanted_ = false;
  start_anew_ = false;
  patience_ = std::min<Duration>(patience, configuration_.stop_timeout);
  settle(Until::Up, std::make_exception_ptr(std::runtime_error("service " + id() + " was stopped meanwhile")));
  if (has_process() || state_ == public_api::Service::Starting) {
    begin_to_stop();
    return wait_for(Until::Down);
  }
  alarm_.disarm();
  enter(public_api::Service::Stopped);
  return resolved(loop_);
}

Promise<void> Service::restart(const CorrelationId& origin) {
  wanted_ = true;
  backoff_.reset();
  patience_ = configuration_.stop_timeout;
  if (!has_process()) return start(origin);
  begin_anew_for(origin);
  start_anew_ = true;
  begin_to_stop();
  return wait_for(Until::Up);
}

void Service::configure(ServiceConfiguration configuration, const CorrelationId& origin) noexcept {
  const bool changed = configuration.fingerprint != configuration_.fingerprint;
  const bool other_output = !(configuration.output == configuration_.output);
  std::swap(configuration_, configuration);
  const std::uint32_t failures = backoff_.failures();
  backoff_ = backoff_of(configuration_);
  backoff_.resume(failures);
  log_if_possible([&] {
    if (output_ && other_output) output_->configure(configuration_.output);
    if (!changed) return;
    loop_.log().info(kComponent, "definition changed", {{"service", id()}}, origin);
    if (!wanted_) return on_changed_(*this);
    if (has_process() || state_ == public_api::Service::Starting) return restart(origin).detach();
    start(origin).otherwise([](const std::exception_ptr&) {}).detach();
  });
}

// --- what happens ---

void Service::begin_anew_for(const CorrelationId& origin) {
  if (!origin_.empty() && origin_ != origin &&
      (state_ == public_api::Service::Starting || state_ == public_api::Service::Stopping)) {
    // Whoever follows either finds the other.
    loop_.log().debug(kComponent, "goes on for another request", {{"service", id()}, {"request", origin.text()}},
                      origin_);
    loop_.log().debug(kComponent, "joins another request", {{"service", id()}, {"request", origin_.text()}}, origin);
  }
  origin_ = origin;
}

void Service::enter(State state, std::string reason) {
  if (state_ != state) since_ = loop_.now();
  const bool changed = state_ != state || reason_ != reason;
  state_ = state;
  reason_ = std::move(reason);
  if (changed) on_changed_(*this);
}

manager_spawner::StartProcess Service::request() const {
  manager_spawner::StartProcess request;
  request.set_service(id());
  request.set_fingerprint(configuration_.fingerprint);
  for (const std::string& argument : configuration_.command) request.add_command(argument);
  for (const auto& [name, value] : configuration_.environment) request.add_environment(name + "=" + value);
  request.set_working_directory(configuration_.working_directory);
  const ServiceUser& user = configuration_.user;
  if (user.user) request.set_user(*user.user);
  if (user.group) request.set_group(*user.group);
  for (const gid_t group : user.groups) request.add_groups(group);
  request.set_output(output_ != nullptr);
  request.set_no_new_privileges(configuration_.no_new_privileges);
  request.set_stop_signal(configuration_.stop_signal);
  request.set_leave(configuration_.on_shutdown == OnShutdown::Leave);
  return request;
}

void Service::launch() {
  alarm_.disarm();
  const std::uint64_t attempt = ++attempt_;
  enter(public_api::Service::Starting);
  if (!spawner_.is_open()) return;  // take_up() comes
  try {
    if (!output_ && configuration_.output.kind != OutputSettings::Kind::Discard) {
      output_ = std::make_unique<ServiceOutput>(loop_, id(), pipe_, configuration_.output);
    }
  } catch (const std::exception& error) {
    return launch_failed(error.what());
  }
  spawner_.start_process(request(), origin_)
      .then([this, attempt](const Process& process) {
        if (attempt == attempt_) launched(process);
      })
      .otherwise([this, attempt](const std::exception_ptr& error) {
        // That the spawner has died meanwhile says nothing: it may have started the process before.
        if (attempt != attempt_ || !spawner_.is_open()) return;
        const Error known = to_error(error);
        if (known.code() == TIMED_OUT || known.code() == ALREADY_RUNNING || known.code() == WRONG_PAYLOAD) {
          loop_.log().debug(kComponent, "may have been started or not: asking what runs",
                            {{"service", id()}, {"reason", known.text()}}, origin_);
          return spawner_.doubt();
        }
        launch_failed(known.text());
      })
      .detach();
}

void Service::launched(const Process& process) {
  process_ = process;
  running_since_ = loop_.now();
  killed_ = false;
  loop_.log().info(kComponent, "running", {{"service", id()}, {"pid", process.pid()}}, origin_);
  if (!wanted_ || start_anew_) return begin_to_stop();
  enter(public_api::Service::Running);
  settle(Until::Up);
}

void Service::launch_failed(const std::string& reason) {
  loop_.log().error(kComponent, "cannot be started", {{"service", id()}, {"reason", reason}}, origin_);
  last_exit_ = reason;
  settle(Until::Up, std::make_exception_ptr(std::runtime_error("service " + id() + ": " + reason)));
  if (!wanted_) {
    enter(public_api::Service::Stopped);
    return settle(Until::Down);
  }
  running_since_ = loop_.now();
  failed(reason);
}

void Service::begin_to_stop() {
  if (state_ == public_api::Service::Stopping && alarm_.armed()) {
    // Whoever is in more of a hurry than the one before.
    if (!killed_) loop_.arm(alarm_, std::min(alarm_.deadline(), deadline_after(loop_.now(), patience_)));
    return;
  }
  enter(public_api::Service::Stopping);
  killed_ = false;
  if (!has_process()) return;  // being started: launched() comes back here
  send_signal(configuration_.stop_signal);
  loop_.arm(alarm_, patience_);
}

void Service::send_signal(int signal) {
  manager_spawner::StopProcess request;
  request.set_service(id());
  request.set_pid(process_.pid());
  request.set_signal(signal);
  spawner_.stop_process(std::move(request), origin_)
      .otherwise([this, signal, origin = origin_](const std::exception_ptr& error) {
        // If it has ended, that is being told; if the spawner is gone, take_up() begins again.
        if (!spawner_.is_open() || to_error(error).code() == NOT_RUNNING) return;
        loop_.log().error(kComponent, "cannot be sent a signal",
                          {{"service", id()}, {"signal", signal_name(signal)}, {"reason", snowfox::describe(error)}},
                          origin);
      })
      .detach();
}

void Service::kill() {
  if (std::exchange(killed_, true)) {
    enter(public_api::Service::Stopping, "it was killed and does not end");
    settle(Until::Down, std::make_exception_ptr(std::runtime_error("service " + id() + " does not end")));
  } else {
    loop_.log().warning(kComponent, "killed: it did not end in time", {{"service", id()}, {"pid", process_.pid()}},
                        origin_);
  }
  send_signal(SIGKILL);
  loop_.arm(alarm_, kKillAgain);
}

void Service::Alarm::expire() noexcept {
  log_if_possible([this] { service.time_is_up(); });
}

void Service::time_is_up() {
  if (state_ == public_api::Service::Stopping && has_process()) return kill();
  if (state_ == public_api::Service::Waiting && wanted_) {
    ++restarts_;
    origin_ = {};
    launch();
  }
}

void Service::exited(const Process& process) {
  if (is_same(process, ended_)) return;  // told again, as it had not been acknowledged
  if (state_ == public_api::Service::Starting && !has_process()) {
    // It was started and has ended before the answer came, or in its place.
    process_ = process;
    running_since_ = loop_.now();
  }
  if (!is_same(process, process_)) return;
  ++attempt_;
  ended_.set_pid(process.pid());
  ended_.set_start_ticks(process.start_ticks());
  last_exit_ = to_text(process.exit());
  const bool orderly = state_ == public_api::Service::Stopping;
  loop_.log().write(orderly || process.exit().code() == 0 ? LogLevel::Info : LogLevel::Warning, kComponent, "ended",
                    {{"service", id()}, {"pid", process.pid()}, {"how", last_exit_}}, origin_);
  process_.Clear();
  alarm_.disarm();
  gone(process.exit().has_code() && process.exit().code() == 0);
}

// Its process is gone; what comes next.
void Service::gone(bool success) {
  killed_ = false;
  if (!wanted_) {
    enter(public_api::Service::Stopped);
    return settle(Until::Down);
  }
  if (std::exchange(start_anew_, false)) {
    settle(Until::Down);
    return launch();
  }
  settle(Until::Up, std::make_exception_ptr(std::runtime_error("service " + id() + " has ended: " + last_exit_)));
  if (!success) return failed(last_exit_);
  if (configuration_.restart == Restart::Always) return start_later();
  enter(public_api::Service::Finished);
}

void Service::failed(const std::string& reason) {
  if (configuration_.restart != Restart::Never) return start_later();
  enter(public_api::Service::Failed, reason);
}

void Service::start_later() {
  const Duration wait = backoff_.next(loop_.now() - running_since_);
  if (configuration_.restart_limit != 0 && backoff_.failures() > configuration_.restart_limit) {
    loop_.log().error(kComponent, "given up", {{"service", id()}, {"restarts", configuration_.restart_limit}}, origin_);
    return enter(public_api::Service::Failed,
                 fmt::format("given up after {} restarts in a row: {}", configuration_.restart_limit, last_exit_));
  }
  loop_.log().debug(kComponent, "will be started again", {{"service", id()}, {"in", node::to_text(wait)}}, origin_);
  loop_.arm(alarm_, wait);
  enter(public_api::Service::Waiting, fmt::format("{}; starts again in {}", last_exit_, node::to_text(wait)));
}

// --- the spawner was asked what there is ---

void Service::take_up(const Process* process) {
  ++attempt_;  // nothing is under way any more
  if (process != nullptr && process->has_exit()) {
    const bool news = has_process() ? is_same(*process, process_)
                                    : state_ == public_api::Service::Starting && !is_same(*process, ended_);
    if (news) return;  // exited() follows, for the same
    if (!has_process() && state_ == public_api::Service::Waiting && !is_same(*process, ended_)) {
      // A former manager had it started, and died before it could say so; exited() follows.
      ++restarts_;
      process_ = *process;
      process_.clear_exit();
      running_since_ = loop_.now();
      return;
    }
    process = nullptr;  // a former manager has dealt with it, and died before it could acknowledge it
  }
  if (process == nullptr) {
    if (!has_process()) {
      if (state_ == public_api::Service::Starting) return launch();
      if (state_ == public_api::Service::Stopping) return gone(true);
      if (state_ == public_api::Service::Waiting && !alarm_.armed()) return start_later();
      return;
    }
    // The spawner has forgotten it, and how it ended.
    Process lost = process_;
    lost.mutable_exit();
    return exited(lost);
  }
  if (!has_process() || !is_same(process_, *process)) {
    // Who was to start it again has done so, and died before it could say so.
    if (state_ == public_api::Service::Waiting) ++restarts_;
    process_ = *process;
    running_since_ = loop_.now();
    if (!process->vanished()) {
      loop_.log().info(kComponent, "taken up", {{"service", id()}, {"pid", process->pid()}}, origin_);
    }
  }
  if (process->vanished()) {
    if (state_ != public_api::Service::Stopping) {
      enter(public_api::Service::Unknown, "has ended while nobody watched; how is being asked");
    }
    return;
  }
  try {
    if (process->output() && !output_ && configuration_.output.kind != OutputSettings::Kind::Discard) {
      output_ = std::make_unique<ServiceOutput>(loop_, id(), pipe_, configuration_.output);
    }
  } catch (const std::exception& error) {
    loop_.log().error(kComponent, "its output cannot be read", {{"service", id()}, {"reason", error.what()}}, origin_);
  }
  if (process->fingerprint() != configuration_.fingerprint && wanted_) start_anew_ = true;
  if (!wanted_ || start_anew_) {
    alarm_.disarm();
    patience_ = configuration_.stop_timeout;
    return begin_to_stop();
  }
  enter(public_api::Service::Running);
  settle(Until::Up);
}

void Service::remove_pipe() noexcept {
  if (output_) output_->remove_pipe();
}

// --- who waits ---

Promise<void> Service::wait_for(Until until) {
  // Those who have given up are forgotten.
  std::erase_if(waiting_, [](const Waiting& one) { return !one.resolver.wanted(); });
  if (waiting_.size() >= kMostWaiting) {
    return rejected<void>(loop_, std::runtime_error("too many wait for service " + id()));
  }
  auto [promise, resolver] = make_promise<void>(loop_);
  waiting_.push_back({until, std::move(resolver)});
  return std::move(promise);
}

void Service::settle(Until until, const std::exception_ptr& error) {
  for (Waiting& one : waiting_) {
    if (one.until != until || !one.resolver.wanted()) continue;
    error ? one.resolver.reject(error) : one.resolver.resolve();
  }
  std::erase_if(waiting_, [](const Waiting& one) { return !one.resolver.wanted(); });
}

// --- what is told of it ---

Status Service::status() const {
  const bool there = spawner_.is_open();
  switch (state_) {
    case public_api::Service::Running:
      return there ? make_status(Status::Green, "running")
                   : make_status(Status::Yellow, "running, unless it has ended since the spawner died");
    case public_api::Service::Stopped: return make_status(Status::Green, "stopped");
    case public_api::Service::Finished: return make_status(Status::Green, "has done its work");
    case public_api::Service::Starting:
      return make_status(Status::Yellow, there ? "starting" : "starts when the spawner is there again");
    case public_api::Service::Stopping:
      return make_status(killed_ && !reason_.empty() ? Status::Red : Status::Yellow,
                         reason_.empty() ? "stopping" : reason_);
    case public_api::Service::Waiting: return make_status(Status::Yellow, reason_);
    case public_api::Service::Failed: return make_status(Status::Red, reason_);
    default: return make_status(Status::Yellow, reason_);
  }
}

public_api::Service Service::describe() const {
  public_api::Service service;
  service.set_id(id());
  service.set_version(configuration_.version);
  service.set_state(state_);
  *service.mutable_status() = status();
  service.set_wanted(wanted_);
  service.set_pid(state_ == public_api::Service::Unknown ? 0 : process_.pid());
  service.set_since(utc(loop_.poller().wall_now(), loop_.now() - since_));
  service.set_restarts(restarts_);
  service.set_last_exit(last_exit_);
  return service;
}

// --- from one manager to the next ---

void Service::save(manager_state::Service& state) const {
  state.set_id(id());
  state.set_wanted(wanted_);
  state.set_state(state_);
  state.set_reason(reason_);
  state.set_since_ns(since_boot(since_));
  state.set_running_since_ns(since_boot(running_since_));
  state.set_restarts(restarts_);
  state.set_failures(backoff_.failures());
  state.set_last_exit(last_exit_);
  *state.mutable_process() = process_;
  state.set_origin(origin_.str());
  *state.mutable_ended() = ended_;
}

void Service::restore(const manager_state::Service* state, const CorrelationId& origin) {
  if (state == nullptr) {
    origin_ = origin;
    wanted_ = configuration_.autostart;
    if (wanted_) state_ = public_api::Service::Starting;  // take_up() goes on
    return;
  }
  wanted_ = state->wanted();
  state_ = state->state();
  reason_ = state->reason();
  since_ = at(state->since_ns());
  restarts_ = state->restarts();
  backoff_.resume(state->failures());
  last_exit_ = state->last_exit();
  process_ = state->process();
  ended_ = state->ended();
  running_since_ = at(state->running_since_ns());
  origin_ = CorrelationId::parse(state->origin()).value_or(CorrelationId());
}

}  // namespace snowfox::node
