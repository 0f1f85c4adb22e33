// names_writer PATH COUNT: writes numbered pairs of rows from COUNT clients at a time, and says on standard output, one
// number a line, which are durable: until it is killed. With COUNT 0 it takes the database, says so, and keeps it until
// its input ends.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include <sqlite3.h>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/task.h>
#include <snowfox/sqlite/sqlite_database.h>

namespace {

using namespace snowfox;

void say(const std::string& line) {
  const std::string text = line + "\n";
  // The parent may have stopped listening, as it does when it kills us.
  if (::write(STDOUT_FILENO, text.data(), text.size()) < 0) std::_Exit(1);
}

int keep_locked(const char* path) {
  sqlite3* database = nullptr;
  if (sqlite3_open(path, &database) != SQLITE_OK) return 1;
  if (sqlite3_exec(database, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) != SQLITE_OK) return 1;
  say("locked");
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}

// Two rows a unit: half of one would show.
void write_both(SqliteTransaction& t, std::int64_t number) {
  t.run("INSERT INTO firsts VALUES (?)", number);
  t.run("INSERT INTO seconds VALUES (?)", number);
}

Task<> write_on(SqliteDatabase& database, std::int64_t& last) {
  for (;;) {
    const std::int64_t number = ++last;
    co_await database.write(&write_both, number);
    say(std::to_string(number));
  }
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) return 2;
  const int clients = std::atoi(argv[2]);
  if (clients == 0) return keep_locked(argv[1]);
  LoopManager loop;
  SqliteOptions options;
  options.path = argv[1];
  options.migrations = {{1,
                         "CREATE TABLE firsts (number INTEGER PRIMARY KEY);"
                         "CREATE TABLE seconds (number INTEGER PRIMARY KEY)"}};
  SqliteDatabase database(loop, options);
  std::int64_t last = 0;
  const auto largest = [](SqliteSnapshot& s) {
    return *s.one<std::int64_t>("SELECT coalesce(max(number), 0) FROM firsts");
  };
  database.read(largest)
      .then([&](std::int64_t number) {
        last = number;
        for (int i = 0; i < clients; ++i) write_on(database, last).detach(loop);
      })
      .detach();
  return loop.run();
} catch (const std::exception& error) {
  std::fprintf(stderr, "names_writer: %s\n", error.what());
  return 1;
}
