#include "client/prompt.h"

#include <termios.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "client/message_text.h"

namespace snowfox::node {
namespace {

/// What a chunk of the prompt is called; Interpreter leaves it away where there is but one line.
constexpr const char* kChunk = "=prompt";

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

/// Where lines are kept; its directory is made. Empty if there is none.
std::string history_file() {
  std::filesystem::path state = variable("XDG_STATE_HOME");
  if (!state.is_absolute()) {
    const std::string home = variable("HOME");
    if (home.empty()) return {};
    state = std::filesystem::path(home) / ".local" / "state";
  }
  const std::filesystem::path directory = state / "snow-fox";
  std::error_code error;
  std::filesystem::create_directories(state, error);
  if (std::filesystem::create_directory(directory, error)) {
    std::filesystem::permissions(directory, std::filesystem::perms::owner_all, error);
  }
  return std::filesystem::is_directory(directory, error) ? (directory / "history").string() : std::string();
}

std::string prompt_of(const std::string& node_name) { return printable(node_name) + "> "; }

}  // namespace

BegunId begun_service_id(std::string_view line) {
  static constexpr std::array<std::string_view, 7> kFunctions{"start", "stop",    "restart", "status",
                                                              "list",  "unwatch", "watch"};
  // Which quote is open at the end.
  std::size_t open = std::string_view::npos;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (open == std::string_view::npos) {
      if (line[i] == '"' || line[i] == '\'') open = i;
    } else if (line[i] == '\\') {
      ++i;
    } else if (line[i] == line[open]) {
      open = std::string_view::npos;
    }
  }
  if (open == std::string_view::npos) return {};
  std::string_view before = line.substr(0, open);
  const auto drop_blanks = [&before] {
    while (before.ends_with(' ')) before.remove_suffix(1);
  };
  drop_blanks();
  if (before.ends_with('(')) before.remove_suffix(1);
  drop_blanks();
  for (const std::string_view function : kFunctions) {
    if (before.ends_with(std::string("service.").append(function))) return {true, line.substr(open + 1)};
  }
  return {};
}

Prompt::Prompt(LoopManager& loop, Interpreter& interpreter, const std::string& node_name, Handlers handlers)
    : interpreter_(interpreter),
      handlers_(std::move(handlers)),
      prompt_(prompt_of(node_name)),
      input_(loop, options(node_name), readline_handlers()) {}

ReadlineOptions Prompt::options(const std::string& node_name) {
  ReadlineOptions options;
  options.prompt = prompt_of(node_name);
  options.complete = [this](std::string_view word, std::string_view line) { return complete(word, line); };
  options.history_file = history_file();
  // Unlike a command, a name of Lua ends at any sign but those by which it goes on.
  options.word_breaks = " \t\"'`;|&<>=(){}[],+-*/%^#~!";
  return options;
}

ReadlineHandlers Prompt::readline_handlers() {
  ReadlineHandlers handlers;
  handlers.line = [this](const std::string& line) { read(line); };
  handlers.end = [this] { code_.empty() ? handlers_.end() : drop(); };
  handlers.interrupt = [this] {
    drop();
    interpreter_.interrupt();
  };
  handlers.too_long = [this] { show("the line is too long"); };
  return handlers;
}

void Prompt::set_node_name(const std::string& name) {
  prompt_ = prompt_of(name);
  if (code_.empty()) input_.set_prompt(prompt_);
}

void Prompt::drop() {
  code_.clear();
  input_.set_prompt(prompt_);
}

void Prompt::read(const std::string& line) {
  if (closed_) return;
  if (code_.empty() && line.find_first_not_of(" \t") == std::string::npos) return;
  if (code_.empty() && line.starts_with('=')) {
    code_ = "return " + line.substr(1);
  } else {
    code_ += (code_.empty() ? "" : "\n") + line;
  }
  if (interpreter_.incomplete(code_)) {
    input_.set_prompt(std::string(prompt_.size() - 2, '.') + "> ");
    return;
  }
  Interpreter::Script script{std::move(code_), kChunk, true, false};
  drop();
  script.one_line = script.code.find('\n') == std::string::npos;
  input_.pause();
  interpreter_.run(script, [this](bool) { input_.resume(); });
}

std::vector<std::string> Prompt::complete(std::string_view word, std::string_view line) {
  const BegunId begun = begun_service_id(line);
  if (!begun.begun) return interpreter_.names_like(std::string(word));
  handlers_.look_for_ids();
  std::vector<std::string> candidates;
  const std::size_t before = begun.id.size() - std::min(begun.id.size(), word.size());
  for (const std::string& id : services_) {
    // An id may have signs at which words end.
    if (id.starts_with(begun.id)) candidates.push_back(id.substr(before));
  }
  return candidates;
}

// While the prompt is there, Ctrl-C is a key, and nobody would read it.
void Prompt::computing(bool begins) {
  termios mode{};
  if ((!begins && !signals_) || tcgetattr(STDIN_FILENO, &mode) != 0) return;
  if (begins && (mode.c_lflag & ISIG) != 0) return;
  signals_ = begins;
  mode.c_lflag = begins ? mode.c_lflag | ISIG : mode.c_lflag & ~static_cast<tcflag_t>(ISIG);
  tcsetattr(STDIN_FILENO, TCSANOW, &mode);
}

void Prompt::close() {
  if (!std::exchange(closed_, true)) input_.pause();
}

}  // namespace snowfox::node
