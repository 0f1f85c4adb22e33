#include "client/call.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <optional>

#include <fmt/format.h>

#include <snowfox/core/correlation_id.h>

#include "client/message_text.h"
#include "common/service_id.h"

namespace snowfox::node {
namespace {

/// What a call takes in its parentheses.
enum class Takes : std::uint8_t { NoCall, Nothing, Flag, CorrelationId, Service, AnyService };

struct Form {
  std::string_view name;  // in full, or short
  Takes takes;            // a short one has no parentheses
  Call::Kind kind;
  std::string_view help;
};
/// All short ones before those in full.
constexpr std::array kForms{
    Form{"status", Takes::NoCall, Call::Kind::Status, "how the node is"},
    Form{"reload", Takes::NoCall, Call::Kind::Reload, "have the node read its configuration again"},
    Form{"waits", Takes::NoCall, Call::Kind::Waits, "what the node waits for, and since when"},
    Form{"services", Takes::NoCall, Call::Kind::List, "all services, and how they are"},
    Form{"help", Takes::NoCall, Call::Kind::Help, "this"},
    Form{"exit", Takes::NoCall, Call::Kind::Exit, "leave"},
    Form{"node.status", Takes::Flag, Call::Kind::Status, "how the node is; node.status(true): with details"},
    Form{"node.reload", Takes::Nothing, Call::Kind::Reload, "have the node read its configuration again"},
    Form{"node.waits", Takes::Nothing, Call::Kind::Waits, "what the node waits for, and since when"},
    Form{"node.trace", Takes::CorrelationId, Call::Kind::Trace,
         "how the request with this correlation id came to wait, or to its end"},
    Form{"service.start", Takes::Service, Call::Kind::Start, "start a service; answered when it runs"},
    Form{"service.stop", Takes::Service, Call::Kind::Stop, "stop a service; answered when it has ended"},
    Form{"service.restart", Takes::Service, Call::Kind::Restart, "stop a service, and start it again"},
    Form{"service.status", Takes::Service, Call::Kind::List, "how a service is"},
    Form{"service.watch", Takes::AnyService, Call::Kind::Watch,
         "how a service, or without an ID each, is, and from then on each change"},
    Form{"service.unwatch", Takes::AnyService, Call::Kind::Unwatch, "no more of what service.watch shows"},
    Form{"service.list", Takes::AnyService, Call::Kind::List, "all services, and how they are"},
    Form{"client.version", Takes::Nothing, Call::Kind::Version, "what this client was built from"},
    Form{"client.exit", Takes::Nothing, Call::Kind::Exit, "leave"},
};

std::string written(const Form& form) {
  switch (form.takes) {
    case Takes::NoCall: return std::string(form.name);
    case Takes::CorrelationId:
    case Takes::Service: return std::string(form.name) + "('ID')";
    case Takes::Nothing:
    case Takes::Flag:
    case Takes::AnyService: break;
  }
  return std::string(form.name) + "()";
}

std::string all_forms() {
  std::string all;
  for (const Form& form : kForms) {
    all += (all.empty() ? "" : ", ") + written(form);
    if (form.name == "node.status") all += ", node.status(true)";
    if (form.takes == Takes::AnyService) all += fmt::format(", {}('ID')", form.name);
  }
  return all;
}

/// Cuts a script into words and single signs.
class Tokens {
 public:
  Tokens(std::string_view script, std::size_t line) : rest_(script), line_(line) {
    if (line == 1 && rest_.starts_with("#!")) skip_line();
  }

  std::size_t line() const noexcept { return line_; }
  /// Empty at the end.
  std::string_view next() {
    skip_blanks();
    std::size_t size = 0;
    while (size < rest_.size() && is_word(rest_[size])) ++size;
    if (size == 0 && !rest_.empty()) {
      // A sign is a whole character, for a message may show it.
      do ++size;
      while (size < rest_.size() && (static_cast<unsigned char>(rest_[size]) & 0xc0) == 0x80);
    }
    return take(size);
  }
  /// What is between the quotes that come next, and the quotes are taken; nothing if it is no such text in one line.
  std::optional<std::string_view> text() {
    skip_blanks();
    if (rest_.empty() || (rest_.front() != '\'' && rest_.front() != '"')) return std::nullopt;
    const std::size_t end = rest_.find_first_of(std::string{rest_.front(), '\n'}, 1);
    if (end == std::string_view::npos || rest_[end] == '\n') return std::nullopt;
    return take(end + 1).substr(1, end - 1);
  }
  /// True, and it is taken, if `sign` comes next.
  bool accept(std::string_view sign) {
    skip_blanks();
    if (!rest_.starts_with(sign)) return false;
    take(sign.size());
    return true;
  }

