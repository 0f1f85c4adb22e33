// Control keys, the modes of the terminal, and signals.
#include <snowfox/sources/readline_source.h>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "sources/readline_source_fixture.h"

namespace snowfox {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

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

}  // namespace
}  // namespace snowfox
