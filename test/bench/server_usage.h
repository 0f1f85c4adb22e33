#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <fstream>
#include <stdexcept>
#include <string>

namespace snowfox::peers {

/// What another process, the server that is measured, has used so far.
class ServerUsage {
 public:
  /// Throws std::runtime_error if there is no such process.
  explicit ServerUsage(pid_t pid) : pid_(pid) {
    if (clock_getcpuclockid(pid, &clock_) != 0) throw std::runtime_error("there is no process " + std::to_string(pid));
  }

  /// Processor time of all its threads, in nanoseconds.
  std::uint64_t cpu_nanoseconds() const {
    timespec time{};
    if (clock_gettime(clock_, &time) != 0) throw std::runtime_error("the server is gone");
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(time.tv_nsec);
  }

  /// Memory of its own that it holds: what /proc/PID/status calls RssAnon.
  std::uint64_t own_memory_bytes() const {
    std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
    for (std::string word; status >> word;) {
      std::uint64_t kilobytes = 0;
      if (word == "RssAnon:" && status >> kilobytes) return kilobytes * 1024;
    }
    throw std::runtime_error("the server is gone");
  }

 private:
  pid_t pid_;
  clockid_t clock_{};
};

}  // namespace snowfox::peers
