// appservice --config FILE: sends the events of a Matrix homeserver to its application services.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <utility>
#include <CLI/CLI.hpp>

#include <snowfox/context/process.h>

#include "appservice/daemon.h"

namespace {

using namespace snowfox;
using namespace snowfox::appservice;

int check(const std::string& path) {
  const auto loaded = load_settings(path);
  const Registrations& services = *loaded.configuration.registrations;
  fmt::print("{}: ok, {} service{}\n", path, services.size(), services.size() == 1 ? "" : "s");
  for (const ConfigurationProblem& note : services.notes()) fmt::print("note: {}\n", note.str());
  return 0;
}

/// `HOST:PORT`, as the configuration has it.
std::string shown(const Address& address) {
  constexpr std::string_view kTcp = "tcp:";
  std::string text = address.str();
  return text.starts_with(kTcp) ? text.substr(kTcp.size()) : text;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app(
      "Takes a Matrix homeserver's events in over HTTP, keeps them until the application services that they are for\n"
      "have them, and sends each service its own, in order. SIGHUP reads configuration and registrations again,\n"
      "SIGTERM ends it when what is on its way has arrived.",
      "appservice");
  std::string path;
  ProcessSettings settings{.name = "appservice"};
  bool check_only = false;
  app.add_option("-c,--config", path, "The configuration, in YAML")->required()->type_name("FILE");
  app.add_flag("--check-config", check_only, "Say what is wrong with the configuration and its registrations, and end");
  app.add_option("--pid-file", settings.pid_file, "Write the process id there")->type_name("FILE");
  app.add_option("--user", settings.user, "Run as this user, once the sockets are bound")->type_name("USER");
  app.add_option("--group", settings.group, "Run as this group; otherwise as that of the user")->type_name("GROUP");
  app.set_version_flag("--version", "appservice " SNOWFOX_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (check_only) return check(path);

  LoadedConfiguration<Settings> loaded = load_settings(path);
  settings.umask = 077;
  settings.shutdown_timeout = loaded.configuration.configuration.shutdown_timeout;
  Process process(settings);
  Daemon daemon(process, path, std::move(loaded), SNOWFOX_VERSION);
  fmt::print("appservice: listening on {}, admin on {}\n", shown(daemon.address()), shown(daemon.admin_address()));
  std::fflush(stdout);
  return process.run();
} catch (const std::exception& error) {
  fmt::print(stderr, "appservice: {}\n", error.what());
  return 1;
}
