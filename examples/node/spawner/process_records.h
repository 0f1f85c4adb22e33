#pragma once

#include <string>
#include <vector>

#include <snowfox/core/io.h>
#include <snowfox/core/log.h>

#include "protocol/manager_spawner.pb.h"

namespace snowfox::node {

/// What the spawner writes down of each process it has started, for the spawner that comes after it: a file for each
/// service, replaced as a whole.
class ProcessRecords {
 public:
  using Process = manager_spawner::Process;

  /// In `directory`; if there is none, nothing can be written. Both others must outlive it.
  ProcessRecords(Io& io, Log& log, std::string directory);

  /// Throws std::system_error if it cannot be written.
  void write(const Process& process);
  void remove(const std::string& service) noexcept;
  /// All that were written since the system was booted. Others, and what is no record, are removed.
  std::vector<Process> read();

 private:
  std::string path_of(const std::string& service) const;

  Io& io_;
  Log& log_;
  std::string directory_;
  std::string boot_id_;
};

}  // namespace snowfox::node
