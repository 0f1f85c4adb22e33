#pragma once

#include <functional>
#include <optional>

#include <snowfox/core/clock.h>
#include <snowfox/core/timer.h>
#include <snowfox/sources/process_identity.h>
#include <snowfox/sources/process_source.h>
#include <snowfox/sources/signal_source.h>

namespace snowfox {

/// Makes the process the parent of all its descendants whose own parents die, instead of init, and reaps those that
/// end: none of them becomes a zombie, and how they ended is told.
///
/// It takes SIGCHLD. Children that the program started itself stay their ProcessSource's to reap. The loop does not go
/// on for its sake alone.
class OrphanReaper {
 public:
  struct Orphan {
    std::optional<ProcessIdentity> process;  ///< nothing if it cannot be told; the pid is in `exit`
    ProcessExit exit;
  };
  using IsOurs = std::function<bool(pid_t pid)>;
  using Handler = std::function<void(const Orphan&)>;

  /// `is_ours` says whether a ProcessSource has the child. `loop` must outlive it. Throws std::system_error.
  OrphanReaper(LoopManager& loop, IsOurs is_ours, Handler on_orphan);
  ~OrphanReaper();
  OrphanReaper(const OrphanReaper&) = delete;
  OrphanReaper& operator=(const OrphanReaper&) = delete;

 private:
  struct LookAgain final : Timer {
    explicit LookAgain(OrphanReaper& whose) : reaper(whose) {}
    void expire() noexcept override;
    OrphanReaper& reaper;
  };
  void look();
  std::optional<Orphan> reap(pid_t pid);

  LoopManager& loop_;
  IsOurs is_ours_;
  Handler on_orphan_;
  LookAgain look_again_{*this};
  SignalSource children_;
};

}  // namespace snowfox
