// snow-fox-daemon: starts the parts of a node, keeps them, and ends them in order.
#include <fmt/format.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <snowfox/context/inherited_listeners.h>
#include <snowfox/context/process.h>
#include <snowfox/sources/orphan_reaper.h>

#include "common/command_line.h"
#include "daemon/background.h"
#include "daemon/daemon.h"
#include "daemon/environment.h"
#include "daemon/node_directory.h"

namespace snowfox::node {
namespace {

struct CommandLine {
  std::string run_directory;
  std::string configuration;
  std::string user;
  std::string group;
  std::string pid_file;
  bool daemonise = false;
  DaemonOptions daemon;
};

std::string absolute(const std::string& path) {
  return path.empty() ? path : std::filesystem::absolute(path).lexically_normal().string();
}

std::optional<int> read_command_line(CommandLine& line, int argc, char** argv) {
  CLI::App app(
      "Runs a SnowFox node: starts its spawner and its manager, keeps them, and ends them in order.\n"
      "SIGTERM and SIGINT end the node, SIGHUP has it read its configuration again.",
      "snow-fox-daemon");
  add_run_directory(app, line.run_directory);
  app.add_option("--config", line.configuration, "The configuration: a YAML file, or a directory of them")
      ->required()
      ->type_name("PATH");
  app.add_option("--user", line.user, "Whom the manager, which talks to clients, runs as; needs root")
      ->type_name("USER");
  app.add_option("--group", line.group, "Whose members may use the node; without it the user's own")
      ->type_name("GROUP");
  app.add_flag("--daemonise,--daemonize", line.daemonise, "Go to the background once clients are served");
  app.add_option("--pid-file", line.pid_file, "Keep the daemon's process id in this file")->type_name("FILE");
  add_duration(app, "--start-timeout", line.daemon.start_timeout, "How long each part may take to start");
  add_duration(app, "--shutdown-timeout", line.daemon.shutdown_timeout,
               "How long ending may take before what is left is killed");
  add_duration(app, "--answer-timeout", line.daemon.answer_timeout,
               "A part that does not answer for so long is killed and started again; 0s: never");
  add_log_options(app, line.daemon.log);
  app.footer("Exit code: 0 after an orderly end, 1 after a failure, 2 after a mistake on the command line.");
  return parse_command_line(app, argc, argv);
}

int run(CommandLine& line, Background* background) {
  Process process({.name = "snow-fox-daemon",
                   .pid_file = line.pid_file,
                   .detached = background != nullptr,
                   // What is left is killed by then; the rest is for the unforeseen.
                   .shutdown_timeout = line.daemon.shutdown_timeout + std::chrono::seconds(5),
                   .umask = 027,
                   .log_level = line.daemon.log.level.value_or(LogLevel::Info),
                   .log_format = line.daemon.log.format.value_or(LogFormat::Text)});
  LoopManager& loop = process.loop();
  const NodeDirectory directory(RunDirectory(line.run_directory), line.daemon.manager, loop.log());
  Daemon daemon(loop, directory.paths(), directory.lock(), line.daemon,
                std::exchange(process.scope().inherited(), InheritedListeners()));
  daemon.on_status([&](const std::string& status) { process.status(status); });
  std::string failure;
  // What a spawner that dies leaves behind becomes ours: services, of which the next one is told, and what they leave
  // behind themselves.
  const OrphanReaper reaper(
      loop, [&](pid_t pid) { return daemon.is_child(pid); },
      [&](const OrphanReaper::Orphan& orphan) { daemon.orphan_exited(orphan); });

  std::optional<Process::Completion> ending;
  process.on_shutdown([&](Process::Completion completion) {
    ending = std::move(completion);
    daemon.end();
  });
  daemon.on_end_asked([&] { process.shutdown(); });
  process.on_reload([&](Process::Completion completion) {
    daemon.reload().finally([completion = std::move(completion)]() mutable { completion.done(); }).detach();
  });
  daemon
      .run([&] {
        process.start();
        if (background != nullptr) background->ready();
      })
      .then([&](const Daemon::Ended& ended) {
        failure = ended.reason;
        loop.stop(ended.exit_code);
      })
      .detach();
  const int exit_code = loop.run();
  if (!failure.empty()) throw std::runtime_error(failure);
  return exit_code;
}

}  // namespace
}  // namespace snowfox::node

int main(int argc, char** argv) {
  using namespace snowfox::node;
  std::optional<Background> background;
  try {
    CommandLine line;
    if (const auto done = read_command_line(line, argc, argv)) return *done;
    line.run_directory = RunDirectory(line.run_directory).path();
    line.configuration = absolute(line.configuration);
    line.pid_file = absolute(line.pid_file);
    line.daemon.configuration = line.configuration;
    line.daemon.programs = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
    line.daemon.manager = Identity::find(line.user, line.group);
    prepare_environment();
    if (line.daemonise) background = Background::enter();
    return run(line, background ? &*background : nullptr);
  } catch (const std::exception& error) {
    // Who started us into the background tells it.
    if (!background || !background->failed(error.what())) fmt::print(stderr, "snow-fox-daemon: {}\n", error.what());
    // What cannot be meant: a user that does not exist, a path that is too long.
    return dynamic_cast<const std::invalid_argument*>(&error) != nullptr ? 2 : EXIT_FAILURE;
  }
}
