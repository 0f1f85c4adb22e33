// ledger FILE: keeps each line of its standard input in the database FILE, and answers with its number when it is
// durable; `?` asks for the last ten. Until its input ends, or SIGINT or SIGTERM.
#include <fcntl.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/io.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/line_source.h>
#include <snowfox/sources/signal_source.h>
#include <snowfox/sqlite/sqlite_database.h>

using namespace snowfox;

namespace {

// These two run on another thread: they see the database, what they are given, and nothing else.
std::int64_t keep(SqliteTransaction& t, const std::string& line) {
  t.run("INSERT INTO lines (text) VALUES (?)", line);
  return t.last_insert_id();
}

std::string last_ten(SqliteSnapshot& s) {
  std::string text;
  const auto rows = s.all<std::int64_t, std::string>("SELECT * FROM lines ORDER BY number DESC LIMIT 10");
  for (const auto& [number, line] : rows) text += std::to_string(number) + ": " + line + "\n";
  return text;
}

void say(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) throw std::invalid_argument("usage: ledger FILE");
  LoopManager loop;
  SignalSource quit(loop, {SIGINT, SIGTERM}, [](int) { throw CleanExit(); });
  SqliteOptions options;
  options.path = argv[1];
  options.application_id = 0x6C656467;
  options.migrations = {{1, "CREATE TABLE lines (number INTEGER PRIMARY KEY, text TEXT NOT NULL)"}};
  SqliteDatabase database(loop, options);

  const auto handle = [&](const TextLine& line) {
    if (line.text == "?") {
      database.read(&last_ten).then(&say).detach();
    } else {
      database.write(&keep, std::string(line.text))
          .then([](std::int64_t number) { say("kept " + std::to_string(number) + "\n"); })
          .otherwise([](const std::exception_ptr& error) { say("not kept: " + describe(error) + "\n"); })
          .detach();
    }
  };
  // Opened anew: whoever has started us keeps his own in blocking mode.
  Descriptor input(loop.io(), ::open("/dev/stdin", O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!input) throw std::system_error(errno, std::system_category(), "open /dev/stdin");
  // The loop ends when all that was read is durable and answered.
  LineSource lines(loop, std::move(input), handle, [](std::error_code) { throw CleanExit(); });
  database.backlog().bind(lines.id());
  return loop.run();
} catch (const std::exception& error) {
  std::fprintf(stderr, "ledger: %s\n", error.what());
  return 1;
}
