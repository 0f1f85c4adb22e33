#pragma once

#include <sys/types.h>

#include <string>

#include <snowfox/core/io.h>
#include <snowfox/sources/process_options.h>

namespace snowfox {

/// A child that executes its program.
struct LaunchedProcess {
  pid_t pid = 0;
  Descriptor pidfd;
  Descriptor input;  ///< the parent's ends of its pipes
  Descriptor output;
  Descriptor error;
};

/// The file that `options` asks to execute, as it is named there.
const std::string& program_of(const ProcessOptions& options);

/// Starts a child and waits until it executes its program. Throws as the constructor of ProcessSource does.
LaunchedProcess launch_process(const ProcessOptions& options);

}  // namespace snowfox
