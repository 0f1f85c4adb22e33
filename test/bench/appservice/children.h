#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace snowfox::appservice_bench {

constexpr std::size_t kMostServices = 100;

/// What a measurement's processes see of each other, in memory that they share.
struct Shared {
  // The services'.
  std::array<std::atomic<std::uint16_t>, kMostServices> ports{};
  std::atomic<bool> down{false};              ///< they answer 503
  std::atomic<std::uint64_t> arrivals{0};     ///< transactions that have come, whatever was answered
  std::atomic<std::int64_t> last_arrival{0};  ///< nanoseconds, see now_ns()
  // The daemon's.
  std::atomic<std::uint16_t> api_port{0};
  std::atomic<std::uint64_t> commits{0};
};

/// Memory that children made from now on have in common. Stays until the process ends.
Shared& share_memory();

/// The same clock in all processes.
std::int64_t now_ns() noexcept;

/// A process made by fork(), without exec: it calls a function and ends. So whoever makes one must not have threads.
/// It dies with its parent.
class Child {
 public:
  /// Runs `function` in it; an exception is told on stderr, and the exit code is 1.
  explicit Child(const std::function<void()>& function);
  /// Kills it if it has not ended.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  pid_t pid() const noexcept { return pid_; }
  /// Throws if it has ended.
  void check();
  /// Sends `signal`, if not zero, and waits. Throws if it does not end with 0.
  void end(int signal = SIGTERM);

 private:
  pid_t pid_;
};

/// Calls `function` in a process of its own, whose memory and threads are gone afterwards; gives what it returns.
std::vector<double> in_child(const std::function<std::vector<double>()>& function);

/// Looks every millisecond until `condition` holds. Throws when `child` ends, or after `seconds`.
void wait_for(Child& child, const std::function<bool()>& condition, int seconds = 600);

}  // namespace snowfox::appservice_bench
