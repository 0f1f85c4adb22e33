#pragma once

#include <utility>

#include <snowfox/simulation/process.h>

namespace snowfox::simulation {

/// Says whose code runs on this thread while it lives: that of a process, whose allocations count and may fail; or, if
/// null, the simulator's own. An Io or a Poller is the simulator also where a process calls it.
class CodeOf {
 public:
  explicit CodeOf(Process::State* process) noexcept : before_(std::exchange(current_, process)) {}
  ~CodeOf() { current_ = before_; }
  CodeOf(const CodeOf&) = delete;
  CodeOf& operator=(const CodeOf&) = delete;

  static Process::State* current() noexcept { return current_; }

 private:
  inline static thread_local Process::State* current_ = nullptr;
  Process::State* before_;
};

/// The simulator's own.
class CodeOfSimulator : CodeOf {
 public:
  CodeOfSimulator() noexcept : CodeOf(nullptr) {}
};

}  // namespace snowfox::simulation
