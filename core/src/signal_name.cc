#include <snowfox/core/signal_name.h>

#include <csignal>
#include <cstring>

namespace snowfox {

std::string signal_name(int signal) {
  if (const char* name = sigabbrev_np(signal)) return std::string("SIG") + name;
  return "signal " + std::to_string(signal);
}

std::string signal_names(const sigset_t& signals) {
  std::string all;
  for (int signal = 1; signal < NSIG; ++signal) {
    if (sigismember(&signals, signal) == 1) all += (all.empty() ? "" : " ") + signal_name(signal);
  }
  return all;
}

}  // namespace snowfox
