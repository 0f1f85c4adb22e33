#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>

namespace snowfox {

/// How many descriptors the process has open; 0 if that cannot be told.
inline std::size_t descriptors_of(pid_t pid) {
  std::error_code error;
  const std::filesystem::directory_iterator all("/proc/" + std::to_string(pid) + "/fd", error);
  return error ? 0 : static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

/// A size that /proc/PID/status tells; 0 if there is none.
inline std::size_t status_bytes(pid_t pid, const std::string& name) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    std::size_t kilobytes = 0;
    if (word == name + ":" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}
/// How much memory the process holds.
inline std::size_t resident_bytes(pid_t pid) { return status_bytes(pid, "VmRSS"); }
/// How much it has ever held.
inline std::size_t peak_resident_bytes(pid_t pid) { return status_bytes(pid, "VmHWM"); }

}  // namespace snowfox
