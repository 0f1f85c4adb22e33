#include "terminal_mode.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <system_error>

namespace snowfox {
namespace {

/// What the signal handlers use. It is never destroyed: one may still be running on another thread.
struct Shared {
  int terminal = -1;
  int wake = -1;
  termios original{};
  std::atomic<bool> editing{false};
  std::atomic<bool> resized{false};
  std::atomic<bool> continued{false};
};
Shared shared;

struct Handled {
  int signal;
  struct sigaction before;
  bool taken;
};
std::array<Handled, 3> handled = {{{SIGWINCH, {}, false}, {SIGCONT, {}, false}, {SIGTSTP, {}, false}}};

void restore() noexcept {
  if (shared.editing.exchange(false)) tcsetattr(shared.terminal, TCSANOW, &shared.original);
}

/// Stops as without a handler, with the terminal as it was found.
void stop() noexcept {
  if (shared.editing) tcsetattr(shared.terminal, TCSANOW, &shared.original);
  struct sigaction by_default {};
  struct sigaction ours {};
  by_default.sa_handler = SIG_DFL;
  sigaction(SIGTSTP, &by_default, &ours);
  sigset_t stopping;
  sigset_t before;
  sigemptyset(&stopping);
  sigaddset(&stopping, SIGTSTP);
  raise(SIGTSTP);
  pthread_sigmask(SIG_UNBLOCK, &stopping, &before);  // stops here, until SIGCONT
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  sigaction(SIGTSTP, &ours, nullptr);
}

void on_signal(int signal) {
  const int error = errno;
  if (signal == SIGTSTP) {
    stop();
  } else {
    (signal == SIGWINCH ? shared.resized : shared.continued) = true;
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(shared.wake, &one, sizeof one);
  }
  errno = error;
}

}  // namespace

TerminalMode::TerminalMode(int terminal) : wake_(Io::system(), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_ || tcgetattr(terminal, &shared.original) != 0) {
    throw std::system_error(errno, std::system_category(), "use a terminal");
  }
  shared.terminal = terminal;
  shared.wake = wake_.get();
  shared.resized = shared.continued = false;
  static const bool registered = std::atexit(restore) == 0;
  static_cast<void>(registered);

  for (Handled& each : handled) {
    sigaction(each.signal, nullptr, &each.before);
    // A shell without job control has us ignore SIGTSTP, and nobody would continue us.
    each.taken = each.signal != SIGTSTP || each.before.sa_handler != SIG_IGN;
    if (!each.taken) continue;
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    sigaction(each.signal, &action, nullptr);
  }
}

TerminalMode::~TerminalMode() {
  for (const Handled& each : handled) {
    if (each.taken) sigaction(each.signal, &each.before, nullptr);
  }
  shared.editing = false;
  tcsetattr(shared.terminal, TCSADRAIN, &shared.original);
  shared.wake = -1;
}

const termios& TerminalMode::original() const noexcept { return shared.original; }
void TerminalMode::set_editing(bool editing) noexcept { shared.editing = editing; }
int TerminalMode::event_fd() const noexcept { return wake_.get(); }

TerminalMode::Changes TerminalMode::take_changes() noexcept {
  std::uint64_t ignored = 0;
  [[maybe_unused]] const ssize_t size = read(wake_.get(), &ignored, sizeof ignored);
  return {shared.resized.exchange(false), shared.continued.exchange(false)};
}

}  // namespace snowfox
