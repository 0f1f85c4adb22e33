// snow-fox-client: asks a node, by a prompt, a script or a single line of code.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <snowfox/core/loop_manager.h>

#include "client/call.h"
#include "client/call_meaning.h"
#include "client/call_runner.h"
#include "client/message_text.h"
#include "client/node_client.h"
#include "client/repetition.h"
#include "client/shell.h"
#include "client/standard_output.h"
#include "client/trace_text.h"
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
  Duration timeout = std::chrono::seconds(30);
  std::size_t repeat = 0;
  std::optional<std::string> traced;  // the id of a request, or "" for the latest

  bool has_script() const { return code.has_value() || !file.empty(); }
};

std::optional<int> read_command_line(CommandLine& line, int argc, char** argv) {
  CLI::App app(
      "Asks a SnowFox node. With --eval or --file it does what that says and ends; otherwise it reads calls from\n"
      "standard input, on a terminal with a prompt.",
      "snow-fox-client");
  app.add_option(
         "--socket", line.socket,
         "Where the node is: the path of its public socket, or HOST:PORT; unix:PATH and tcp:HOST:PORT leave no doubt; "
         "without it the user's own node, or else the system's")
      ->type_name("ADDRESS");
  auto* code = app.add_option("--eval", line.code, "Do what CODE says")->type_name("CODE");
  auto* file = app.add_option("--file", line.file, "Do what the script FILE says")->type_name("FILE")->excludes(code);
  app.add_flag("--json", line.json, "Print answers as JSON, one object a line");
  add_duration(app, "--timeout", line.timeout, "How long to wait for the connection, and for each answer");
  app.add_option("--repeat", line.repeat,
                 "Make the calls of --eval or --file N times, all at once, and print a summary in place of the answers")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  app.add_option(
         "--trace", line.traced,
         "Show the way of the request with this id through the processes of the node, with times; without an ID "
         "the latest requests")
      ->type_name("[ID]")
      ->expected(0, 1)
      ->excludes(code)
      ->excludes(file);
  app.footer("Calls, separated by ; or lines:\n" + call_help() +
             "\nExit code: 0 if all was answered; 1 if there is no node, or it says no, or nothing in time; 2 after a\n"
             "mistake on the command line or in a script.");
  if (const auto done = parse_command_line(app, argc, argv)) return done;
  if (line.repeat != 0 && code->count() == 0 && file->count() == 0) {
    fmt::print(stderr, "snow-fox-client: --repeat needs --eval or --file\n");
    return kUsageError;
  }
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

std::string read_file(const std::string& path) {
  // A directory can be opened, and reading it throws something about a buffer.
  if (std::filesystem::is_directory(path)) throw std::system_error(EISDIR, std::generic_category(), path);
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad()) throw std::system_error(errno, std::generic_category(), path);
  return text;
}

void complain(const std::string& text) { fmt::print(stderr, "snow-fox-client: {}\n", text); }

/// Does what the command line asks for, once the node is there, and ends the loop.
class Session {
 public:
  Session(LoopManager& loop, const CommandLine& line, std::vector<Call> script)
      : loop_(loop),
        line_(line),
        script_(std::move(script)),
        client_(loop, address_of(line.socket), line.timeout, [this](std::error_code reason) { lost(reason); }),
        runner_(client_, line.timeout, {print, complain, line.json}),
        repetition_(client_, line.timeout) {
    client_.connect()
        .then([this] { begin(); })
        .otherwise([this](const std::exception_ptr& error) {
          complain(describe(error));
          loop_.stop(EXIT_FAILURE);
        })
        .detach();
  }

 private:
  void begin() {
    if (line_.traced) return trace();
    if (!line_.has_script()) {
      shell_ = std::make_unique<Shell>(loop_, client_, Shell::Options{line_.json, line_.timeout},
                                       [this](int exit_code) { loop_.stop(exit_code); });
      return;
    }
    if (line_.repeat != 0) {
      repetition_.run(script_, line_.repeat, [this](const Repetition::Result& result) { summarise(result); });
      return;
    }
    for (const Call& call : script_) runner_.run(call);
    // Whoever watches something does so until it is interrupted.
    runner_.when_idle([this] { loop_.stop(runner_.failures() == 0 ? EXIT_SUCCESS : EXIT_FAILURE); },
                      /*to_the_end=*/true);
  }

  void trace() {
    client_.ask(trace_request(*line_.traced), is_trace)
        .then([this](const NodeClient::Message& answer) {
          print(trace_text(answer.trace_response(), *line_.traced, line_.json));
          loop_.stop(EXIT_SUCCESS);
        })
        .otherwise([this](const std::exception_ptr& error) {
          complain(printable(tell(error, line_.timeout)));
          loop_.stop(EXIT_FAILURE);
        })
        .detach();
  }

  void summarise(const Repetition::Result& result) {
    if (!result.first_failure.empty()) complain(result.first_failure);
    try {
      print(line_.json ? result.json() : result.text());
      loop_.stop(result.failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
    } catch (const std::system_error& error) {
      complain(error.what());
      loop_.stop(EXIT_FAILURE);
    }
  }

  void lost(std::error_code reason) {
    if (shell_) return shell_->lost(reason);
    if (line_.traced) return;  // what was asked is rejected
    if (line_.repeat == 0) runner_.lost(reason.message());
  }

  LoopManager& loop_;
  const CommandLine& line_;
  std::vector<Call> script_;
  NodeClient client_;
  CallRunner runner_;
  Repetition repetition_;
  std::unique_ptr<Shell> shell_;
};

/// The calls that the command line gives, but what would come after an exit.
std::vector<Call> read_script(const CommandLine& line) {
  const std::string text = line.code ? *line.code : read_file(line.file);
  try {
    std::vector<Call> calls = parse_calls(text);
    const auto is_exit = [](const Call& call) { return call.kind == Call::Kind::Exit; };
    calls.erase(std::find_if(calls.begin(), calls.end(), is_exit), calls.end());
    return calls;
  } catch (const ScriptError& error) {
    if (line.code) throw;
    throw std::runtime_error(line.file + ": " + error.what());
  }
}

int run(int argc, char** argv) {
  CommandLine line;
  if (const auto done = read_command_line(line, argc, argv)) return *done;
  std::vector<Call> script;
  try {
    if (line.has_script()) script = read_script(line);
  } catch (const std::exception& error) {
    complain(error.what());
    return kUsageError;
  }
  const auto asks_a_node = [](const Call& call) { return request_of(call).has_value(); };
  if (line.has_script() && line.repeat == 0 && std::none_of(script.begin(), script.end(), asks_a_node)) {
    for (const Call& call : script) print(own_answer_text(call, line.json));
    return EXIT_SUCCESS;
  }
  DescriptorLogSink sink(2);
  Log log(sink, LogLevel::Error);
  LoopManager loop(std::make_unique<UvPoller>(), Io::system(), log);
  Session session(loop, line, std::move(script));
  return loop.run();
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
