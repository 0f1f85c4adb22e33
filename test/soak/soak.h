#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <snowfox/core/address.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/task.h>
#include <snowfox/sources/process_source.h>

#include "load/node_load.h"
#include "soak/activity.h"
#include "soak/echo_activity.h"
#include "soak/local_activity.h"
#include "soak/reload_activity.h"
#include "soak/watch.h"
#include "support/temporary_directory.h"

namespace snowfox::soak {

/// All activities at once, against a node and an echo server of their own, for a time; and what came of it.
class Soak {
 public:
  /// `programs` is the directory of the servers' programs. Starts them and returns when they are ready; throws
  /// std::runtime_error if they are not. `loop` must outlive it and is stopped when all is over.
  Soak(LoopManager& loop, const std::string& programs, std::chrono::seconds duration);
  ~Soak();

  /// Ends it early.
  void finish() noexcept { finishing_ = true; }
  /// What was done, what has drifted, what went wrong. True if nothing has.
  bool report();

 private:
  /// A server, and whether it is to end.
  struct Server {
    std::string name;
    std::string log;
    std::optional<ProcessSource> process;
    bool may_end = false;
  };

  std::unique_ptr<Server> start(const std::string& program, const std::vector<std::string>& arguments,
                                const std::string& ready);
  void configure(int number, bool bad) const;
  std::vector<Watch::Process> processes() const;
  Task<> live();
  Task<> watch_over_windows();
  Task<> end_all();
  bool done() const noexcept;

  LoopManager& loop_;
  std::string programs_;
  std::chrono::seconds duration_;
  TemporaryDirectory directory_;
  Tally tally_;
  std::unique_ptr<Server> node_;
  std::unique_ptr<Server> echo_;
  Address echo_address_;
  std::vector<std::size_t> descriptors_before_;
  std::optional<Watch> watch_;
  std::optional<node::NodeLoad> node_load_;
  std::optional<ReloadActivity> reloads_;
  std::optional<EchoActivity> echoes_;
  std::optional<LocalActivity> local_;
  TimePoint began_{};
  Promise<void> living_;
  bool finishing_ = false;
};

}  // namespace snowfox::soak
