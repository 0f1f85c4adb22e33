#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include <snowfox/core/io.h>

namespace snowfox {

/// Names a process for as long as its system runs: also when its pid has come to be another's.
struct ProcessIdentity {
  pid_t pid = 0;
  std::uint64_t start_ticks = 0;  ///< when it was started, as the kernel counts since the boot (proc(5))

  friend bool operator==(const ProcessIdentity&, const ProcessIdentity&) = default;
};

/// Who has `pid` now, be it one that has ended and was not waited for; nothing if nobody has, or if it cannot be told.
std::optional<ProcessIdentity> identify_process(Io& io, pid_t pid) noexcept;

/// Kills what is left of the process group that `leader`, which must have ended, has led. As long as anybody is in a
/// group the system gives its number to no other process: so if another process has the number, nobody is left.
void kill_left_group(Io& io, const ProcessIdentity& leader) noexcept;

}  // namespace snowfox
