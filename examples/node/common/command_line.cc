#include "common/command_line.h"

#include "common/build_version.h"
#include "common/duration.h"

namespace snowfox::node {

std::optional<LogFormat> parse_log_format(std::string_view name) noexcept {
  if (name == "text") return LogFormat::Text;
  if (name == "json") return LogFormat::Json;
  return std::nullopt;
}

std::string_view to_text(LogFormat format) noexcept { return format == LogFormat::Text ? "text" : "json"; }

std::vector<std::string> LogOptions::arguments() const {
  std::vector<std::string> all;
  if (level) all.insert(all.end(), {"--log-level", std::string(to_string(*level))});
  if (format) all.insert(all.end(), {"--log-format", std::string(to_text(*format))});
  return all;
}

void add_log_options(CLI::App& app, LogOptions& options) {
  app.add_option_function<std::string>(
         "--log-level",
         [&options](const std::string& name) {
           options.level = parse_log_level(name);
           if (!options.level) {
             throw CLI::ValidationError("--log-level",
                                        "'" + name + "': expected debug, info, warning, error, critical or off");
           }
         },
         "Log lines of this level and above")
      ->type_name("LEVEL");
  app.add_option_function<std::string>(
         "--log-format",
         [&options](const std::string& name) {
           options.format = parse_log_format(name);
           if (!options.format) throw CLI::ValidationError("--log-format", "'" + name + "': expected text or json");
         },
         "How log lines look: text or json")
      ->type_name("FORMAT");
}

CLI::Option* add_duration(CLI::App& app, const std::string& name, Duration& duration, const std::string& description) {
  return app
      .add_option_function<std::string>(
          name,
          [name, &duration](const std::string& text) {
            try {
              duration = parse_duration(text);
            } catch (const std::invalid_argument& error) {
              throw CLI::ValidationError(name, error.what());
            }
          },
          description + " [" + to_text(duration) + "]")
      ->type_name("DURATION");
}

void add_run_directory(CLI::App& app, std::string& path) {
  app.add_option("--run-dir", path,
                 "Where the node's sockets are; without it /run/snow-fox as root, else $XDG_RUNTIME_DIR/snow-fox")
      ->type_name("DIRECTORY");
}

std::optional<int> parse_command_line(CLI::App& app, int argc, char** argv) {
  app.set_version_flag("--version", app.get_name() + " " + to_text(build_version()), "Print the version and exit");
  app.get_formatter()->column_width(34);
  app.failure_message([](const CLI::App* failed, const CLI::Error& error) {
    return failed->get_name() + ": " + error.what() + "\nRun " + failed->get_name() + " --help for what it takes.\n";
  });
  try {
    app.parse(argc, argv);
    return std::nullopt;
  } catch (const CLI::RequiredError& error) {
    // Of two mistakes the one that was made, not what is missing because of it.
    const auto unknown = app.remaining();
    if (unknown.empty()) {
      app.exit(error);
    } else {
      app.exit(CLI::ExtrasError(app.get_name(), unknown));
    }
    return 2;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
}

}  // namespace snowfox::node
