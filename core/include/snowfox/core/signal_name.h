#pragma once

#include <csignal>
#include <string>

namespace snowfox {

/// `SIGTERM`; `signal 35` for one without a name.
std::string signal_name(int signal);
/// Those of a set, with spaces between them.
std::string signal_names(const sigset_t& signals);

}  // namespace snowfox