 private:
  static bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.'; }
  std::string_view take(std::size_t size) {
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  void skip_line() { take(std::min(rest_.find('\n'), rest_.size())); }
  void skip_blanks() {
    for (;;) {
      if (rest_.starts_with("--")) skip_line();
      if (rest_.empty() || std::isspace(static_cast<unsigned char>(rest_.front())) == 0) return;
      if (rest_.front() == '\n') ++line_;
      take(1);
    }
  }

  std::string_view rest_;
  std::size_t line_;
};

/// Can be written between quotes as it is.
bool is_plain(std::string_view id) {
  return std::all_of(id.begin(), id.end(), [](char c) { return c >= ' ' && c <= '~' && c != '\'' && c != '"'; });
}

[[noreturn]] void refuse(const Tokens& tokens, std::string_view found) {
  throw ScriptError(tokens.line(),
                    fmt::format("'{}' is not understood; what is: {}", printable(found.substr(0, 40)), all_forms()));
}

/// What stands between the quotes, if it may be an id of this kind.
std::string parse_id(Tokens& tokens, const Form& form) {
  const auto id = tokens.text();
  if (form.takes == Takes::CorrelationId) {
    if (id && CorrelationId::parse(*id) && is_plain(*id)) return std::string(*id);
    throw ScriptError(tokens.line(),
                      fmt::format("{}() takes a correlation id: expected 1 to 39 printable characters in "
                                  "quotes, as in {}('client-1/7')",
                                  form.name, form.name));
  }
  if (id && is_service_id(*id)) return std::string(*id);
  throw ScriptError(tokens.line(),
                    fmt::format("{}() takes the id of a service: expected 1 to {} letters, digits and .-_@+ in quotes, "
                                "as in {}('web')",
                                form.name, kMaxServiceIdBytes, form.name));
}

Call parse_call(Tokens& tokens, std::string_view name) {
  const auto form = std::find_if(kForms.begin(), kForms.end(), [name](const Form& one) { return one.name == name; });
  if (form == kForms.end()) refuse(tokens, name);
  Call call{form->kind};
  if (!tokens.accept("(")) {
    if (form->takes != Takes::NoCall) refuse(tokens, name);
    return call;
  }
  if (form->takes == Takes::NoCall) refuse(tokens, std::string(name) + "(");
  if (form->takes == Takes::AnyService && tokens.accept(")")) return call;
  if (form->takes >= Takes::CorrelationId) call.id = parse_id(tokens, *form);
  std::string_view argument = tokens.next();
  if (form->takes == Takes::Flag && (argument == "true" || argument == "false")) {
    call.details = argument == "true";
    argument = tokens.next();
  }
  if (argument != ")") refuse(tokens, std::string(name) + "(" + std::string(argument));
  return call;
}

}  // namespace

std::string Call::str() const {
  // Of its forms the last is the full one.
  const auto form = std::find_if(kForms.rbegin(), kForms.rend(), [this](const Form& one) { return one.kind == kind; });
  if (!id.empty()) return std::string(form->name) + "('" + id + "')";
  return details ? std::string(form->name) + "(true)" : written(*form);
}

ScriptError::ScriptError(std::size_t line, const std::string& message)
    : std::runtime_error(fmt::format("line {}: {}", line, message)), line_(line), message_(message) {}

std::vector<Call> parse_calls(std::string_view script, std::size_t line) {
  std::vector<Call> calls;
  Tokens tokens(script, line);
  for (;;) {
    while (tokens.accept(";")) {
    }
    const std::string_view name = tokens.next();
    if (name.empty()) return calls;
    calls.push_back(parse_call(tokens, name));
  }
}

std::vector<CallForm> call_forms() {
  std::vector<CallForm> forms;
  for (const Form& form : kForms) forms.push_back({written(form), std::string(form.help)});
  return forms;
}

std::string call_help() {
  std::string all;
  for (const CallForm& form : call_forms()) all += fmt::format("{:<20}{}\n", form.written, form.help);
  return all;
}

}  // namespace snowfox::node
