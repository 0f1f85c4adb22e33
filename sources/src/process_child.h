#pragma once

#include <sys/types.h>

#include <utility>
#include <vector>

#include <snowfox/sources/process_options.h>

namespace snowfox {

/// What a child was doing when it failed, and errno, as it tells its parent.
struct ChildFailure {
  enum class Step : int {
    ProcessGroup,
    Descriptors,
    Groups,
    Group,
    User,
    NoNewPrivileges,
    ParentDeathSignal,
    WorkingDirectory,
    DescriptorLimit,
    Execute
  };
  Step step;
  int error;
};

/// All that a child needs, made before the fork: between fork and exec another thread's lock may never be released, so
/// nothing there may allocate.
struct ChildPlan {
  const ProcessOptions& options;
  pid_t parent;
  std::vector<const char*> arguments;  ///< ends with null, as do the next two
  std::vector<const char*> environment;
  std::vector<const char*> candidates;              ///< the files to try
  std::vector<std::pair<int, int>> descriptors;     ///< from, to; each `from` is above every `to`
  std::vector<std::pair<unsigned, unsigned>> gaps;  ///< ranges to close, first and last
  unsigned descriptor_limit;                        ///< no descriptor is above, where close_range() does not exist
  bool set_groups;
  std::vector<gid_t> groups;
  int gate;  ///< a byte read from it: go on; its end: do not. -1: nobody is waited for
};

/// What the child does after the fork, with all signals blocked. Returns only if it fails.
ChildFailure run_child(const ChildPlan& plan) noexcept;

}  // namespace snowfox
