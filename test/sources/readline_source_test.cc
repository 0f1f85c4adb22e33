#include <snowfox/sources/readline_source.h>

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>

#include "support/run_until.h"
#include "support/temporary_directory.h"

// libtinfo keeps the descriptions of terminals that it has read until the process ends.
extern "C" const char* __lsan_default_suppressions() { return "leak:libtinfo"; }    // NOLINT: its name is given
extern "C" const char* __lsan_default_options() { return "print_suppressions=0"; }  // NOLINT

namespace snowfox {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view kUp = "\x1b[A";
constexpr std::string_view kDown = "\x1b[B";
constexpr std::string_view kLeft = "\x1b[D";

/// What a terminal shows of what is written to it, as far as libedit makes use of it.
class Screen {
 public:
  explicit Screen(std::size_t columns) : columns_(columns) {}

  void write(std::string_view bytes) {
    for (const char byte : bytes) put(byte);
  }
  /// The rows, without blanks at their ends and without empty rows at the end.
  std::vector<std::string> rows() const {
    std::vector<std::string> all;
    for (const auto& row : rows_) {
      std::string text;
      for (const std::string& cell : row) text += cell;
      text.erase(text.find_last_not_of(' ') + 1);
      all.push_back(text);
    }
    while (!all.empty() && all.back().empty()) all.pop_back();
    return all;
  }
  std::size_t cursor_row() const { return row_; }
  std::size_t cursor_column() const { return column_; }
  bool beeped() const { return beeped_; }

 private:
  using Row = std::vector<std::string>;

  void put(char byte) {
    if (!sequence_.empty()) {
      sequence_ += byte;
      if (sequence_.size() > 2 && byte >= '@' && byte <= '~') control(std::exchange(sequence_, {}));
      return;
    }
    switch (byte) {
      case '\x1b': sequence_ = byte; break;
      case '\r': column_ = 0; break;
      case '\n': ++row_; break;
      case '\b':
        if (column_ > 0) --column_;
        break;
      case '\a': beeped_ = true; break;
      default: character(byte);
    }
  }

  void character(char byte) {
    if ((static_cast<unsigned char>(byte) & 0xC0) == 0x80) {  // goes on with the one before
      cell(row_, column_ - 1) += byte;
      return;
    }
    if (column_ == columns_) {  // only the next character wraps
      column_ = 0;
      ++row_;
    }
    cell(row_, column_++) = byte;
  }

  void control(const std::string& sequence) {
    const std::size_t number = std::strtoul(sequence.c_str() + 2, nullptr, 10);
    const std::size_t count = number == 0 ? 1 : number;
    switch (sequence.back()) {
      case 'A': row_ -= std::min(row_, count); break;
      case 'C': column_ = std::min(column_ + count, columns_ - 1); break;
      case 'D': column_ -= std::min(column_, count); break;
      case 'G': column_ = count - 1; break;
      case 'K':
        for (std::size_t at = column_; at < columns_; ++at) cell(row_, at) = " ";
        break;
      case 'J':
        if (number == 2) rows_.clear();
        break;
      case 'H': row_ = column_ = 0; break;
      case 'P': {
        cell(row_, columns_ - 1);
        Row& row = rows_[row_];
        row.erase(row.begin() + static_cast<long>(column_), row.begin() + static_cast<long>(column_ + count));
        break;
      }
      case '@':
        cell(row_, columns_ - 1);
        rows_[row_].insert(rows_[row_].begin() + static_cast<long>(column_), count, " ");
        rows_[row_].resize(columns_);
        break;
      case 'm':
      case 'h':
      case 'l': break;
      default: ADD_FAILURE() << "the screen does not know " << sequence.substr(1);
    }
  }

  std::string& cell(std::size_t row, std::size_t column) {
    if (rows_.size() <= row) rows_.resize(row + 1);
    if (rows_[row].size() <= column) rows_[row].resize(column + 1, " ");
    return rows_[row][column];
  }

