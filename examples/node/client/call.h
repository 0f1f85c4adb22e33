#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace snowfox::node {

/// One thing that a node is asked.
struct Call {
  enum class Kind : std::uint8_t {
    Status,
    Reload,
    Shutdown,
    Waits,
    Trace,
    List,
    Service,
    Start,
    Stop,
    Restart,
    Watch,
    Unwatch
  };

  Kind kind = Kind::Status;
  bool details = false;  ///< of a Status
  std::string id{};      ///< of Waits and Trace a correlation id, of what is about services one; or empty for all

  /// As a script writes it: `node.status(true)`.
  std::string str() const;
};

/// How a script writes a kind of call.
struct CallForm {
  /// What it takes in its parentheses.
  enum class Takes : std::uint8_t { Nothing, Flag, Service, AnyService, AnyRequest };

  Call::Kind kind;
  std::string_view table;       ///< `node`, of
  std::string_view function;    ///< `status`, of
  std::string_view parameters;  ///< `[details]`
  Takes takes;
  std::string_view help;

  /// `node.status([details])`
  std::string written() const;
};
/// All kinds, in the order in which they are to be shown.
std::span<const CallForm> call_forms();
const CallForm& form_of(Call::Kind kind);

/// What is wrong with `id` as the one that a call of this form takes; empty if nothing is.
std::string fault_of_id(const CallForm& form, std::string_view id);

}  // namespace snowfox::node
