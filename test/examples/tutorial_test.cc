#include <sys/socket.h>
#include <sys/stat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/core/address.h>
#include <snowfox/core/io.h>

#include "examples/program.h"
#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using testing::HasSubstr;

/// A tally, and where it says it can be reached.
struct Tally : Program {
  explicit Tally(std::vector<std::string> arguments) : Program("tally", std::move(arguments)) {
    const std::string ready = line();
    const std::string_view before = "tally: counting on UDP port ", between = ", answering on ";
    const std::size_t comma = ready.find(between);
    if (!ready.starts_with(before) || comma == std::string::npos) throw std::runtime_error("said: " + ready + errors());
    udp = Address::parse(ready.substr(before.size(), comma - before.size()));
    queries = Address::parse(ready.substr(comma + between.size()));
  }

  void tell(std::string_view datagram) const {
    const Descriptor socket(Io::system(), ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::sendto(socket.get(), datagram.data(), datagram.size(), 0, udp.data(), udp.size()),
              static_cast<ssize_t>(datagram.size()));
  }

  Address udp;
  Address queries;
};

/// Someone who asks a tally.
class Client {
 public:
  explicit Client(const Tally& tally) : socket_(connect_to(tally.queries)) {
    const timeval patience{20, 0};
    setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }

  void send(std::string_view bytes) const { EXPECT_EQ(send_some(socket_.get(), bytes), bytes.size()); }
  /// The next line; "closed" when there are no more, "silence" if none comes.
  std::string line() const {
    std::string text;
    for (char next = 0;;) {
      const ssize_t count = ::recv(socket_.get(), &next, 1, 0);
      if (count <= 0) return count < 0 && errno == EAGAIN ? "silence" : "closed";
      if (next == '\n') return text;
      text += next;
    }
  }
  std::string ask(const std::string& question) const {
    send(question + "\n");
    return line();
  }
  /// Asks until that is the answer: a datagram told before may be handled after the question. Gives the last answer.
  std::string ask_until(const std::string& question, const std::string& answer) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    std::string last;
    while (last != answer && last != "closed" && std::chrono::steady_clock::now() < deadline) last = ask(question);
    return last;
  }

 private:
  Descriptor socket_;
};

struct TallyTest : testing::Test {
  std::vector<std::string> arguments() const { return {"--udp", "0", "--tcp", "0", "--journal", journal}; }
  /// What a tally says that cannot start, and its exit code.
  static std::pair<int, std::string> refusal(std::vector<std::string> given) {
    return snowfox::refusal("tally", std::move(given));
  }

  TemporaryDirectory directory;
  std::string journal = directory / "journal";
};

TEST(TickerTest, SaysTheTimeUntilSigterm) {
  Program ticker("ticker", {});
  EXPECT_EQ(ticker.line(), "1 s");
  EXPECT_EQ(ticker.terminate(), 0);
}

TEST_F(TallyTest, CountsWhatItIsToldAndAnswers) {
  Tally tally(arguments());
  const Client client(tally);
  EXPECT_EQ(client.ask("list"), "end");
  EXPECT_EQ(client.ask("get web.hits"), "error: nothing was counted under that name");
  tally.tell("web.hits:1");
  tally.tell("web.hits:41\n");
  tally.tell("mail.sent:0");
  EXPECT_EQ(client.ask_until("get mail.sent", "0"), "0");
  EXPECT_EQ(client.ask("get web.hits"), "42");
  client.send("list\r\nput web.hits\n");
  EXPECT_EQ(client.line(), "mail.sent 0");
  EXPECT_EQ(client.line(), "web.hits 42");
  EXPECT_EQ(client.line(), "end");
  EXPECT_EQ(client.line(), "error: expected `get NAME` or `list`");
}

TEST_F(TallyTest, HasWrittenAllItCountedWhenItEnds) {
  std::string written;
  for (int run = 1; run <= 2; ++run) {
    Tally tally(arguments());
    const Client client(tally);
    int told = 0;
    for (int part = 0; part < 10; ++part) {
      for (int i = 0; i < 100; ++i) {  // so many that the kernel keeps them all
        const std::string count = "run." + std::to_string(run) + ":" + std::to_string(++told);
        tally.tell(count);
        written += count + "\n";
      }
      ASSERT_NE(client.ask_until("get run." + std::to_string(run), std::to_string(told * (told + 1) / 2)), "closed");
    }
    EXPECT_EQ(tally.terminate(), 0);
  }
  EXPECT_EQ(contents(journal), written);
}