  std::size_t columns_;
  std::vector<Row> rows_;
  std::size_t row_ = 0;
  std::size_t column_ = 0;
  bool beeped_ = false;
  std::string sequence_;
};

/// A pseudo-terminal: the program's side, and the keyboard and screen at the other.
class PseudoTerminal {
 public:
  explicit PseudoTerminal(unsigned short columns = 40) : screen_(columns) {
    winsize size{};
    size.ws_row = 24;
    size.ws_col = columns;
    if (openpty(&keyboard_, &terminal_, nullptr, nullptr, &size) != 0) {
      throw std::system_error(errno, std::system_category(), "open a pseudo-terminal");
    }
    fcntl(keyboard_, F_SETFL, O_NONBLOCK);
    tcgetattr(terminal_, &found_);
  }
  ~PseudoTerminal() {
    close_keyboard();
    close(terminal_);
  }
  PseudoTerminal(const PseudoTerminal&) = delete;
  PseudoTerminal& operator=(const PseudoTerminal&) = delete;

  int fd() const { return terminal_; }
  void send(std::string_view keys) {
    ASSERT_EQ(write(keyboard_, keys.data(), keys.size()), static_cast<ssize_t>(keys.size()));
  }
  /// Returns when `keys` can be read, which is a moment later.
  void type(std::string_view keys) {
    send(keys);
    termios now{};
    tcgetattr(terminal_, &now);
    pollfd readable{terminal_, POLLIN, 0};
    for (int i = 0; i < 1000 && poll(&readable, 1, 1000) == 1; ++i) {
      int there = 0;
      ioctl(terminal_, FIONREAD, &there);
      if ((now.c_lflag & ICANON) != 0 || there >= static_cast<int>(keys.size())) return;
      usleep(1000);
    }
  }
  pid_t foreground_group() const { return tcgetpgrp(keyboard_); }
  Screen& screen() {
    std::array<char, 4096> bytes;
    for (ssize_t size = 0; (size = read(keyboard_, bytes.data(), bytes.size())) > 0;) {
      screen_.write({bytes.data(), static_cast<std::size_t>(size)});
    }
    return screen_;
  }
  void resize(unsigned short columns) {
    winsize size{};
    size.ws_row = 24;
    size.ws_col = columns;
    ioctl(terminal_, TIOCSWINSZ, &size);
  }
  void close_keyboard() {
    if (keyboard_ >= 0) close(std::exchange(keyboard_, -1));
  }
  /// Whether it is in the mode it was made in.
  bool as_found() const {
    termios now{};
    tcgetattr(terminal_, &now);
    return now.c_iflag == found_.c_iflag && now.c_oflag == found_.c_oflag && now.c_cflag == found_.c_cflag &&
           now.c_lflag == found_.c_lflag && std::equal(std::begin(now.c_cc), std::end(now.c_cc), found_.c_cc);
  }
  bool echoes() const {
    termios now{};
    tcgetattr(terminal_, &now);
    return (now.c_lflag & ECHO) != 0;
  }

 private:
  int keyboard_ = -1;
  int terminal_ = -1;
  termios found_{};
  Screen screen_;
};

class ReadlineSourceTest : public testing::Test {
 protected:
  ReadlineSourceTest() { setenv("TERM", "vt100", 1); }

  ReadlineOptions options() {
    ReadlineOptions options;
    options.input = options.output = terminal_.fd();
    return options;
  }
  ReadlineHandlers handlers() {
    return {.line = [this](const std::string& line) { lines_.push_back(line); },
            .end = [this] { ++ends_; },
            .interrupt = [this] { ++interrupts_; },
            .too_long = [this] { ++too_long_; }};
  }
  void start() { start(options()); }
  void start(ReadlineOptions options) {
    source_.emplace(loop_, std::move(options), handlers());
    settle();
  }
  /// Lets the loop handle all that was typed.
  void settle() { run_what_is_ready(loop_); }
  void type(std::string_view keys) {
    terminal_.type(keys);
    settle();
  }
  std::vector<std::string> rows() { return terminal_.screen().rows(); }

