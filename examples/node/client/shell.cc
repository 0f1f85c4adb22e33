#include "client/shell.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include <fmt/format.h>

#include <snowfox/promises/sleep.h>

#include "client/message_text.h"
#include "client/standard_output.h"

namespace snowfox::node {
namespace {

constexpr Duration kFirstWait = std::chrono::milliseconds(100);
constexpr Duration kLongestWait = std::chrono::seconds(10);
constexpr int kScriptError = 2;

std::string history_file() {
  const char* home = std::getenv("HOME");
  return home == nullptr || *home == '\0' ? std::string() : std::string(home) + "/.snow-fox-history";
}

std::vector<std::string> complete(std::string_view word, std::string_view line) {
  std::vector<std::string> candidates;
  // Only what begins the line: arguments are true, false and ids.
  if (line.size() != word.size()) return candidates;
  for (CallForm& form : call_forms()) {
    if (form.written.starts_with(word)) candidates.push_back(std::move(form.written));
  }
  return candidates;
}

}  // namespace

Shell::Shell(LoopManager& loop, NodeClient& client, Options options, OnEnd on_end)
    : loop_(loop),
      client_(client),
      on_end_(std::move(on_end)),
      runner_(client, options.timeout,
              {[this](const std::string& text) { show(text); }, [this](const std::string& text) { show_failure(text); },
               options.json}),
      input_(loop, readline_options(), readline_handlers()) {}

ReadlineOptions Shell::readline_options() {
  ReadlineOptions options;
  options.prompt = printable(client_.node_name()) + "> ";
  options.complete = complete;
  options.history_file = history_file();
  return options;
}

ReadlineHandlers Shell::readline_handlers() {
  ReadlineHandlers handlers;
  handlers.line = [this](const std::string& line) { read(line); };
  handlers.end = [this] { end(EXIT_SUCCESS, /*to_the_end=*/!input_.interactive()); };
  handlers.too_long = [this] {
    ++line_number_;
    show_failure(fmt::format("line {}: too long", line_number_));
    if (!input_.interactive()) end(kScriptError);
  };
  return handlers;
}

void Shell::read(const std::string& line) {
  ++line_number_;
  if (ended_) return;
  try {
    interpret(line);
  } catch (const ScriptError& error) {
    // At a prompt one sees which line it was.
    show_failure(input_.interactive() ? error.message() : error.what());
    if (!input_.interactive()) end(kScriptError);
  }
}

void Shell::interpret(const std::string& line) {
  // At a prompt every line is the first.
  for (const Call& call : parse_calls(line, input_.interactive() ? 1 : line_number_)) {
    if (call.kind == Call::Kind::Exit) return end(EXIT_SUCCESS);
    runner_.run(call);
  }
}

void Shell::end(int exit_code, bool to_the_end) {
  if (std::exchange(ended_, true)) return;
  input_.pause();
  runner_.when_idle(
      [this, exit_code] {
        const bool failed = !input_.interactive() && runner_.failures() != 0;
        on_end_(exit_code == EXIT_SUCCESS && failed ? EXIT_FAILURE : exit_code);
      },
      to_the_end);
}

void Shell::lost(std::error_code reason) {
  runner_.lost(reason.message());
  if (input_.interactive()) return reconnect(kFirstWait);
  end(EXIT_FAILURE);
}

void Shell::reconnect(Duration wait) {
  sleep(loop_, wait)
      .then([this] { return client_.connect(); })
      .then([this] {
        input_.set_prompt(printable(client_.node_name()) + "> ");
        show("connected again\n");
        runner_.watch_again();
      })
      .otherwise([this, wait](const std::exception_ptr&) { reconnect(std::min(wait * 2, kLongestWait)); })
      .detach();
}

void Shell::show(const std::string& text) {
  if (input_.interactive()) {
    input_.print_above(text);
  } else {
    print(text);
  }
}

void Shell::show_failure(const std::string& text) {
  if (input_.interactive()) {
    input_.print_above(text);
  } else {
    fmt::print(stderr, "snow-fox-client: {}\n", text);
  }
}

}  // namespace snowfox::node
