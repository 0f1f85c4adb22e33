#include "client/crash_guard.h"

#include <termios.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstddef>

namespace snowfox::node {
namespace {

struct Before {
  int signal;
  struct sigaction action;
};
std::array<Before, 5> before{{{SIGSEGV, {}}, {SIGBUS, {}}, {SIGFPE, {}}, {SIGILL, {}}, {SIGABRT, {}}}};
termios found{};
/// A stack that has overflown is none to handle that on.
std::array<std::byte, std::size_t{64} << 10> spare_stack;

void on_crash(int signal) {
  tcsetattr(STDIN_FILENO, TCSANOW, &found);
  for (const Before& each : before) {
    if (each.signal == signal) sigaction(signal, &each.action, nullptr);
  }
  raise(signal);  // when this returns; what has done it itself does it once more
}

}  // namespace

void restore_terminal_after_crash() {
  if (tcgetattr(STDIN_FILENO, &found) != 0) return;
  stack_t current{};
  if (sigaltstack(nullptr, &current) == 0 && (current.ss_flags & SS_DISABLE) != 0) {
    stack_t spare{};
    spare.ss_sp = spare_stack.data();
    spare.ss_size = spare_stack.size();
    sigaltstack(&spare, nullptr);
  }
  for (Before& each : before) {
    struct sigaction action {};
    action.sa_handler = on_crash;
    action.sa_flags = SA_ONSTACK;
    sigaction(each.signal, &action, &each.action);
  }
}

}  // namespace snowfox::node
