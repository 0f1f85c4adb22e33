#pragma once

#include <optional>
#include <string>
#include <CLI/CLI.hpp>

#include <snowfox/core/clock.h>
#include <snowfox/core/log.h>

namespace snowfox::node {

/// What is said about the log on the command line. Nothing: the configuration says it, or else the defaults hold.
struct LogOptions {
  std::optional<LogLevel> level;
  std::optional<LogFormat> format;

  /// The arguments that give another program the same options.
  std::vector<std::string> arguments() const;
};

/// Adds --log-level and --log-format.
void add_log_options(CLI::App& app, LogOptions& options);
/// Adds an option that takes a duration such as `10s`; `duration` holds its default.
CLI::Option* add_duration(CLI::App& app, const std::string& name, Duration& duration, const std::string& description);
/// Adds --run-dir; `path` stays empty if it is not given.
void add_run_directory(CLI::App& app, std::string& path);

std::optional<LogFormat> parse_log_format(std::string_view name) noexcept;
std::string_view to_text(LogFormat format) noexcept;

/// Reads the command line, to which it adds --version. Gives the exit code if there is nothing more to do: 0 after
/// --help or --version, 2 after a mistake, which it has told on stderr.
std::optional<int> parse_command_line(CLI::App& app, int argc, char** argv);

}  // namespace snowfox::node
