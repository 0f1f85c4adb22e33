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

}  // namespace snowfox
