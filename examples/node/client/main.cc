// snow-fox-client: asks a node, by Lua: at a prompt, in a script, in a single line.
#include <unistd.h>
#include <fmt/format.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>

#include "client/call.h"
#include "client/connection.h"
#include "client/crash_guard.h"
#include "client/interpreter.h"
#include "client/interruption.h"
#include "client/node_client.h"
#include "client/prompt.h"
#include "client/standard_output.h"
#include "common/command_line.h"
#include "common/run_directory.h"

namespace snowfox::node {
namespace {

constexpr int kUsageError = 2;

struct CommandLine {
  std::string socket;
  std::optional<std::string> code;
  std::string file;
  bool json = false;
  std::string colour = "auto";
  Duration timeout = std::chrono::seconds(30);
  std::size_t memory_mib = 64;
  std::optional<std::string> traced;  // the id of a request, or "" for the latest
};

std::optional<int> read_command_line(CommandLine& line, int argc, char** argv) {
  CLI::App app(
      "Asks a SnowFox node by Lua. With --eval or --file it does what that says and ends; otherwise it reads a script\n"
      "from standard input, or, on a terminal, has a prompt.",
      "snow-fox-client");
  app.add_option(
         "--socket", line.socket,
         "Where the node is: the path of its public socket, or HOST:PORT; unix:PATH and tcp:HOST:PORT leave no doubt; "
         "without it the user's own node, or else the system's")
      ->type_name("ADDRESS");
  auto* code = app.add_option("--eval", line.code, "Do what CODE says")->type_name("CODE");
  auto* file = app.add_option("--file", line.file, "Do what the script FILE says")->type_name("FILE")->excludes(code);
  app.add_flag("--json", line.json, "Print answers and values as JSON, one a line");
  app.add_option("--color,--colour", line.colour, "Colours: auto, on a terminal unless NO_COLOR is set; always; never")
      ->type_name("WHEN")
      ->check(CLI::IsMember({"auto", "always", "never"}));
  add_duration(app, "--timeout", line.timeout, "How long to wait for the connection, and for each answer");
  app.add_option("--memory", line.memory_mib, "How much memory scripts may take, in MiB")
      ->type_name("MIB")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  app.add_option(
         "--trace", line.traced,
         "Show the way of the request with this id through the processes of the node, with times; without an ID "
         "the latest requests")
      ->type_name("[ID]")
      ->expected(0, 1)
      ->excludes(code)
      ->excludes(file);
  std::string calls;
  for (const CallForm& form : call_forms()) calls += fmt::format("  {:<24}{}\n", form.written(), form.help);
  app.footer(
      "What Lua has besides its own:\n" + calls +
      "and client.version(), client.sleep(seconds), client.exit([code]), pprint(...), clear, help. A call gives a\n"
      "response r at once: r:await() waits for the answer, r:on(f) calls f(value, error); what nobody keeps is\n"
      "printed.\n"
      "Exit code: 0 if all was answered; 1 if there is no node, or it says no, or nothing in time; 2 after a\n"
      "mistake on the command line or in a script; 128 and its number after a signal.");
  if (const auto done = parse_command_line(app, argc, argv)) return done;
  if (line.timeout <= Duration::zero()) {
    fmt::print(stderr, "snow-fox-client: --timeout must be longer than nothing\n");
    return kUsageError;
  }
  return std::nullopt;
}

/// What has a slash is a path, and so is what is no address at all.
Address address_of(const std::string& socket) {
  if (socket.empty()) return RunDirectory::default_public_socket();
  if (socket.starts_with("unix:") || socket.starts_with("tcp:")) return Address::parse(socket);
  if (socket.find('/') != std::string::npos) return Address::unix_socket(socket);
  try {
    return Address::parse(socket);
  } catch (const std::invalid_argument&) {
    return Address::unix_socket(socket);
  }
}

Paint paint_of(const CommandLine& line) {
  if (line.json || line.colour == "never") return {};
  if (line.colour == "always") return {true};
  const auto is = [](const char* name, std::string_view value) {
    const char* set = std::getenv(name);
    return set != nullptr && value == set;
  };
  const char* no_color = std::getenv("NO_COLOR");
  return {isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0') && !is("TERM", "dumb")};
}

std::string read_file(const std::string& path) {
  // A directory can be opened, and reading it throws something about a buffer.
  if (std::filesystem::is_directory(path)) throw std::system_error(EISDIR, std::generic_category(), path);
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad()) throw std::system_error(errno, std::generic_category(), path);
  return text;
}

/// To its end. A script that is larger than what it may have anyway is not read on.
std::string read_standard_input(std::size_t most_bytes) {
  std::string text;
  std::vector<char> part(std::size_t{64} << 10);
  for (;;) {
    const ssize_t count = read(STDIN_FILENO, part.data(), part.size());
    if (count == 0) return text;
    if (count < 0) throw std::system_error(errno, std::generic_category(), "standard input");
    text.append(part.data(), static_cast<std::size_t>(count));
    if (text.size() > most_bytes) throw std::runtime_error("standard input: the script is too long");
  }
}

void complain(const std::string& text) noexcept {
  const std::string line = "snow-fox-client: " + text + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

/// Runs a script, or all that is typed at a prompt, and ends the loop.
class Session {
 public:
  Session(LoopManager& loop, const CommandLine& line)
      : loop_(loop),
        client_(loop, address_of(line.socket), line.timeout, [this](std::error_code reason) { lost(reason); }),
        connection_(loop, client_, [this] { connected(); }),
        paint_(paint_of(line)),
        interpreter_(
            loop, host(),
            {.json = line.json, .paint = paint_, .memory_bytes = line.memory_mib << 20, .timeout = line.timeout}),
        interruption_(loop, [this](int signal) { interrupted(signal); }) {
    client_.set_on_event(
        [this](const std::string& watched, const public_api::Event& event) { interpreter_.heard(watched, event); });
  }

  /// When the loop has begun.
  void run_soon(const Interpreter::Script& script) {
    resolved(loop_).then([this, script] { run(script); }).detach();
  }

  void run_prompt() {
    connection_.connect()
        .then([this] {
          connection_.keep();
          prompt_.emplace(loop_, interpreter_, client_.node_name(),
                          Prompt::Handlers{[this] { leave(true); }, [this] { look_for_ids(); }});
          look_for_ids();
        })
        .otherwise([this](const std::exception_ptr& error) {
          node::complain(describe(error));
          loop_.stop(EXIT_FAILURE);
        })
        .detach();
  }

  /// By which signal it was ended; 0: none.
  int signal() const noexcept { return signal_; }

 private:
  void run(const Interpreter::Script& script) {
    interpreter_.run(script, [this](bool success) {
      if (interpreter_.left()) return;
      if (!success) return stop(interpreter_.exit_code());
      // Whoever watches something does so until it is interrupted.
      interpreter_.when_idle([this] { stop(interpreter_.exit_code()); }, /*to_the_end=*/true);
    });
  }

  Interpreter::Host host() {
    return {.ask = [this](const Call& call) { return connection_.ask(call); },
            .print = [this](const std::string& text) { print(text); },
            .complain = [this](const std::string& text) { complain(text); },
            .clear =
                [] {
                  if (isatty(STDOUT_FILENO) == 1) node::print("\x1b[H\x1b[2J");
                },
            .interrupted = [] { return Interruption::asked(); },
            .computing = [this](bool begins) { computing(begins); },
            .leave = [this](bool wait) { leave(wait); }};
  }

  void print(const std::string& text) {
    std::fflush(stdout);  // what was written by io.write() comes before
    prompt_ ? prompt_->show(text) : node::print(text);
  }
  void complain(const std::string& text) {
    std::fflush(stdout);
    prompt_ ? prompt_->show(paint_.error(text)) : node::complain(text);
  }
  void computing(bool begins) {
    if (prompt_) prompt_->computing(begins);
    if (!begins && std::fflush(stdout) != 0 && output_error_ == 0) output_error_ = errno;
  }

  void connected() {
    if (!prompt_) return;
    prompt_->set_node_name(client_.node_name());
    prompt_->show("connected again");
    interpreter_.watch_again();
    look_for_ids();
  }
  void lost(std::error_code reason) {
    interpreter_.lost(reason.message(), prompt_.has_value());
    connection_.lost();
  }
  void look_for_ids() {
    if (!client_.connected()) return;
    client_.ask({.kind = Call::Kind::List})
        .then([this](const NodeClient::Message& answer) {
          std::vector<std::string> ids;
          for (const auto& service : answer.service_list_response().services()) ids.push_back(service.id());
          prompt_->set_services(std::move(ids));
        })
        .otherwise([](const std::exception_ptr&) {})  // then none are completed
        .detach();
  }

  void interrupted(int signal) {
    const bool stays = signal == SIGINT && prompt_ && !leaving_;
    interpreter_.interrupt();
    if (stays) return;
    signal_ = signal;
    loop_.stop(128 + signal);
  }
  /// After all answers have come if `wait`.
  void leave(bool wait) {
    leaving_ = true;
    if (prompt_) prompt_->close();
    const auto end = [this] { stop(prompt_ ? interpreter_.left_with().value_or(0) : interpreter_.exit_code()); };
    wait ? interpreter_.when_idle(end) : end();
  }
  void stop(int exit_code) {
    if (output_error_ != 0 && exit_code == EXIT_SUCCESS) {
      complain(std::system_error(output_error_, std::generic_category(), "standard output").what());
      exit_code = EXIT_FAILURE;
    }
    loop_.stop(exit_code);
  }

  LoopManager& loop_;
  NodeClient client_;
  Connection connection_;
  Paint paint_;
  Interpreter interpreter_;
  std::optional<Prompt> prompt_;
  Interruption interruption_;
  bool leaving_ = false;
  int signal_ = 0;
  int output_error_ = 0;
};

int run(int argc, char** argv) {
  CommandLine line;
  if (const auto done = read_command_line(line, argc, argv)) return *done;
  const bool at_terminal = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
  std::optional<Interpreter::Script> script;
  try {
    if (line.traced) {
      const Call call{.kind = Call::Kind::Trace, .id = *line.traced};
      if (const auto fault = call.id.empty() ? "" : fault_of_id(form_of(call.kind), call.id); !fault.empty()) {
        throw std::invalid_argument("--trace: " + fault);
      }
      script = {call.str(), "=--trace", true};
    } else if (line.code) {
      script = {*line.code, "=--eval", true};
    } else if (!line.file.empty()) {
      script = {read_file(line.file), "@" + line.file};
    } else if (!at_terminal) {
      script = {read_standard_input(line.memory_mib << 20), "=stdin"};
    }
  } catch (const std::exception& error) {
    complain(error.what());
    return kUsageError;
  }
  int exit_code = 0;
  int signal = 0;
  {
    DescriptorLogSink sink(2);
    Log log(sink, LogLevel::Error);
    LoopManager loop(std::make_unique<UvPoller>(), Io::system(), log);
    Session session(loop, line);
    if (!script) restore_terminal_after_crash();
    script ? session.run_soon(*script) : session.run_prompt();
    exit_code = loop.run();
    signal = session.signal();
  }
  // By the signal, so that a shell in whose loop this ran ends that.
  if (signal != 0) raise(signal);
  return exit_code;
}

}  // namespace
}  // namespace snowfox::node

int main(int argc, char** argv) try {
  return snowfox::node::run(argc, argv);
} catch (const std::invalid_argument& error) {
  fmt::print(stderr, "snow-fox-client: {}\n", error.what());
  return 2;
} catch (const std::exception& error) {
  fmt::print(stderr, "snow-fox-client: {}\n", error.what());
  return EXIT_FAILURE;
}
