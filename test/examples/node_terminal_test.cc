#include <pty.h>
#include <termios.h>
#include <utmp.h>
#include <gmock/gmock.h>

#include "examples/node_fixture.h"

// The client at a terminal: what its prompt does while answers come, signals are typed, and it ends.

namespace snowfox::node {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

/// A client at a terminal, and who sits there.
class Terminal {
 public:
  Terminal(const Address& node, const std::string& home) {
    // Our own end of its side stays open: its mode can be asked for when nobody else has it.
    if (openpty(&terminal_, &side_, nullptr, nullptr, nullptr) != 0)
      throw std::system_error(errno, std::system_category());
    tcgetattr(side_, &found_);
    pid_ = fork();
    if (pid_ != 0) return;
    close(terminal_);
    login_tty(side_);
    setenv("TERM", "xterm", 1);
    setenv("HOME", home.c_str(), 1);
    unsetenv("XDG_STATE_HOME");
    unsetenv("NO_COLOR");
    const std::string program = SNOWFOX_PROGRAM_DIRECTORY "/snow-fox-client";
    execl(program.c_str(), program.c_str(), "--socket", node.str().c_str(), nullptr);
    _exit(127);
  }
  ~Terminal() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    close(terminal_);
    close(side_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void type(std::string_view text) const {
    EXPECT_EQ(write(terminal_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  /// Waits until it is shown, after what was expected before.
  void expect(std::string_view text) {
    std::size_t found = std::string::npos;
    EXPECT_TRUE(eventually([&] {
      read_what_is_shown();
      found = shown_.find(text, seen_);
      return found != std::string::npos;
    })) << "expected '"
        << text << "' in:\n"
        << shown_.substr(seen_);
    if (found != std::string::npos) seen_ = found + text.size();
  }
  /// Whether it has been shown by now, after what was expected before.
  bool shows(std::string_view text) {
    while (read_what_is_shown()) {
    }
    return shown_.find(text, seen_) != std::string::npos;
  }
  void kill(int signal) const { ::kill(pid_, signal); }
  /// Whether it is in the mode it was made in.
  bool as_found() const {
    termios now{};
    tcgetattr(side_, &now);
    return now.c_iflag == found_.c_iflag && now.c_oflag == found_.c_oflag && now.c_lflag == found_.c_lflag;
  }
  int wait() {
    int status = 0;
    EXPECT_TRUE(eventually([&] {
      read_what_is_shown();
      return waitpid(pid_, &status, WNOHANG) == pid_;
    }));
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

 private:
  bool read_what_is_shown() {
    pollfd readable{terminal_, POLLIN, 0};
    std::array<char, 4096> part;
    if (poll(&readable, 1, 0) != 1) return false;
    const ssize_t count = read(terminal_, part.data(), part.size());
    if (count > 0) shown_.append(part.data(), static_cast<std::size_t>(count));
    return count > 0;
  }

  pid_t pid_ = -1;
  int terminal_ = -1;
  int side_ = -1;  // the client's
  termios found_{};
  std::string shown_;
  std::size_t seen_ = 0;
};

using NodeTerminalTest = NodeTest;

TEST_F(NodeTerminalTest, PromptsOnATerminal) {
  start();
  Terminal terminal(socket(), directory_.path());
  terminal.expect("test> ");
  terminal.type("node.sta\t)\r");
  terminal.expect("node.status()");
  terminal.expect("Green\x1b[0m: as desired");
  terminal.type("bogus()\r");
  terminal.expect("attempt to call a nil value (global 'bogus')");
  terminal.type("for i = 1, 2 do\r");
  terminal.expect("....> ");
  terminal.type("print('line ' .. i)\rend\r");
  terminal.expect("line 1\r\nline 2\r\n");
  terminal.type("=6 * 7, 'x'\r");
  terminal.expect("42\tx\r\n");
  terminal.type("p = node.status()\r");
  terminal.type("p:await().node_name .. '!'\r");
  terminal.expect("\r\ntest!\r\n");

  // The connection is lost while somebody types, and made again.
  terminal.type("client.ver");
  terminal.expect("client.ver");
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
  terminal.expect("the connection to the node is lost");
  start();
  terminal.expect("connected again");
  terminal.type("sion().version\r");
  terminal.expect("0.1.0");
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait(), 0);
  const std::string history = directory_ / ".local/state/snow-fox/history";
  EXPECT_THAT(read_file(history), AllOf(StartsWith("node.status()\n"), HasSubstr("=6 * 7, 'x'\n")));
  struct stat found {};
  EXPECT_EQ(::stat(history.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600);
  Terminal again(socket(), directory_.path());
  again.expect("test> ");
  again.type("\x1b[A\r");
  again.expect("client.version().version");
  again.expect("0.1.0");
  stop();
}

TEST_F(NodeTerminalTest, CompletesTheIdsOfServices) {
  configure(
      "node: {name: test}\nservices: [{id: web-1, command: [sleep, '1000']}, {id: other, command: [sleep, '1000']}]\n");
  start();
  Terminal terminal(socket(), directory_.path());
  terminal.expect("test> ");
  // The ids are asked for when the prompt comes; this may be faster.
  EXPECT_TRUE(eventually([&] {
    terminal.type("\x15service.status('web-\t");
    return terminal.shows("web-1");
  }));
  terminal.type("'):await().state\r");
  terminal.expect("Running");
  stop();
}

// Goal: what was asked for is shown, also to who is in a hurry to leave.
TEST_F(NodeTerminalTest, WaitsForAnswersBeforeItLeavesTheTerminal) {
  start();
  for (const std::string typed : {"node.status() client.exit()\r", "node.status()\rexit\r", "node.status()\r\x04"}) {
    Terminal terminal(socket(), directory_.path());
    terminal.expect("test> ");
    ::kill(manager(), SIGSTOP);
    terminal.type(typed);
    terminal.expect("status");
    ::kill(manager(), SIGCONT);
    terminal.expect("as desired");
    EXPECT_EQ(terminal.wait(), 0);
  }
  stop();
}

TEST_F(NodeTerminalTest, ShowsWhatComesWhileOneTypes) {
  configure("node: {name: test}\nservices: [{id: web, command: [sleep, '1000'], autostart: false}]\n");
  start();
  Terminal terminal(socket(), directory_.path());
  terminal.expect("test> ");
  terminal.type("service.watch('web')\r");
  terminal.expect("Stopped");
  terminal.type("print('half");
  terminal.expect("print('half");
  EXPECT_EQ(ask("service.start('web')").exit_code, 0);
  terminal.expect("Running");
  terminal.expect("test> print('half");
  terminal.type(" and half')\r");
  terminal.expect("\r\nhalf and half\r\n");
  stop();
}

// Goal: whatever a script does, Ctrl-C brings the prompt back.
TEST_F(NodeTerminalTest, IsInterruptedByControlC) {
  start();
  Terminal terminal(socket(), directory_.path());
  terminal.expect("test> ");
  for (const std::string hanging :
       {"while true do end", "while true do pcall(function() while true do end end) end", "client.sleep(1000):await()",
        "coroutine.wrap(function() while true do pcall(coroutine.yield) end end)() while true do end",
        "repeat pcall(function() client.sleep(0.001):await() end) until false"}) {
    terminal.type("print('begins') " + hanging + "\r");
    terminal.expect("\r\nbegins\r\n");
    terminal.type("\x03");
    terminal.expect("interrupted");
    terminal.expect("test> ");
  }
  // While the prompt is there, Ctrl-C is a key; not while something computes behind it.
  terminal.type("client.sleep(0):on(function() print('called' .. ' back') while true do end end)\r");
  terminal.expect("called back");
  terminal.type("\x03");
  terminal.expect("interrupted");
  terminal.type("1 + 1\r");
  terminal.expect("\r\n2\r\n");
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait(), 0);
  EXPECT_TRUE(terminal.as_found());
  stop();
}

// Goal: the terminal is as it was, however the client ends.
TEST_F(NodeTerminalTest, LeavesTheTerminalAsItWas) {
  start();
  for (const int signal : {SIGTERM, SIGHUP, SIGSEGV, SIGABRT}) {
    Terminal terminal(socket(), directory_.path());
    terminal.expect("test> ");
    EXPECT_FALSE(terminal.as_found());
    terminal.kill(signal);
    const int exit_code = terminal.wait();
    // What sanitizers make of a crash is their own.
    EXPECT_TRUE(kSanitized || exit_code == 128 + signal) << exit_code;
    EXPECT_TRUE(terminal.as_found()) << signal;
  }
  Terminal terminal(socket(), directory_.path());
  terminal.expect("test> ");
  terminal.type("os.exit(7)\r");
  EXPECT_EQ(terminal.wait(), 7);
  EXPECT_TRUE(terminal.as_found());
  stop();
}

}  // namespace
}  // namespace snowfox::node
