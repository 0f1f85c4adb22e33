// snow-fox-spawner: the privileged part of a node; started by snow-fox-daemon.
#include <fmt/format.h>

#include <cstdlib>
#include <exception>
#include <memory>
#include <string>

#include <snowfox/core/loop_manager.h>

#include "common/child_process.h"
#include "common/command_line.h"
#include "common/descriptor_limit.h"
#include "spawner/capabilities.h"
#include "spawner/spawner.h"

int main(int argc, char** argv) try {
  using namespace snowfox;
  CLI::App app("The part of a SnowFox node that keeps its privileges. Started by snow-fox-daemon, not by hand.",
               "snow-fox-spawner");
  std::string run_directory;
  node::LogOptions log_options;
  node::add_run_directory(app, run_directory);
  node::add_log_options(app, log_options);
  if (const auto done = node::parse_command_line(app, argc, argv)) return *done;

  // A service takes two of them; what it may have itself is as it was.
  const rlim_t descriptor_limit = node::raise_descriptor_limit();
  const node::RunDirectory directory(run_directory);
  DescriptorLogSink sink(2, log_options.format.value_or(LogFormat::Text));
  Log log(sink, log_options.level.value_or(LogLevel::Info));
  LoopManager loop(std::make_unique<UvPoller>(), Io::system(), log);
  node::DaemonsSignals signals(loop, "spawner");
  node::Spawner spawner(loop, directory, node::take_listener(), node::keep_only_needed_capabilities, descriptor_limit);
  return loop.run();
} catch (const std::exception& error) {
  fmt::print(stderr, "snow-fox-spawner: {}\n", error.what());
  return EXIT_FAILURE;
}
