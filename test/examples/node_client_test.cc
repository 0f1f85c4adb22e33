#include <pty.h>
#include <termios.h>
#include <utmp.h>
#include <gmock/gmock.h>

#include <regex>

#include "examples/node_fixture.h"
#include "support/json.h"

namespace snowfox::node {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::ContainsRegex;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
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

class NodeClientTest : public NodeTest {
 protected:
  public_api::NodeInfoResponse info_of(const std::string& json) const {
    public_api::NodeInfoResponse info;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &info).ok()) << json;
    return info;
  }
};

// --- what it asks and shows ---

TEST_F(NodeClientTest, PrintsJsonWithAllThatIsKnown) {
  start();
  const Finished asked = client({"--json", "--eval", "node.status(true)"});
  EXPECT_EQ(asked.exit_code, 0);
  EXPECT_EQ(asked.error, "");
  EXPECT_EQ(lines(asked.output), 1);
  EXPECT_TRUE(is_json(asked.output)) << asked.output;
  for (const std::string part :
       {R"("node_name":"test")", R"("version":{"version":")", R"("configuration":{"effective_version":")",
        R"("status":{"colour":"Green","reason":"as desired"})", R"("details":{"api":{)", R"("clients":1,)"}) {
    EXPECT_THAT(asked.output, HasSubstr(part));
  }
  stop();
}

TEST_F(NodeClientTest, PrintsTextForPeople) {
  start();
  const Finished asked = client({"--eval", "node.status(); node.reload() -- and no more"});
  EXPECT_EQ(asked.exit_code, 0) << asked.error;
  EXPECT_THAT(asked.output, HasSubstr("node           test\nstatus         Green: as desired\n"));
  EXPECT_THAT(asked.output, HasSubstr("the configuration was reloaded\n"));
  EXPECT_THAT(asked.output, Not(HasSubstr("spawner")));
  EXPECT_THAT(client({"--eval", "node.status(true)"}).output, HasSubstr("\nspawner        Green: connected\n  pid: "));
  stop();
}

// Goal: what comes from a configuration cannot command the terminal of who looks at it.
TEST_F(NodeClientTest, ShowsControlCharactersInsteadOfSendingThem) {
  configure("node: {name: \"a\\e[31mb\\u009b\"}\n");
  start();
  EXPECT_THAT(client({"--eval", "node.status()"}).output, HasSubstr("node           a\\x1b[31mb\\u009b\n"));
  const Finished json = client({"--json", "--eval", "node.status()"});
  EXPECT_TRUE(is_json(json.output));
  EXPECT_THAT(json.output, HasSubstr("a\\u001b[31mb\\u009b"));
  EXPECT_EQ(info_of(json.output).node_name(), "a\x1b[31mb\xc2\x9b");
  stop();
}

TEST_F(NodeClientTest, TalksOverTcpAsWell) {
  configure("api: {listen: [tcp:127.0.0.1:0]}\n");
  start();
  const auto listening = status().details().api().listening();
  const Finished asked = client({"--socket", listening.Get(listening.size() - 1), "--eval", "node.status()"});
  EXPECT_EQ(asked.exit_code, 0) << asked.error;
  stop();
}

TEST_F(NodeClientTest, JoinsEachOfManyAnswersToItsRequest) {
  start();
  write_file(path("script"), R"lua(
    local answered, wrong, latest, out_of_order = 0, 0, 0, 0
    for i = 1, 10000 do
      local details = i % 2 == 0
      node.status(details):on(function(status, failure)
        assert(not failure, failure)
        answered = answered + 1
        if (status.details ~= nil) ~= details then wrong = wrong + 1 end
        if i < latest then out_of_order = out_of_order + 1 end
        latest = math.max(latest, i)
        if answered == 10000 then print(answered, wrong, out_of_order > 0) end
      end)
    end
  )lua");
  const Finished asked = client({"--file", path("script")});
  EXPECT_EQ(asked.exit_code, 0) << asked.error;
  EXPECT_EQ(asked.output, "10000\t0\ttrue\n");
  stop();
}

TEST_F(NodeClientTest, GivesAnswersToScriptsAsTables) {
  configure(
      "node: {name: test}\nservices: [{id: web, command: [sleep, '1000']}, {id: other, command: [sleep, '1000'], "
      "autostart: false}]\n");
  start();
  service_in("web", public_api::Service::Running);
  write_file(path("script"), R"lua(
    local status = node.status(true):await()
    print(status.node_name, status.status.colour, math.type(status.details.api.clients), #status.details.api.listening > 0)
    for _, one in ipairs(service.list():await()) do print(one.id, one.state, one.pid > 0, one.wanted) end
    print(service.status('web'):await().id, #service.list('web'):await(), node.reload():await())
    local fine, failure = pcall(function() service.start('nope'):await() end)
    print(fine, failure.code, failure.call, failure)
  )lua");
  const Finished asked = client({"--file", path("script")});
  EXPECT_EQ(asked.exit_code, 0) << asked.error;
  EXPECT_THAT(asked.output,
              MatchesRegex("test\tGreen\tinteger\ttrue\n"
                           "other\tStopped\tfalse\tfalse\n"
                           "web\tRunning\ttrue\ttrue\n"
                           "web\t1\ttrue\n"
                           "false\tNO_SUCH_SERVICE\tservice.start\\('nope'\\)\tservice.start\\('nope'\\): no service "
                           "'nope' is configured \\(request client-[0-9]+/6\\)\n"));
  EXPECT_EQ(client({"--json", "--eval", "service.list():await()[2].id, service.status('web'):await().state"}).output,
            "\"web\"\n\"Running\"\n");
  stop();
}

TEST_F(NodeClientTest, PaintsOnlyIfItIsTold) {
  start();
  EXPECT_THAT(client({"--color", "always", "--eval", "node.status()"}).output,
              HasSubstr("status         \x1b[32mGreen\x1b[0m:"));
  EXPECT_THAT(client({"--color", "always", "--json", "--eval", "node.status()"}).output, Not(HasSubstr("\x1b")));
  EXPECT_THAT(client({"--eval", "pprint(node.status():await())"}).output, Not(HasSubstr("\x1b")));
  stop();
}

// Goal: the end of the node is asked for over the public socket, and is as orderly as by a signal.
TEST_F(NodeClientTest, EndsTheNode) {
  configure("node: {name: test}\nservices: [{id: web, command: [sleep, '1000']}]\n");
  start();
  const pid_t web = service_in("web", public_api::Service::Running).pid();
  const Finished asked = client({"--eval", "node.shutdown()"});
  EXPECT_EQ(asked.exit_code, 0) << asked.error;
  EXPECT_EQ(asked.output, "the node ends\n");
  EXPECT_EQ(daemon_->wait(), 0);
  EXPECT_TRUE(gone(web));
  EXPECT_TRUE(said("ending as a client asks"));
  expect_nothing_left();
}

TEST_F(NodeClientTest, CallsBackAtEachChangeOfWhatIsWatched) {
  configure("node: {name: test}\nservices: [{id: web, command: [sleep, '1000'], autostart: false}]\n");
  start();
  Program watching =
      client_program({"--eval", "service.watch('web'):on(function(s) print(s.id, s.state, s.removed) end)"});
  EXPECT_TRUE(eventually([&] { return watching.output() == "web\tStopped\tnil\n"; })) << watching.output();
  EXPECT_EQ(ask("service.start('web')").exit_code, 0);
  EXPECT_TRUE(eventually([&] { return watching.output().ends_with("web\tRunning\tfalse\n"); })) << watching.output();
  watching.kill(SIGTERM);
  EXPECT_EQ(watching.wait(), 128 + SIGTERM);
  stop();
}

// --- where its script comes from ---

TEST_F(NodeClientTest, ReadsAScriptFromAFile) {
  start();
  write_file(path("script"),
             "#!/usr/bin/env snow-fox-client\nlocal name = 'x' -- a local of the whole\n"
             "print(name, node.status():await().node_name)\nclient.exit()\nbogus()\n");
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"--file", path("script")}, {}}) {
    const Finished done = client(arguments, {.input = arguments.empty() ? path("script") : "/dev/null"});
    EXPECT_EQ(done.exit_code, 0) << done.error;
    EXPECT_EQ(done.output, "x\ttest\n");
  }
  Program reading = client_program({}, {.input = ""});
  reading.type("print(1\n");
  reading.type(" + 1) node.status()");
  reading.close_input();
  EXPECT_EQ(reading.wait(), 0) << reading.error();
  EXPECT_THAT(reading.output(), AllOf(StartsWith("2\nnode           test\n"), Not(HasSubstr("> "))));
  stop();
}