  PseudoTerminal terminal_;
  LoopManager loop_;
  std::vector<std::string> lines_;
  int ends_ = 0;
  int interrupts_ = 0;
  int too_long_ = 0;
  std::optional<ReadlineSource> source_;
};

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

// --- control keys, modes and signals ---

TEST_F(ReadlineSourceTest, DropsTheLineAtCtrlC) {
  start();
  type("half\x1b[D\x03");
  EXPECT_EQ(interrupts_, 1);
  EXPECT_THAT(rows(), ElementsAre("> half^C", ">"));
  type("whole\r");
  EXPECT_THAT(lines_, ElementsAre("whole"));
}

// Goal: flow control is for slow terminals; here it would stop the loop.
TEST_F(ReadlineSourceTest, GoesOnAfterCtrlS) {
  start();
  type("a\x13");
  type("b\r");
  EXPECT_THAT(lines_, ElementsAre("ab"));
}

TEST_F(ReadlineSourceTest, EndsAtCtrlDOnAnEmptyLineOnly) {
  start();
  type("ab\x01\x04");
  EXPECT_THAT(rows(), ElementsAre("> b"));
  EXPECT_EQ(ends_, 0);
  type("\x7f\x05\x7f");
  type("\x04");
  EXPECT_EQ(ends_, 1);
  EXPECT_THAT(rows(), ElementsAre(">", ">")) << "one may go on";
}

// Goal: without a handler the end is the end, and leaves the terminal as it was.
TEST_F(ReadlineSourceTest, EndsTheLoopAtCtrlD) {
  source_.emplace(loop_, options(), ReadlineHandlers{.line = [](const std::string&) {}});
  terminal_.type("\x04");
  EXPECT_EQ(loop_.run(), 0);
  EXPECT_TRUE(terminal_.as_found());
}

TEST_F(ReadlineSourceTest, RestoresTheTerminalWhenTheLoopEnds) {
  source_.emplace(loop_, options(),
                  ReadlineHandlers{.line = [](const std::string&) {}, .interrupt = [this] { loop_.stop(); }});
  settle();
  terminal_.type("half\x03");
  EXPECT_EQ(loop_.run(), 0);
  EXPECT_TRUE(terminal_.as_found());
}

TEST_F(ReadlineSourceTest, RestoresTheTerminalWhenDestroyed) {
  start();
  EXPECT_FALSE(terminal_.echoes());
  type("half");
  source_.reset();
  EXPECT_TRUE(terminal_.as_found());
  EXPECT_THAT(rows(), IsEmpty()) << "the prompt is left";
}

TEST_F(ReadlineSourceTest, RestoresTheTerminalWhenAnExceptionEndsTheProgram) {
  try {
    LoopManager loop;
    ReadlineSource source(loop, options(), handlers());
    loop.wait(Duration::zero());
    EXPECT_FALSE(terminal_.echoes());
    throw std::runtime_error("on the way out");
  } catch (const std::runtime_error&) {
  }
  EXPECT_TRUE(terminal_.as_found());
}

TEST_F(ReadlineSourceTest, RestoresTheTerminalAtExit) {
  const pid_t child = fork();
  if (child == 0) {
    start();
    std::exit(terminal_.echoes() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  EXPECT_TRUE(terminal_.as_found());
}

// Goal: a shell that gets the terminal back finds it as it gave it, and we find it as we left it.
TEST_F(ReadlineSourceTest, LeavesTheTerminalWhileStopped) {
  const pid_t child = fork();
  if (child == 0) {
    setsid();
    ioctl(terminal_.fd(), TIOCSCTTY, 0);
    // In a group that nobody is to care for, SIGTSTP does nothing: make one, as a shell would.
    const pid_t job = fork();
    if (job == 0) {
      setpgid(0, 0);
      std::signal(SIGTTOU, SIG_IGN);
      tcsetpgrp(terminal_.fd(), getpid());
      ReadlineSource source(loop_, options(), handlers());
      run_until(loop_, [&] { return !lines_.empty(); });
      _exit(lines_.size() == 1 && lines_[0] == "half a line" ? 0 : 1);
    }
    const auto result = [&]() -> int {
      int status = 0;
      for (int i = 0; i < 2; ++i) {
        if (waitpid(job, &status, WUNTRACED) != job || !WIFSTOPPED(status)) return 10;
        if (!terminal_.as_found()) return 11;
        kill(job, SIGCONT);
      }
      if (waitpid(job, &status, 0) != job || !WIFEXITED(status)) return 12;
      return WEXITSTATUS(status);
    }();
    _exit(result);
  }
  const auto wait_for = [&](auto condition) {
    for (int i = 0; i < 2000 && !condition(); ++i) usleep(5000);
    return condition();
  };
  ASSERT_TRUE(wait_for([&] { return !terminal_.echoes(); }));
  terminal_.send("half a");
  ASSERT_TRUE(wait_for([&] { return !rows().empty() && rows().back() == "> half a"; }));
  terminal_.send("\x1a");  // Ctrl-Z
  ASSERT_TRUE(wait_for([&] { return !rows().empty() && !terminal_.echoes(); }));
  terminal_.send(" li");
  ASSERT_TRUE(wait_for([&] { return !rows().empty() && rows().back() == "> half a li"; }));
  const pid_t group = terminal_.foreground_group();
  ASSERT_GT(group, 1);
  kill(group, SIGTSTP);  // from outside
  terminal_.send("ne");
  ASSERT_TRUE(wait_for([&] { return !rows().empty() && rows().back() == "> half a line"; }));
  terminal_.send("\r");
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << WEXITSTATUS(status);
}

TEST_F(ReadlineSourceTest, FollowsTheSizeOfTheWindow) {
  start();
  type("text");
  terminal_.resize(20);
  raise(SIGWINCH);
  settle();
  EXPECT_EQ(rows().back(), "> text");
  type("0123456789");
  source_->print_above("answer");
  EXPECT_EQ(rows().back(), "> text0123456789");
}

TEST_F(ReadlineSourceTest, GivesSignalHandlersBack) {
  struct sigaction before {};
  struct sigaction after {};
  sigaction(SIGWINCH, nullptr, &before);
  start();
  sigaction(SIGWINCH, nullptr, &after);
  EXPECT_NE(after.sa_handler, before.sa_handler);
  source_.reset();
  sigaction(SIGWINCH, nullptr, &after);
  EXPECT_EQ(after.sa_handler, before.sa_handler);
}

TEST_F(ReadlineSourceTest, EndsWhenTheTerminalIsGone) {
  start();
  terminal_.close_keyboard();
  EXPECT_TRUE(run_until(loop_, [&] { return ends_ == 1; }));
}

TEST_F(ReadlineSourceTest, LeavesTheTerminalBlocking) {
  start();
  EXPECT_EQ(fcntl(terminal_.fd(), F_GETFL) & O_NONBLOCK, 0);
}

TEST_F(ReadlineSourceTest, MayExistOnlyOnceAtATime) {
  start();
  EXPECT_THROW(ReadlineSource(loop_, options(), handlers()), std::system_error);
  source_.reset();
  EXPECT_NO_THROW(ReadlineSource(loop_, options(), handlers()));
}

TEST_F(ReadlineSourceTest, MayBeDestroyedByItsHandler) {
  source_.emplace(loop_, options(), ReadlineHandlers{.line = [this](const std::string& line) {
                    source_.reset();
                    lines_.push_back(line);
                  }});
  terminal_.type("one\rtwo\r");
  EXPECT_EQ(loop_.run(), 0);
  EXPECT_THAT(lines_, ElementsAre("one"));
  EXPECT_TRUE(terminal_.as_found());
}

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
