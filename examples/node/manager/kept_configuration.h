#pragma once

#include <optional>
#include <string>

#include <snowfox/context/yaml_reader.h>
#include <snowfox/core/io.h>
#include <snowfox/core/log.h>

#include "common/run_directory.h"

namespace snowfox::node {

/// What the configuration in force was read from, in the run directory: for a manager that is started again after
/// somebody has broken the files. Nobody but the manager's user may read it, who could read the files as well.
class KeptConfiguration {
 public:
  /// All must outlive it.
  KeptConfiguration(Io& io, Log& log, const RunDirectory& directory);

  /// In place of what was kept before. That it cannot be written is logged: the node does without.
  void keep(const YamlTexts& texts) noexcept;
  /// What was kept of the configuration at `path` since the system was booted.
  std::optional<YamlTexts> find(const std::string& path) const;

 private:
  Io& io_;
  Log& log_;
  std::string file_;
  std::string boot_id_;
};

}  // namespace snowfox::node