TEST_F(NodeClientTest, SaysOnceWhichScriptItCannotRead) {
  const Finished missing = client({"--file", path("missing")});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_EQ(missing.error, "snow-fox-client: " + path("missing") + ": No such file or directory\n");
  EXPECT_EQ(client({"--file", directory_.path()}).error,
            "snow-fox-client: " + directory_.path() + ": Is a directory\n");
}

TEST_F(NodeClientTest, NeedsNoNodeForWhatItKnowsItself) {
  const Finished text = client({"--eval", "help, client.version()"});
  EXPECT_EQ(text.exit_code, 0) << text.error;
  EXPECT_THAT(text.output, HasSubstr("commit = \""));
  EXPECT_THAT(text.output, HasSubstr("node.status([details])  how the node is"));
  const Finished json = client({"--json", "--eval", "help"});
  EXPECT_EQ(lines(json.output), 1);
  EXPECT_TRUE(is_json(json.output)) << json.output;
  EXPECT_THAT(json.output, HasSubstr(R"x({"call":"node.reload()","does":)x"));
}

TEST_F(NodeClientTest, DoesNothingWithAnEmptyInput) {
  start();
  const Finished done = client({});
  EXPECT_EQ(done.exit_code, 0);
  EXPECT_EQ(done.output + done.error, "");
  stop();
}

