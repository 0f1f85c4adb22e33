// Databases and real processes: those that die, and those that hold on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#include <snowfox/sqlite/sqlite_database.h>

#include "sqlite_fixture.h"

namespace snowfox {
namespace {

using ::testing::HasSubstr;

/// names_writer, with pipes to its input and from its output. Killed, if it runs, and waited for.
class NamesWriter {
 public:
  NamesWriter(const std::string& path, int clients) {
    int in[2];
    int out[2];
    if (::pipe2(in, O_CLOEXEC) != 0 || ::pipe2(out, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(in[0], STDIN_FILENO);
      ::dup2(out[1], STDOUT_FILENO);
      ::execl(SNOWFOX_NAMES_WRITER, "names_writer", path.c_str(), std::to_string(clients).c_str(), nullptr);
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    in_ = in[1];
    out_ = out[0];
  }
  ~NamesWriter() {
    kill();
    ::close(out_);
    ::close(in_);
  }
  NamesWriter(const NamesWriter&) = delete;
  NamesWriter& operator=(const NamesWriter&) = delete;

  void kill() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  /// The next whole line; empty at the end.
  std::string line() {
    for (;;) {
      if (const auto end = received_.find('\n'); end != std::string::npos) {
        std::string text = received_.substr(0, end);
        received_.erase(0, end + 1);
        return text;
      }
      char bytes[4096];
      const ssize_t got = ::read(out_, bytes, sizeof bytes);
      if (got <= 0) return {};
      received_.append(bytes, static_cast<std::size_t>(got));
    }
  }

 private:
  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  std::string received_;
};

class SqliteProcessTest : public ::testing::Test, protected SqliteFile {
 protected:
  LoopManager loop;
};

// Goal: what was acknowledged is there, whenever the process is killed, and nothing by half.
TEST_F(SqliteProcessTest, KeepsWhatItAcknowledgedThoughItIsKilled) {
  std::mt19937 random(std::random_device{}());
  const int rounds = std::getenv("SNOWFOX_LOAD_IN_FULL") != nullptr ? 200 : 12;
  options.path = directory / "numbers.db";
  options.application_id = 0;
  options.migrations.clear();
  std::set<std::int64_t> acknowledged;
  for (int round = 0; round < rounds; ++round) {
    NamesWriter writer(options.path, 1 + static_cast<int>(random() % 50));
    const std::size_t lines = 1 + random() % 200;
    for (std::size_t i = 0; i < lines; ++i) acknowledged.insert(std::stoll(writer.line()));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    writer.kill();
    for (std::string text = writer.line(); !text.empty(); text = writer.line()) acknowledged.insert(std::stoll(text));

    SqliteDatabase database(loop, options);
    const auto read = [](SqliteSnapshot& s) {
      std::set<std::int64_t> there;
      s.each<std::int64_t>("SELECT number FROM firsts", [&](std::int64_t number) { there.insert(number); });
      const auto halves = s.one<std::int64_t>(
          "SELECT (SELECT count(*) FROM firsts WHERE number NOT IN (SELECT number FROM seconds)) +"
          "       (SELECT count(*) FROM seconds WHERE number NOT IN (SELECT number FROM firsts))");
      EXPECT_EQ(halves, 0);
      EXPECT_EQ(s.one<std::string>("PRAGMA integrity_check"), "ok");
      return there;
    };
    const auto there = outcome(loop, database.read(read));
    for (const std::int64_t number : acknowledged) EXPECT_TRUE(there.contains(number)) << number << " was lost";
  }
  std::printf("   %d kills, %zu acknowledged\n", rounds, acknowledged.size());
}

TEST_F(SqliteProcessTest, WaitsForAnotherProcessAndNotForEver) {
  options.busy_timeout = 50ms;
  SqliteDatabase database(loop, options);
  {
    NamesWriter other(options.path, 0);
    ASSERT_EQ(other.line(), "locked");
    const std::exception_ptr why = failure(loop, database.write(&insert, std::string("one")));
    EXPECT_EQ(code_of(why), SqliteErrc::Busy);
    EXPECT_THAT(describe(why), HasSubstr(options.path));
    EXPECT_EQ(outcome(loop, database.read(&count)), 0);
  }
  EXPECT_EQ(outcome(loop, database.write(&insert, std::string("one"))), 1);
}

TEST_F(SqliteProcessTest, GoesOnWhenAnotherProcessLetsGo) {
  SqliteDatabase database(loop, options);
  auto other = std::make_unique<NamesWriter>(options.path, 0);
  ASSERT_EQ(other->line(), "locked");
  auto written = database.write(&insert, std::string("one"));
  loop.run_for(30ms);
  EXPECT_FALSE(written.settled());
  other.reset();
  EXPECT_EQ(outcome(loop, std::move(written)), 1);
}

}  // namespace
}  // namespace snowfox
