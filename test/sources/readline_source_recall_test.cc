// What the user need not type: completion and history.
#include <snowfox/sources/readline_source.h>

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sources/readline_source_fixture.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using testing::ElementsAre;

constexpr std::string_view kUp = "\x1b[A";
constexpr std::string_view kDown = "\x1b[B";

// --- completion ---

class ReadlineSourceCompletionTest : public ReadlineSourceTest {
 protected:
  void start_with(std::vector<std::string> candidates) {
    ReadlineOptions with = options();
    with.complete = [this, candidates = std::move(candidates)](std::string_view word, std::string_view line) {
      word_ = word;
      line_ = line;
      return candidates;
    };
    start(with);
  }
  std::string word_;
  std::string line_;
};

TEST_F(ReadlineSourceCompletionTest, CompletesTheOnlyCandidate) {
  start_with({"node.status(", "service.list("});
  type("x = no\t");
  EXPECT_EQ(word_, "no");
  EXPECT_EQ(line_, "x = no");
  EXPECT_THAT(rows(), ElementsAre("> x = node.status("));
  type(")\r");
  EXPECT_THAT(lines_, ElementsAre("x = node.status()"));
}

TEST_F(ReadlineSourceCompletionTest, CompletesWhatCandidatesHaveInCommonThenListsThem) {
  start_with({"service.start(", "service.stop(", "service.list(", "service.stop("});
  type("ser\t");
  EXPECT_THAT(rows(), ElementsAre("> service."));
  type("st\t");
  EXPECT_THAT(rows(), ElementsAre("service.start(  service.stop(", "> service.st"));
  type("o\t1)\r");
  EXPECT_THAT(lines_, ElementsAre("service.stop(1)"));
}

TEST_F(ReadlineSourceCompletionTest, CompletesTheWordUnderTheCursor) {
  start_with({"wörld", "wörst"});
  type("hello w !");
  type("\x1b[D\x1b[D\t");
  EXPECT_EQ(word_, "w");
  EXPECT_THAT(rows(), ElementsAre("> hello wör !"));
  type("l\t\r");
  EXPECT_THAT(lines_, ElementsAre("hello wörld !"));
}

TEST_F(ReadlineSourceCompletionTest, BeepsWithoutCandidates) {
  start_with({"else"});
  type("x\t");
  EXPECT_TRUE(terminal_.screen().beeped());
  EXPECT_THAT(rows(), ElementsAre("> x"));
}

TEST_F(ReadlineSourceCompletionTest, SurvivesACompletionThatThrows) {
  ReadlineOptions with = options();
  with.complete = [](std::string_view, std::string_view) -> std::vector<std::string> {
    throw std::runtime_error("cannot tell");
  };
  start(with);
  type("x\ty\r");
  EXPECT_THAT(lines_, ElementsAre("xy"));
  EXPECT_EQ(loop_.counters().failed, 1U);
}

// --- history ---

TEST_F(ReadlineSourceTest, RecallsEarlierLines) {
  start();
  type("one\rtwo\r");
  type("thr");
  type(kUp);
  EXPECT_EQ(rows().back(), "> two");
  type(kUp);
  EXPECT_EQ(rows().back(), "> one");
  type(kDown);
  type(kDown);
  EXPECT_EQ(rows().back(), "> thr");
  type(kUp);
  type("!\r");
  EXPECT_THAT(lines_, ElementsAre("one", "two", "two!"));
}

TEST_F(ReadlineSourceTest, SearchesEarlierLines) {
  start();
  type("first line\rsecond line\rthird\r");
  type("x\x12li");
  EXPECT_EQ(rows().back(), "(search)`li': second line");
  type("\x12");
  EXPECT_EQ(rows().back(), "(search)`li': first line");
  type("\x12");
  EXPECT_EQ(rows().back(), "(failed search)`li': first line");
  type("\x7f\x7f");
  EXPECT_EQ(rows().back(), "(search)`': x");
  type("sec\x05!\r");
  EXPECT_EQ(lines_.back(), "second line!");
  type("keep\x12third\x07");
  EXPECT_EQ(rows().back(), "> keep");
  type("\x12third\r");
  EXPECT_EQ(lines_.back(), "third");
}

TEST_F(ReadlineSourceTest, KeepsItsHistoryInAPrivateFile) {
  TemporaryDirectory directory;
  ReadlineOptions with = options();
  with.history_file = directory / "history";
  const mode_t mask = umask(0);
  start(with);
  type("one\r secret\rone\rtwo\r\r");
  umask(mask);
  struct stat status {};
  ASSERT_EQ(stat(with.history_file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  std::ifstream file(with.history_file);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "one\ntwo\n");

  source_.reset();
  start(with);
  type(kUp);
  type(kUp);
  EXPECT_EQ(rows().back(), "> one");
}

TEST_F(ReadlineSourceTest, KeepsABoundedHistory) {
  TemporaryDirectory directory;
  ReadlineOptions with = options();
  with.history_file = directory / "history";
  with.history_lines = 3;
  {
    std::ofstream file(with.history_file);
    for (int i = 0; i < 100; ++i) file << "line " << i << "\n";
  }
  start(with);
  type("new\r");
  std::ifstream file(with.history_file);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(file), {}), "line 97\nline 98\nline 99\nnew\n");
  for (int i = 0; i < 10; ++i) type(kUp);
  EXPECT_EQ(rows().back(), "> line 98");
  for (int i = 0; i < 20; ++i) type("x" + std::to_string(i) + "\r");
  std::ifstream after(with.history_file);
  EXPECT_LE(std::count(std::istreambuf_iterator<char>(after), {}, '\n'), 6);
}

TEST_F(ReadlineSourceTest, WorksWithAHistoryItCannotKeep) {
  ReadlineOptions with = options();
  with.history_file = "/no/such/directory/history";
  start(with);
  type("one\r");
  type(kUp);
  EXPECT_EQ(rows().back(), "> one");
}

}  // namespace
}  // namespace snowfox