// --- at a terminal ---

TEST_F(NodeClientTest, PromptsOnATerminal) {
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

TEST_F(NodeClientTest, CompletesTheIdsOfServices) {
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
TEST_F(NodeClientTest, WaitsForAnswersBeforeItLeavesTheTerminal) {
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

TEST_F(NodeClientTest, ShowsWhatComesWhileOneTypes) {
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
TEST_F(NodeClientTest, IsInterruptedByControlC) {
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

TEST_F(NodeClientTest, IsInterruptedWithoutATerminalToo) {
  Program computing =
      client_program({"--eval", "print('begins') while true do pcall(function() while true do end end) end"});
  EXPECT_TRUE(eventually([&] { return computing.output() == "begins\n"; }));
  computing.kill(SIGINT);
  EXPECT_EQ(computing.wait(), 128 + SIGINT);
  EXPECT_EQ(computing.error(), "snow-fox-client: interrupted\n");
}

// Goal: also what Lua does in one go, and nothing can interrupt, can be ended.
TEST_F(NodeClientTest, EndsAtASecondInterruptionIfItIsStuck) {
  Program stuck =
      client_program({"--eval", "print('begins') string.find(('a'):rep(60), ('a?'):rep(60) .. ('a'):rep(60))"});
  EXPECT_TRUE(eventually([&] { return stuck.output() == "begins\n"; }));
  EXPECT_TRUE(eventually([&] {
    stuck.kill(SIGINT);
    return !stuck.running();
  }));
  EXPECT_EQ(stuck.wait(), 128 + SIGINT);
}

// Goal: a script that has lost its connection may go on.
TEST_F(NodeClientTest, ConnectsAgainWhenAScriptAsksAgain) {
  start();
  Program asking = client_program({"--eval", R"lua(
    local name = node.status():await().node_name
    print(name)
    local lost
    repeat local _
      _, lost = pcall(function() client.sleep(0.01):await() node.status():await() end)
    until lost
    print(lost.code ~= nil)
    repeat client.sleep(0.01):await() until pcall(function() node.status():await() end)
    print('again')
  )lua"});
  EXPECT_TRUE(eventually([&] { return asking.output() == "test\n"; })) << asking.error();
  stop();
  EXPECT_TRUE(eventually([&] { return asking.output() == "test\ntrue\n"; })) << asking.output() << asking.error();
  start();
  EXPECT_EQ(asking.wait(), 0) << asking.error();
  EXPECT_EQ(asking.output(), "test\ntrue\nagain\n");
  EXPECT_EQ(asking.error(), "");
  stop();
}

// Goal: the terminal is as it was, however the client ends.
TEST_F(NodeClientTest, LeavesTheTerminalAsItWas) {
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

// --- what goes wrong ---

// Goal: who gives the answer of a new call a code that is not called an answer learns it at the first try.
TEST_F(NodeClientTest, SaysThatAnAnswersCodeIsNotCalledOne) {
  const Descriptor listener = Io::system().listen(Address::unix_socket(path("node.sock")), {});
  Program asking = client_program({"--socket", path("node.sock"), "--eval", "node.status()"});
  pollfd readable{listener.get(), POLLIN, 0};
  ASSERT_EQ(poll(&readable, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())), 1);
  Address peer;
  RawClient node(Descriptor(Io::system(), Io::system().accept(listener.get(), peer)));
  auto introduction = node.receive();
  ASSERT_TRUE(introduction);
  auto answer = node.make(public_api::INTRODUCE_RESPONSE, introduction->correlation_id());
  answer.mutable_introduce_response()->set_client_id("client-1");
  node.send(answer);
  const auto request = node.receive();
  ASSERT_TRUE(request);
  auto wrong = node.make(public_api::RELOAD, request->correlation_id());
  wrong.mutable_reload();
  node.send(wrong);
  EXPECT_EQ(asking.wait(), 1);
  EXPECT_EQ(asking.error(),
            "snow-fox-client: node.status(): code 16 (RELOAD) is no answer: only ACK, ERROR and what ends in _RESPONSE "
            "is one\n");
}

TEST_F(NodeClientTest, SaysWithinASecondThatThereIsNoNode) {
  Descriptor closed = Io::system().listen(Address::parse("tcp:127.0.0.1:0"), {});
  const std::string tcp = Io::system().local_address(closed.get()).str();
  closed.reset();
  Io::system().listen(Address::unix_socket(path("stale.sock")), {});
  for (const std::string& address : {path("none.sock"), path("stale.sock"), tcp}) {
    const Finished asked = client({"--socket", address, "--eval", "node.status()"});
    EXPECT_EQ(asked.exit_code, 1);
    EXPECT_EQ(asked.output, "");
    EXPECT_THAT(asked.error, StartsWith("snow-fox-client: cannot reach a node at "));
    EXPECT_EQ(lines(asked.error), 1) << asked.error;
    EXPECT_LT(asked.took, 1s);
  }
}

TEST_F(NodeClientTest, FailsIfItsAnswersAreNotTaken) {
  start();
  write_file(path("script"), "node.status()\n");
  int number = 100;
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"--eval", "node.status()"},
                                                                     {"--eval", "help"},
                                                                     {"--eval", "print(1)"},
                                                                     {"--eval", "io.write(1) return"},
                                                                     {}}) {
    std::vector<std::string> all{"--socket", socket().str()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const std::string error = path("error" + std::to_string(++number));
    Program asking("snow-fox-client", all, {.input = path("script"), .output = "/dev/full", .error = error});
    EXPECT_EQ(asking.wait(), 1);
    EXPECT_THAT(asking.error(), HasSubstr("standard output: No space left on device"));
    EXPECT_EQ(lines(asking.error()), 1) << asking.error();
  }
  stop();
}

// Goal: what the client recommends when an address is wrong, it takes.
TEST_F(NodeClientTest, TakesAnAddressOrAPath) {
  for (const auto& [given, meant] :
       std::vector<std::pair<std::string, std::string>>{{"127.0.0.1:1", "tcp:127.0.0.1:1"},
                                                        {"tcp:localhost:1", "tcp:127.0.0.1:1"},
                                                        {"[::1]:1", "tcp:[::1]:1"},
                                                        {"1", "tcp:127.0.0.1:1"},
                                                        {"./1", "unix:./1"},
                                                        {"unix:1", "unix:1"},
                                                        {"node:1", "unix:node:1"},
                                                        {"node.sock", "unix:node.sock"}}) {
    EXPECT_THAT(client({"--socket", given, "--eval", "node.status()"}).error,
                StartsWith("snow-fox-client: cannot reach a node at " + meant + ": "));
  }
}

TEST_F(NodeClientTest, TellsAScriptsMistakeWithItsLine) {
  start();
  for (const auto& [code, expected] : std::vector<std::pair<std::string, std::string>>{
           {"node.status()\nbogus()", "--eval:2: attempt to call a nil value (global 'bogus')\n"},
           {"node.status('maybe')", "bad argument #1 to 'status' (boolean expected, got string)\n"},
           {"\n\n(", "--eval:3: unexpected symbol near <eof>\n"},
           {"x = service.begin('web')", "--eval:1: attempt to call a nil value (field 'begin')\n"},
           {"x = node.status().colour.x", "--eval:1: attempt to index a nil value (field 'colour')\n"},
           {"x = service.start('../x')", "--eval:1: service.start() takes the id of a service: expected 1 to "}}) {
    const Finished failed = client({"--eval", code});
    EXPECT_EQ(failed.exit_code, 2) << code;
    EXPECT_EQ(failed.output, "");
    EXPECT_THAT(failed.error, AllOf(StartsWith("snow-fox-client: "), HasSubstr(expected)));
    EXPECT_EQ(lines(failed.error), 1) << failed.error;
  }
  write_file(path("script"), "local function f()\n  error('boom')\nend\nprint(node.reload():await())\nf()\n");
  const Finished failed = client({"--file", path("script")});
  EXPECT_EQ(failed.exit_code, 2);
  EXPECT_EQ(failed.output, "true\n");
  EXPECT_THAT(failed.error, ContainsRegex("script:2: boom\n  called from .*script:5\n$"));
  stop();
}

TEST_F(NodeClientTest, TellsMistakesOnTheCommandLine) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"--colour"},
                                                                     {"--timeout", "soon"},
                                                                     {"--memory", "0"},
                                                                     {"--color", "maybe"},
                                                                     {"--eval", "node.status()", "--file", "x"},
                                                                     {"--socket", "tcp:nowhere", "--eval", "1"}}) {
    const Finished failed = client(arguments);
    EXPECT_EQ(failed.exit_code, 2) << arguments.front();
    EXPECT_THAT(failed.error, StartsWith("snow-fox-client: "));
  }
}

