#include <snowfox/sources/readline_source.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sources/readline_source_fixture.h"
#include "support/temporary_directory.h"

// libtinfo keeps the descriptions of terminals that it has read until the process ends.
extern "C" const char* __lsan_default_suppressions() { return "leak:libtinfo"; }    // NOLINT: its name is given
extern "C" const char* __lsan_default_options() { return "print_suppressions=0"; }  // NOLINT

namespace snowfox {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view kLeft = "\x1b[D";

// --- at a terminal ---

TEST_F(ReadlineSourceTest, ShowsAPromptAndBringsTheLineThatIsTyped) {
  start();
  EXPECT_TRUE(source_->interactive());
  EXPECT_THAT(rows(), ElementsAre(">"));
  type("hello");
  EXPECT_THAT(rows(), ElementsAre("> hello"));
  EXPECT_THAT(lines_, IsEmpty());
  type("\r");
  EXPECT_THAT(lines_, ElementsAre("hello"));
  EXPECT_THAT(rows(), ElementsAre("> hello", ">"));
}

TEST_F(ReadlineSourceTest, WorksWhateverTheTerminal) {
  for (const char* term : {"dumb", "xterm", "linux", "no-such-terminal", ""}) {
    setenv("TERM", term, 1);
    PseudoTerminal terminal;
    ReadlineOptions with;
    with.input = with.output = terminal.fd();
    source_.emplace(loop_, with, handlers());
    settle();
    terminal.type("abd");
    settle();
    terminal.type("\x7f");
    terminal.type("c");
    settle();
    source_->print_above("above");
    terminal.type("d");
    settle();
    EXPECT_EQ(terminal.screen().rows().back(), "> abcd") << term;
    EXPECT_THAT(terminal.screen().rows(), testing::Contains("above")) << term;
    terminal.type("\r");
    settle();
    EXPECT_THAT(lines_, ElementsAre("abcd")) << term;
    lines_.clear();
    source_.reset();
    EXPECT_TRUE(terminal.as_found()) << term;
  }
}

TEST_F(ReadlineSourceTest, BringsLinesPastedAtOnceOneByOne) {
  start();
  type("one\rtwo\rthr");
  EXPECT_THAT(lines_, ElementsAre("one", "two"));
  EXPECT_THAT(rows(), ElementsAre("> one", "> two", "> thr"));
}

TEST_F(ReadlineSourceTest, EditsTheLine) {
  start();
  type("held");
  type(kLeft);
  type("lo wor");
  EXPECT_THAT(rows(), ElementsAre("> hello word"));
  type("\x01>\x05!");        // Ctrl-A, Ctrl-E
  type("\x1b[H\x1b[3~");     // Home, Delete
  type("\x1b[1;5C\x1b[C,");  // a word to the right, then one character
  type("\r");
  EXPECT_THAT(lines_, ElementsAre("hello ,word!"));
}

TEST_F(ReadlineSourceTest, SpeaksUtf8WhateverTheLocale) {
  start();
  type("grün→");
  EXPECT_THAT(rows(), ElementsAre("> grün→"));
  type("\x7f\x7f\x7fün\r");
  EXPECT_THAT(lines_, ElementsAre("grün"));
}

// Goal: what the keyboard sends for one key need not come at once, and nobody waits for the rest.
TEST_F(ReadlineSourceTest, WaitsForTheRestOfAKey) {
  start();
  type("ac");
  for (const char byte : kLeft) type(std::string_view(&byte, 1));
  type("\xc3");
  EXPECT_THAT(rows(), ElementsAre("> ac"));
  type("\xa4");
  EXPECT_THAT(rows(), ElementsAre("> aäc"));
}

TEST_F(ReadlineSourceTest, IgnoresKeysItDoesNotKnow) {
  start();
  type("a\x1b[15~b\x1bOPc\x1b[[Ad\x1b[200~e\x18z\x1bqf\x1b\x1b[D\xff");
  type("X\r");
  EXPECT_THAT(lines_, ElementsAre("abcdezXf"));
}

TEST_F(ReadlineSourceTest, PrintsAboveTheLineBeingTyped) {
  start();
  type("half a li");
  type(kLeft);
  source_->print_above("an answer");
  EXPECT_THAT(rows(), ElementsAre("an answer", "> half a li"));
  EXPECT_EQ(terminal_.screen().cursor_column(), 10U);
  source_->print_above("two\nlines\n");
  type("X");
  EXPECT_THAT(rows(), ElementsAre("an answer", "two", "lines", "> half a lXi"));
  type("\r");
  EXPECT_THAT(lines_, ElementsAre("half a lXi"));
}

TEST_F(ReadlineSourceTest, PrintsAboveALineOfSeveralRows) {
  start();
  const std::string line = "0123456789 0123456789 0123456789 0123456789 0123456789";
  type(line);
  type("\x01");
  source_->print_above("an answer");
  const auto expected = ElementsAre("an answer", "> " + line.substr(0, 38), line.substr(38));
  EXPECT_THAT(rows(), expected);
  EXPECT_EQ(terminal_.screen().cursor_row(), 1U);
  EXPECT_EQ(terminal_.screen().cursor_column(), 2U);
  type("\r");
  EXPECT_THAT(lines_, ElementsAre(line));
}

TEST_F(ReadlineSourceTest, PrintsWhileALineIsHandled) {
  start();
  source_.reset();
  source_.emplace(loop_, options(), ReadlineHandlers{.line = [this](const std::string& line) {
                    EXPECT_TRUE(terminal_.as_found()) << "a handler finds the terminal in another mode";
                    source_->print_above("you said " + line);
                  }});
  settle();
  type("it\r");
  EXPECT_THAT(rows(), ElementsAre("> it", "you said it", ">"));
}

TEST_F(ReadlineSourceTest, ChangesThePrompt) {
  start();
  type("text");
  source_->set_prompt("other> ");
  EXPECT_THAT(rows(), ElementsAre("other> text"));
  source_->set_prompt("> ");
  EXPECT_THAT(rows(), ElementsAre("> text"));
}

TEST_F(ReadlineSourceTest, TypesNoMoreThanALineMayHold) {
  ReadlineOptions with = options();
  with.max_line_bytes = 5;
  start(with);
  type("abcdefg");
  EXPECT_TRUE(terminal_.screen().beeped());
  type("\x7fX\r");
  EXPECT_THAT(lines_, ElementsAre("abcdX"));
}

// Goal: a line longer than the screen is still one line, and still can be printed above.
TEST_F(ReadlineSourceTest, TakesALineLongerThanTheScreen) {
  start();
  std::string line;
  for (int i = 0; i < 40; ++i) {
    line += "0123456789 0123456789 0123456789 012345 " + std::to_string(i);
    type("0123456789 0123456789 0123456789 012345 " + std::to_string(i));
  }
  source_->print_above("answer");
  // Back and forth, then on over the right margin.
  type("\x01");
  type("\x05");
  for (int i = 0; i < 100; ++i) type(".");
  type("\r");
  EXPECT_THAT(lines_, ElementsAre(line + std::string(100, '.')));
}

TEST_F(ReadlineSourceTest, KeepsNoPromptWhilePaused) {
  start();
  source_.reset();
  source_.emplace(loop_, options(), ReadlineHandlers{.line = [this](const std::string&) { source_->pause(); }});
  settle();
  type("one\r");
  EXPECT_EQ(rows().back(), "> one");
  EXPECT_TRUE(terminal_.as_found());
  source_->print_above("the answer");
  source_->resume();
  settle();
  type("tw");
  EXPECT_THAT(rows(), testing::Contains("the answer"));
  EXPECT_EQ(rows().back(), "> tw");
}

TEST_F(ReadlineSourceTest, KeepsWhatWasTypedOverAPause) {
  start();
  type("half");
  source_->pause();
  settle();
  EXPECT_THAT(rows(), IsEmpty());
  EXPECT_TRUE(terminal_.as_found());
  source_->resume();
  settle();
  EXPECT_THAT(rows(), ElementsAre("> half"));
  type("!\r");
  EXPECT_THAT(lines_, ElementsAre("half!"));
}

// --- without a terminal ---

class ReadlineSourceInputTest : public ReadlineSourceTest {
 protected:
  /// A pipe from which `text` can be read, or a file.
  int pipe_with(std::string_view text) {
    std::array<int, 2> ends{};
    EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    EXPECT_EQ(write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
    close(ends[1]);
    return ends[0];
  }
  int file_with(std::string_view text) {
    std::ofstream(directory_ / "input") << text;
    return open((directory_ / "input").c_str(), O_RDONLY | O_CLOEXEC);
  }
  void read_all(int input, std::size_t max_line_bytes = 64U << 10) {
    ReadlineOptions with;
    with.input = input;
    with.output = terminal_.fd();
    with.max_line_bytes = max_line_bytes;
    source_.emplace(loop_, with, handlers());
    EXPECT_FALSE(source_->interactive());
    EXPECT_EQ(loop_.run(), 0) << "after the end there is nothing to wait for";
    EXPECT_EQ(ends_, 1);
    EXPECT_EQ(fcntl(input, F_GETFL) & O_NONBLOCK, 0);
    source_.reset();
    EXPECT_EQ(close(input), 0) << "the input is not ours to close";
    EXPECT_THAT(rows(), IsEmpty()) << "no prompt, no echo";
  }

  TemporaryDirectory directory_;
};

TEST_F(ReadlineSourceInputTest, ReadsLinesFromAPipe) {
  read_all(pipe_with("one\n\ntwo\nlast"));
  EXPECT_THAT(lines_, ElementsAre("one", "", "two", "last"));
}

TEST_F(ReadlineSourceInputTest, ReadsLinesFromAFile) {
  std::string text;
  for (int i = 0; i < 10000; ++i) text += "line " + std::to_string(i) + "\n";
  read_all(file_with(text + "last"));
  ASSERT_EQ(lines_.size(), 10001U);
  EXPECT_EQ(lines_[9999], "line 9999");
  EXPECT_EQ(lines_[10000], "last");
}

TEST_F(ReadlineSourceInputTest, ReadsNothingFromAnEmptyInput) {
  read_all(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_THAT(lines_, IsEmpty());
}

TEST_F(ReadlineSourceInputTest, DropsALineThatIsTooLong) {
  read_all(pipe_with("short\n" + std::string(100, 'x') + "\nshort again\n"), 20);
  EXPECT_THAT(lines_, ElementsAre("short", "short again"));
  EXPECT_EQ(too_long_, 1);
}

TEST_F(ReadlineSourceInputTest, PrintsWithoutATerminal) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  ReadlineOptions with;
  with.input = pipe_with("");
  with.output = ends[1];
  source_.emplace(loop_, with, handlers());
  source_->print_above("an answer");
  std::array<char, 100> bytes{};
  EXPECT_EQ(read(ends[0], bytes.data(), bytes.size()), 10);
  EXPECT_EQ(std::string(bytes.data()), "an answer\n");
  source_.reset();
  for (const int fd : {with.input, ends[0], ends[1]}) close(fd);
}

TEST_F(ReadlineSourceInputTest, RefusesAnInputThatIsNotOpen) {
  ReadlineOptions with;
  with.input = 9999;
  EXPECT_THROW(ReadlineSource(loop_, with, handlers()), std::system_error);
  EXPECT_NO_THROW(ReadlineSource(loop_, options(), handlers()));
}

// Goal: a terminal's own editing, and no prompt, if the output goes elsewhere.
TEST_F(ReadlineSourceInputTest, ReadsLinesFromATerminalIfItsOutputIsNone) {
  ReadlineOptions with = options();
  with.output = open("/dev/null", O_WRONLY | O_CLOEXEC);
  start(with);
  EXPECT_FALSE(source_->interactive());
  EXPECT_TRUE(terminal_.as_found());
  type("one\n");
  EXPECT_THAT(lines_, ElementsAre("one"));
  type("\x04");
  EXPECT_EQ(ends_, 1);
  source_.reset();
  close(with.output);
}

}  // namespace
}  // namespace snowfox
