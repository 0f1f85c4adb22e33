#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include <snowfox/core/io.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>
#include <snowfox/sources/adopted_process_source.h>
#include <snowfox/sources/process_source.h>

#include "common/run_directory.h"
#include "protocol/daemon_spawner.pb.h"
#include "protocol/manager_spawner.pb.h"
#include "spawner/process_records.h"

namespace snowfox::node {

/// The processes of services: one for each that runs, and those that have ended and of which nobody has taken notice.
///
/// They live longer than the spawner, if that dies or ends without having been told to end them: whoever comes after it
/// takes them up again. So each is written down before it executes its program, and its end before anybody is told.
class Processes {
 public:
  using Process = manager_spawner::Process;
  /// A process has ended: `exit` is set. It is remembered until acknowledge().
  using OnExit = std::function<void(const Process&)>;

  static constexpr std::size_t kMost = 10'000;

  /// Takes up what a former spawner has started in `directory`. Those that are started may have `descriptor_limit`
  /// descriptors, if not as many as the spawner. `loop` must outlive it.
  Processes(LoopManager& loop, const RunDirectory& directory, std::optional<rlim_t> descriptor_limit, OnExit on_exit);
  ~Processes();
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  /// Starts one for a service that has none. `manager` is whose the pipe for its output must be. Throws RemoteError if
  /// the request makes no sense, std::system_error if the process cannot be started. `origin` is the request of a
  /// client's because of which, here and below: the log goes by it. It may be empty.
  Process start(const manager_spawner::StartProcess& request, uid_t manager, const CorrelationId& origin);
  /// Throws RemoteError (NOT_RUNNING) if there is no such process any more.
  void signal(const manager_spawner::StopProcess& request, const CorrelationId& origin);
  /// The end of this process is known: it is forgotten.
  void acknowledge(const Process& process) noexcept;
  /// The process has ended like this, as its new parent says.
  void orphan_exited(const daemon_spawner::OrphanExited& orphan);

  manager_spawner::ProcessListResponse list() const;
  enum class How : std::uint8_t { Look, Stop, Kill };
  /// Ends those that are not to be left when the node ends; how many there are still.
  std::size_t end_what_is_not_to_be_left(How how) noexcept;
  /// The node ends in order: nobody will ask how they ended.
  void forget_ended() noexcept;

 private:
  struct Entry {
    Process process;
    std::unique_ptr<ProcessSource> child;
    std::unique_ptr<AdoptedProcessSource> adopted;
    Descriptor output;      // so that what was written stays in the pipe until the manager has read it
    bool vanished = false;  // ended while there was no spawner; how, the daemon may know
  };
  struct Judgement final : Timer {
    explicit Judgement(Processes& whose) : processes(whose) {}
    void expire() noexcept override;
    Processes& processes;
  };

  void take_up(const Process& process);
  Descriptor open_output(const std::string& service, uid_t manager) const;
  void ended(const std::string& service, const ProcessExit& exit);
  Entry* running(const std::string& service, pid_t pid);

  LoopManager& loop_;
  RunDirectory directory_;
  std::optional<rlim_t> descriptor_limit_;
  OnExit on_exit_;
  ProcessRecords records_;
  std::map<std::string, Entry> entries_;  // by service
  Judgement judgement_{*this};
};

}  // namespace snowfox::node
