#include "spawner/processes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <snowfox/core/signal_name.h>

#include "common/message.h"
#include "common/service_id.h"

namespace snowfox::node {
namespace {

constexpr std::string_view kComponent = "spawner";
/// So long the daemon has to tell how processes have ended while there was no spawner.
constexpr Duration kWaitForDaemon = std::chrono::seconds(1);

manager_spawner::Exit to_message(const ProcessExit& exit) {
  manager_spawner::Exit message;
  if (exit.code) message.set_code(*exit.code);
  if (exit.signal) message.set_signal(*exit.signal);
  message.set_core_dumped(exit.core_dumped);
  return message;
}

CorrelationId origin_of(const manager_spawner::Process& process) {
  return CorrelationId::parse(process.origin()).value_or(CorrelationId());
}

[[noreturn]] void refuse(ErrorCode code, std::string text) { throw RemoteError(make_error(code, std::move(text))); }

}  // namespace

Processes::Processes(LoopManager& loop, const RunDirectory& directory, std::optional<rlim_t> descriptor_limit,
                     OnExit on_exit)
    : loop_(loop),
      directory_(directory),
      descriptor_limit_(descriptor_limit),
      on_exit_(std::move(on_exit)),
      records_(loop.io(), loop.log(), directory.spawner_state()) {
  for (const Process& process : records_.read()) take_up(process);
}

Processes::~Processes() = default;

void Processes::take_up(const Process& process) {
  Entry& entry = entries_[process.service()];
  entry.process = process;
  if (process.has_exit()) return;  // the manager has not taken notice yet
  try {
    entry.adopted = std::make_unique<AdoptedProcessSource>(
        loop_, ProcessIdentity{process.pid(), process.start_ticks()},
        [this, service = process.service()](const ProcessExit& exit) { ended(service, exit); }, /*end_group=*/true);
    loop_.log().info(kComponent, "process taken up", {{"service", process.service()}, {"pid", process.pid()}},
                     origin_of(process));
  } catch (const std::system_error& error) {
    if (error.code().value() != ESRCH) throw;
    kill_left_group(loop_.io(), {process.pid(), process.start_ticks()});
    entry.vanished = true;
    loop_.arm(judgement_, kWaitForDaemon);
  }
}

void Processes::Judgement::expire() noexcept {
  std::vector<std::pair<std::string, pid_t>> unknown;
  for (const auto& [service, entry] : processes.entries_) {
    if (entry.vanished) unknown.emplace_back(service, entry.process.pid());
  }
  for (const auto& process : unknown) {
    ProcessExit exit;
    exit.pid = process.second;
    log_if_possible([&] { processes.ended(process.first, exit); });
  }
}

// The pipe lies in a directory of the manager's, who may run as a user with fewer rights than we have: it must not lead
// us elsewhere.
Descriptor Processes::open_output(const std::string& service, uid_t manager) const {
  const std::string path = directory_.service_output(service);
  Descriptor pipe(loop_.io(), ::open(path.c_str(), O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!pipe || ::fstat(pipe.get(), &status) != 0) throw std::system_error(errno, std::system_category(), path);
  if (!S_ISFIFO(status.st_mode) || status.st_uid != manager) {
    throw std::system_error(EPERM, std::system_category(), path + " is no pipe of the manager's");
  }
  // What writes into it waits for whoever reads.
  if (::fcntl(pipe.get(), F_SETFL, 0) != 0) throw std::system_error(errno, std::system_category(), path);
  return pipe;
}

Processes::Process Processes::start(const manager_spawner::StartProcess& request, uid_t manager,
                                    const CorrelationId& origin) {
  const std::string& service = request.service();
  if (!is_service_id(service)) refuse(FAILED, "no id of a service");
  const auto found = entries_.find(service);
  if (found != entries_.end() && !found->second.process.has_exit()) {
    refuse(ALREADY_RUNNING,
           fmt::format("service {} has a process already, pid {}", service, found->second.process.pid()));
  }
  if (entries_.size() >= kMost) refuse(UNAVAILABLE, fmt::format("there are {} processes already", kMost));

  Entry entry;
  if (request.output()) entry.output = open_output(service, manager);
  ProcessOptions options;
  options.arguments.assign(request.command().begin(), request.command().end());
  options.inherit_environment = false;
  options.environment.assign(request.environment().begin(), request.environment().end());
  options.working_directory = request.working_directory().empty() ? "/" : request.working_directory();
  if (request.has_user()) options.user = request.user();
  if (request.has_group()) options.group = request.group();
  // Others than root have no groups to give.
  if (::geteuid() == 0) options.groups.emplace(request.groups().begin(), request.groups().end());
  options.no_new_privileges = request.no_new_privileges();
  options.output = entry.output ? ProcessStream::descriptor(entry.output.get()) : ProcessStream::null();
  options.error = ProcessStream::same_as_output();
  options.descriptor_limit = descriptor_limit_;
  options.process_group = ProcessGroup::NewSession;
  options.leave_running = true;
  options.end_group = true;

  Process& process = entry.process;
  process.set_service(service);
  process.set_fingerprint(request.fingerprint());
  process.set_stop_signal(request.stop_signal());
  process.set_output(request.output());
  process.set_leave(request.leave());
  process.set_origin(origin.str());
  options.before_execution = [&](pid_t pid) {
    process.set_pid(pid);
    if (const auto identity = identify_process(loop_.io(), pid)) process.set_start_ticks(identity->start_ticks);
    records_.write(process);
  };
  try {
    entry.child = std::make_unique<ProcessSource>(loop_, options,
                                                  [this, service](const ProcessExit& exit) { ended(service, exit); });
  } catch (...) {
    if (process.pid() != 0) records_.remove(service);
    throw;
  }
  loop_.log().info(kComponent, "process started", {{"service", service}, {"pid", process.pid()}}, origin);
  return entries_.insert_or_assign(service, std::move(entry)).first->second.process;
}

Processes::Entry* Processes::running(const std::string& service, pid_t pid) {
  const auto found = entries_.find(service);
  if (found == entries_.end() || found->second.process.has_exit() || found->second.process.pid() != pid) return nullptr;
  return &found->second;
}

void Processes::signal(const manager_spawner::StopProcess& request, const CorrelationId& origin) {
  Entry* entry = running(request.service(), request.pid());
  bool sent = false;
  if (entry != nullptr && entry->child) sent = entry->child->signal_group(request.signal());
  if (entry != nullptr && entry->adopted) sent = entry->adopted->signal_group(request.signal());
  if (!sent) {
    refuse(NOT_RUNNING, fmt::format("process {} of service {} has ended", request.pid(), request.service()));
  }
  log_if_possible([&] { entry->process.set_origin(origin.str()); });
  loop_.log().debug(kComponent, "process signalled",
                    {{"service", request.service()}, {"pid", request.pid()}, {"signal", signal_name(request.signal())}},
                    origin);
}

void Processes::ended(const std::string& service, const ProcessExit& exit) {
  Entry* entry = running(service, exit.pid);
  if (entry == nullptr) return;
  *entry->process.mutable_exit() = to_message(exit);
  entry->vanished = false;
  const Process process = entry->process;
  loop_.log().info(kComponent, "process ended", {{"service", service}, {"pid", exit.pid}, {"how", exit.str()}},
                   origin_of(process));
  try {
    records_.write(process);
  } catch (const std::system_error& error) {
    loop_.log().error(kComponent, "how a process ended is not written down",
                      {{"service", service}, {"reason", error.what()}}, origin_of(process));
  }
  on_exit_(process);
}

void Processes::acknowledge(const Process& process) noexcept {
  const auto found = entries_.find(process.service());
  if (found == entries_.end()) return;
  const Process& known = found->second.process;
  if (!known.has_exit() || known.pid() != process.pid() || known.start_ticks() != process.start_ticks()) return;
  records_.remove(process.service());
  entries_.erase(found);
}

void Processes::orphan_exited(const daemon_spawner::OrphanExited& orphan) {
  ProcessExit exit;
  exit.pid = orphan.pid();
  if (orphan.has_code()) exit.code = orphan.code();
  if (orphan.has_signal()) exit.signal = orphan.signal();
  exit.core_dumped = orphan.core_dumped();
  for (auto& [service, entry] : entries_) {
    if (entry.process.pid() != orphan.pid() || entry.process.start_ticks() != orphan.start_ticks()) continue;
    if (entry.adopted) return entry.adopted->told(exit);
    if (entry.vanished) return ended(std::string(service), exit);
  }
}

manager_spawner::ProcessListResponse Processes::list() const {
  manager_spawner::ProcessListResponse all;
  for (const auto& [service, entry] : entries_) {
    auto& process = *all.add_processes();
    process = entry.process;
    process.set_vanished(entry.vanished);
  }
  return all;
}

std::size_t Processes::end_what_is_not_to_be_left(How how) noexcept {
  std::size_t count = 0;
  for (auto& [service, entry] : entries_) {
    if (entry.process.has_exit() || entry.process.leave() || entry.vanished) continue;
    ++count;
    if (how == How::Look) continue;
    const int signal = how == How::Kill ? SIGKILL : entry.process.stop_signal();
    try {
      if (entry.child) entry.child->signal_group(signal);
      if (entry.adopted) entry.adopted->signal_group(signal);
    } catch (const std::exception&) {
      // Only what runs as somebody else than root could become; it is told of when the time is over.
    }
  }
  return count;
}

void Processes::forget_ended() noexcept {
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    if (!entry->second.process.has_exit() && !entry->second.vanished) {
      ++entry;
      continue;
    }
    records_.remove(entry->first);
    entry = entries_.erase(entry);
  }
}

}  // namespace snowfox::node
