#include <snowfox/sources/orphan_reaper.h>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <exception>
#include <system_error>
#include <utility>

#include <snowfox/core/loop_manager.h>

namespace snowfox {
namespace {

/// Of so many at a time the rest has its turn after other events.
constexpr int kAtOnce = 64;
/// One of ours that is dead and not yet reaped hides the others; its own source is about to reap it.
constexpr Duration kLookAgain = std::chrono::milliseconds(5);

void set_subreaper(bool on) noexcept { ::prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0); }

}  // namespace

OrphanReaper::OrphanReaper(LoopManager& loop, IsOurs is_ours, Handler on_orphan)
    : loop_(loop),
      is_ours_(std::move(is_ours)),
      on_orphan_(std::move(on_orphan)),
      children_(loop, {SIGCHLD}, [this](int) { look(); }) {
  // Orphans that are there already, as after an exec, must not wait for the next one's end.
  children_.set_background(true);
  set_subreaper(true);
  loop_.arm(look_again_, Duration::zero());
}

OrphanReaper::~OrphanReaper() { set_subreaper(false); }

void OrphanReaper::LookAgain::expire() noexcept {
  try {
    reaper.look();
  } catch (const std::exception&) {
    reaper.loop_.arm(*this, kLookAgain);
  }
}

void OrphanReaper::look() {
  for (int count = 0; count < kAtOnce; ++count) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    if (is_ours_(info.si_pid)) return loop_.arm(look_again_, kLookAgain);
    if (const auto orphan = reap(info.si_pid)) on_orphan_(*orphan);
  }
  loop_.arm(look_again_, Duration::zero());
}

std::optional<OrphanReaper::Orphan> OrphanReaper::reap(pid_t pid) {
  Orphan orphan;
  orphan.process = identify_process(loop_.io(), pid);  // while it still has its number
  orphan.exit.pid = pid;
  siginfo_t info{};
  // The C library's waitid() has no place for the usage.
  while (::syscall(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG, &orphan.exit.usage) != 0) {
    if (errno != EINTR) return std::nullopt;
  }
  if (info.si_pid == 0) return std::nullopt;
  if (info.si_code == CLD_EXITED) {
    orphan.exit.code = info.si_status;
  } else {
    orphan.exit.signal = info.si_status;
    orphan.exit.core_dumped = info.si_code == CLD_DUMPED;
  }
  return orphan;
}

}  // namespace snowfox
