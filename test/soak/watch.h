#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "load/latencies.h"

namespace snowfox::soak {

/// Looks at processes and latencies over time, and says what has drifted.
class Watch {
 public:
  struct Process {
    std::string name;
    pid_t pid;
  };

  explicit Watch(std::vector<Process> processes);

  /// Looks at the processes: some ten times a window, for what counts is the least of a window.
  void sample();
  /// Ends a window: `latencies` are those of one kind of request each, and begin anew. Returns a line about it.
  std::string end_window(const std::vector<Latencies*>& latencies);
  std::size_t windows() const noexcept { return windows_.size(); }

  /// What has grown from the first third, after a warm-up, to the last: memory by more than a tenth and 2 MiB,
  /// descriptors by more than two, a median latency fivefold, a 99th percentile tenfold. Nothing if there were too few
  /// windows to tell.
  std::vector<std::string> drifts() const;
  /// How each process was after the warm-up and at the end, a line each.
  std::string summary() const;

 private:
  struct Usage {
    std::size_t bytes = SIZE_MAX;
    std::size_t descriptors = SIZE_MAX;
  };
  struct Delay {
    double median;
    double percentile99;
  };
  struct Window {
    std::vector<Usage> usages;
    std::vector<Delay> delays;
  };
  /// The windows that are compared: [first, first + count) and the last `count`.
  struct Thirds {
    std::size_t first;
    std::size_t count;
  };

  Thirds thirds() const noexcept;
  Usage least(std::size_t process, std::size_t first, std::size_t count) const;
  Delay typical(std::size_t kind, std::size_t first, std::size_t count) const;

  std::vector<Process> processes_;
  std::vector<Usage> current_;
  std::vector<Window> windows_;
};

}  // namespace snowfox::soak