TEST_F(TallyTest, IgnoresBadDatagramsAndSaysSo) {
  Tally tally(arguments());
  const Client client(tally);
  for (const std::string_view bad : {"", "web.hits", "web.hits:many", "../x:1"}) tally.tell(bad);
  tally.tell("web.hits:1" + std::string(1000, '0'));
  tally.tell("web.hits:7");
  EXPECT_EQ(client.ask_until("get web.hits", "7"), "7");
  EXPECT_EQ(tally.terminate(), 0);
  EXPECT_EQ(contents(journal), "web.hits:7\n");
  for (const std::string_view why :
       {"expected NAME:VALUE", "expected a number", "a name has", "longer than 512 bytes"}) {
    EXPECT_THAT(tally.errors(), HasSubstr(why));
  }
}

TEST_F(TallyTest, ClosesOnlyTheClientWhoseLineIsTooLong) {
  Tally tally(arguments());
  const Client good(tally), bad(tally);
  EXPECT_EQ(good.ask("list"), "end");
  EXPECT_EQ(bad.ask("list"), "end");
  bad.send(std::string(257, 'x'));
  EXPECT_EQ(bad.line(), "closed");
  EXPECT_EQ(good.ask("list"), "end");
  EXPECT_EQ(tally.terminate(), 0);
  EXPECT_THAT(tally.errors(), HasSubstr("line longer than 256 bytes"));
}

TEST_F(TallyTest, MakesItsFilesForItsUserAndGroupOnly) {
  const mode_t before = ::umask(022);
  const std::string path = directory / "socket";
  Tally tally({"--udp", "0", "--unix", path, "--journal", journal});
  ::umask(before);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0660U);
  ASSERT_EQ(::stat(journal.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640U);
  EXPECT_EQ(Client(tally).ask("list"), "end");
  EXPECT_EQ(tally.terminate(), 0);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(TallyTest, SaysWhichPortIsTaken) {
  const Tally tally(arguments());
  const std::string udp = std::to_string(tally.udp.port()), tcp = std::to_string(tally.queries.port());
  EXPECT_EQ(refusal({"--udp", udp, "--tcp", "0", "--journal", journal}),
            std::pair(1, "tally: bind UDP port " + udp + ": Address already in use\n"));
  EXPECT_EQ(refusal({"--udp", "0", "--tcp", tcp, "--journal", journal}),
            std::pair(1, "tally: listen on tcp:127.0.0.1:" + tcp + ": Address already in use\n"));
}

TEST_F(TallyTest, SaysWhyItCannotWriteItsJournal) {
  EXPECT_EQ(refusal({"--udp", "0", "--tcp", "0", "--journal", "/nowhere/journal"}),
            std::pair(1, std::string("tally: open journal /nowhere/journal: No such file or directory\n")));
  Tally tally({"--udp", "0", "--tcp", "0", "--journal", "/dev/full"});
  tally.tell("web.hits:1");
  EXPECT_EQ(tally.wait(), 1);
  EXPECT_THAT(tally.errors(), HasSubstr("write journal: No space left on device"));
}

TEST_F(TallyTest, TellsAMistakeOnTheCommandLineFromAFailure) {
  Program help("tally", {"--help"});
  EXPECT_THAT(help.line(), HasSubstr("Counts what it is told"));
  EXPECT_EQ(help.wait(), 0);
  EXPECT_EQ(refusal({}).first, 2);
  EXPECT_EQ(refusal({"--udp", "0", "--tcp", "0", "--unix", directory / "socket", "--journal", journal}).first, 2);
  EXPECT_EQ(refusal({"--udp", "0", "--tcp", "65536", "--journal", journal}).first, 2);
  EXPECT_EQ(refusal({"--udp", "unix:" + directory / "socket", "--tcp", "0", "--journal", journal}),
            std::pair(2, std::string("tally: --udp takes [HOST:]PORT\n")));
}

// Goal: what the tutorial shows is what is built and tested: each block of C++ in it stands in a file as it is.
TEST(TutorialTest, QuotesItsProgramWordForWord) {
  const std::string source = SNOWFOX_SOURCE_DIRECTORY;
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(source + "/examples/tutorial")) {
    files[entry.path().filename()] = contents(entry.path());
  }
  const std::string page = contents(source + "/docs/tutorial.md");
  const std::string_view begin = "\n```cpp\n", end = "\n```\n";
  std::size_t blocks = 0;
  for (std::size_t at = page.find(begin); at != std::string::npos; at = page.find(begin, at), ++blocks) {
    at += begin.size();
    const std::string block = page.substr(at, page.find(end, at) + 1 - at);
    const auto quotes = [&](const auto& file) { return file.second.find(block) != std::string::npos; };
    EXPECT_TRUE(std::any_of(files.begin(), files.end(), quotes)) << "in no file of examples/tutorial:\n" << block;
  }
  EXPECT_GE(blocks, 10U);
}

}  // namespace
}  // namespace snowfox
