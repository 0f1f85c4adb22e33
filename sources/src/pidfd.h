#pragma once

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

namespace snowfox {

// The C library of 2022 declares these two without extern "C", older ones not at all.

/// A descriptor that names the process `pid` and no other; negative, with errno, on failure.
inline int open_pidfd(pid_t pid) noexcept { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

/// 0, or -1 with errno.
inline int signal_pidfd(int pidfd, int signal) noexcept {
  return static_cast<int>(syscall(SYS_pidfd_send_signal, pidfd, signal, nullptr, 0));
}

}  // namespace snowfox