TEST_F(NodeClientTest, GivesUpAfterTheTimeoutAndIsServedWhenTheNodeIsThereAgain) {
  start();
  ::kill(manager(), SIGSTOP);
  const Finished silent = client({"--timeout", "300ms", "--eval", "node.status()"});
  EXPECT_EQ(silent.exit_code, 1);
  EXPECT_THAT(silent.error, HasSubstr("no answer within 300ms"));
  EXPECT_EQ(lines(silent.error), 1);
  ::kill(manager(), SIGCONT);
  EXPECT_EQ(client({"--eval", "node.status()"}).exit_code, 0);
  stop();
}

// Goal: details that cannot be had do not keep the rest from being told, and show in the status.
TEST_F(NodeClientTest, IsToldWhenTheSpawnerDoesNotAnswer) {
  start();
  ::kill(spawner(), SIGSTOP);
  const Finished asked = client({"--json", "--timeout", "2s", "--eval", "node.status(true)"});
  EXPECT_EQ(asked.exit_code, 0) << asked.error;
  const public_api::NodeInfoResponse info = info_of(asked.output);
  EXPECT_EQ(info.status().colour(), Status::Yellow);
  EXPECT_EQ(info.status().reason(), "spawner: the spawner does not answer");
  ::kill(spawner(), SIGCONT);
  EXPECT_TRUE(eventually([&] { return status().status().colour() == Status::Green; }));
  stop();
}

