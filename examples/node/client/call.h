#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace snowfox::node {

/// One thing that a script or a user wants done.
struct Call {
  enum class Kind : std::uint8_t {
    Status,
    Reload,
    Waits,
    Trace,
    List,
    Start,
    Stop,
    Restart,
    Watch,
    Unwatch,
    Version,
    Help,
    Exit
  };

  Kind kind = Kind::Status;
  bool details = false;  ///< of a Status
  std::string id{};      ///< of a Trace, the correlation id; of what is about services, one, or empty for all

  /// As it is written in full: `node.status(true)`.
  std::string str() const;
};

/// A script cannot be understood.
class ScriptError : public std::runtime_error {
 public:
  ScriptError(std::size_t line, const std::string& message);
  /// Counted from 1; what() begins with it.
  std::size_t line() const noexcept { return line_; }
  /// The same without it.
  const std::string& message() const noexcept { return message_; }

 private:
  std::size_t line_;
  std::string message_;
};

/// Reads calls, one after another, separated by nothing, by `;` or by lines; `--` begins a comment, and so does `#!` in
/// the first line. `line` is the number of the first. Throws ScriptError, and then nothing of it is to be done.
std::vector<Call> parse_calls(std::string_view script, std::size_t line = 1);

/// A way to write a call: `status`, or in full `node.status()`.
struct CallForm {
  std::string written;
  std::string help;  ///< what it does
};
/// All that is understood.
std::vector<CallForm> call_forms();
/// The same as text, a line each.
std::string call_help();

}  // namespace snowfox::node
