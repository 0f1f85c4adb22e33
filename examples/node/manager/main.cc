// snow-fox-manager: the part of a node that knows its configuration and serves its clients; started by snow-fox-daemon.
#include <sys/prctl.h>
#include <fmt/format.h>

#include <cstdlib>
#include <exception>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <snowfox/context/inherited_listeners.h>
#include <snowfox/core/loop_manager.h>

#include "common/child_process.h"
#include "common/command_line.h"
#include "common/descriptor_limit.h"
#include "manager/manager.h"

namespace {

/// What a service manager has passed to the daemon, and that to us.
snowfox::InheritedListeners take_inherited() {
  const char* variable = std::getenv(snowfox::node::kInheritedVariable);
  std::vector<std::string> names;
  std::istringstream all(variable == nullptr ? "" : variable);
  for (std::string name; std::getline(all, name, ':');) names.push_back(name);
  ::unsetenv(snowfox::node::kInheritedVariable);
  return snowfox::InheritedListeners::from_descriptors(snowfox::node::kFirstInheritedDescriptor, names);
}

}  // namespace

int main(int argc, char** argv) try {
  using namespace snowfox;
  CLI::App app(
      "The part of a SnowFox node that knows its configuration and serves its clients.\n"
      "Started by snow-fox-daemon, not by hand.",
      "snow-fox-manager");
  std::string run_directory;
  node::ManagerOptions options;
  node::add_run_directory(app, run_directory);
  app.add_option("--config", options.configuration, "The configuration: a YAML file, or a directory of them")
      ->required()
      ->type_name("PATH");
  node::add_log_options(app, options.log);
  if (const auto done = node::parse_command_line(app, argc, argv)) return *done;

  // It executes nothing; should somebody make it do so, no set-user-id program gives them more.
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  node::raise_descriptor_limit();
  const node::RunDirectory directory(run_directory);
  DescriptorLogSink sink(2, options.log.format.value_or(LogFormat::Text));
  Log log(sink, options.log.level.value_or(LogLevel::Info));
  LoopOptions loop_options;
  // A client that does not read must not hold up the end for long.
  loop_options.flush_timeout = std::chrono::seconds(1);
  LoopManager loop(std::make_unique<UvPoller>(), Io::system(), log, loop_options);
  node::DaemonsSignals signals(loop, "manager");
  node::Manager manager(loop, sink, directory, node::take_listener(), options, take_inherited());
  return loop.run();
} catch (const std::exception& error) {
  fmt::print(stderr, "snow-fox-manager: {}\n", error.what());
  return EXIT_FAILURE;
}