TEST_F(NodeClientTest, RejectsAllThatIsPendingWhenTheConnectionIsLost) {
  start();
  ::kill(spawner(), SIGSTOP);
  Program asking = client_program({"--eval", "node.status(true) node.status(true) node.status()"});
  EXPECT_TRUE(eventually([&] {
    return asking.output().find("Yellow") != std::string::npos || asking.output().find("Green") != std::string::npos;
  }));
  const auto began = std::chrono::steady_clock::now();
  ::kill(manager(), SIGKILL);
  EXPECT_EQ(asking.wait(), 1);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 2s);
  EXPECT_THAT(asking.error(), HasSubstr("snow-fox-client: the connection to the node is lost: "));
  EXPECT_THAT(asking.error(), HasSubstr("without an answer: 2"));
  EXPECT_EQ(lines(asking.error()), 1) << asking.error();
  ::kill(spawner(), SIGCONT);
  EXPECT_TRUE(eventually([&] {
    return client({"--eval", "node.status()"}).output.find("Green") != std::string::npos;
  }));
  stop();
}

// Goal: a request that hangs is found among all that wait, and one can see how far it came and who keeps it waiting.
TEST_F(NodeClientTest, TellsWhatTheNodeWaitsFor) {
  start();
  EXPECT_THAT(client({"--eval", "node.waits('nobody/1')"}).output,
              AllOf(HasSubstr("nobody/1 does not wait\n"), HasSubstr("no step of it is remembered")));
  ::kill(spawner(), SIGSTOP);
  Program asking = client_program({"--eval", "node.status(true)"});
  // The node also asks the spawner of its own accord, under an id of 32 hexadecimal digits.
  const std::regex waiting_id(R"re("id":"(client-\d+/1)","what":"[^"]*manager_spawner::Message")re");
  std::smatch found;
  std::string waits;
  ASSERT_TRUE(eventually([&] {
    waits = client({"--json", "--eval", "node.waits()"}).output;
    return std::regex_search(waits, found, waiting_id);
  })) << waits;
  const std::string id = found[1];
  const Finished traced = client({"--eval", "node.waits('" + id + "')"});
  EXPECT_EQ(traced.exit_code, 0) << traced.error;
  EXPECT_THAT(traced.output, ContainsRegex("^" + id + " waits for .*manager_spawner::Message since .*, for .* more"));
  EXPECT_THAT(traced.output, ContainsRegex("received.*public_api::Message.*\n.*kept .*manager_spawner.*\n"
                                           ".*enqueued +[0-9]+ bytes.*\n.*handled.*\n.*flushed +[0-9]+ bytes"));
  ::kill(spawner(), SIGCONT);
  EXPECT_EQ(asking.wait(), 0);
  EXPECT_THAT(client({"--eval", "node.waits('" + id + "')"}).output,
              AllOf(HasSubstr(id + " does not wait\n"), HasSubstr("fulfilled")));
  EXPECT_THAT(client({"--eval", "node.waits()"}).output, ContainsRegex("orphan answers: [0-9]+"));
  stop();
}

// Goal: who is told that nothing came is told how far the request went.
TEST_F(NodeClientTest, TellsHowFarARequestWentThatTimedOut) {
  start();
  Program asking =
      client_program({"--timeout", "300ms", "--eval",
                      "node.status():await() print('answered') repeat client.sleep(0.01):await() until io.open('" +
                          path("go") + "') node.status()"});
  EXPECT_TRUE(eventually([&] { return asking.output() == "answered\n"; }));
  ::kill(manager(), SIGSTOP);
  write_file(path("go"), "");
  EXPECT_EQ(asking.wait(), 1);
  EXPECT_THAT(asking.error(),
              ContainsRegex("no answer within 300ms \\(client-[0-9]+/2: kept, enqueued [0-9]+ bytes .*, "
                            "flushed [0-9]+ bytes .*, timed out .*\\)"));
  ::kill(manager(), SIGCONT);
  stop();
}

}  // namespace
}  // namespace snowfox::node
