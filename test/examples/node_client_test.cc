#include <pty.h>
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
using testing::Not;
using testing::StartsWith;

/// A client at a terminal, and who sits there.
class Terminal {
 public:
  Terminal(const Address& node, const std::string& home) {
    pid_ = forkpty(&terminal_, nullptr, nullptr, nullptr);
    if (pid_ != 0) return;
    setenv("TERM", "xterm", 1);
    setenv("HOME", home.c_str(), 1);
    const std::string program = SNOWFOX_PROGRAM_DIRECTORY "/snow-fox-client";
    execl(program.c_str(), program.c_str(), "--socket", node.str().c_str(), nullptr);
    _exit(127);
  }
  ~Terminal() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    close(terminal_);
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
  void read_what_is_shown() {
    pollfd readable{terminal_, POLLIN, 0};
    std::array<char, 4096> part;
    if (poll(&readable, 1, 0) != 1) return;
    const ssize_t count = read(terminal_, part.data(), part.size());
    if (count > 0) shown_.append(part.data(), static_cast<std::size_t>(count));
  }

  pid_t pid_ = -1;
  int terminal_ = -1;
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
  const Finished asked = client({"--eval", "status; node.reload() client.version() -- and no more"});
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
  EXPECT_THAT(client({"--eval", "status"}).output, HasSubstr("node           a\\x1b[31mb\\u009b\n"));
  const Finished json = client({"--json", "--eval", "status"});
  EXPECT_TRUE(is_json(json.output));
  EXPECT_THAT(json.output, HasSubstr("a\\u001b[31mb\\u009b"));
  EXPECT_EQ(info_of(json.output).node_name(), "a\x1b[31mb\xc2\x9b");
  stop();
}

TEST_F(NodeClientTest, TalksOverTcpAsWell) {
  configure("api: {listen: [tcp:127.0.0.1:0]}\n");
  start();
  const auto listening = status().details().api().listening();
  const Finished asked = client({"--socket", listening.Get(listening.size() - 1), "--eval", "status"});
  EXPECT_EQ(asked.exit_code, 0) << asked.error;
  stop();
}

TEST_F(NodeClientTest, JoinsEachOfManyAnswersToItsRequest) {
  start();
  const Finished asked = client({"--repeat", "5000", "--eval", "node.status(true); node.status()"});
  EXPECT_EQ(asked.exit_code, 0) << asked.error;
  EXPECT_THAT(asked.output, StartsWith("10000 requests at once: 10000 answered, 0 failed, "));
  EXPECT_THAT(asked.output, Not(HasSubstr(" 0 out of order")));
  const Finished json = client({"--json", "--repeat", "100", "--eval", "status"});
  EXPECT_THAT(json.output, StartsWith(R"({"requests":100,"answered":100,"failed":0,)"));
  EXPECT_TRUE(is_json(json.output));
  stop();
}

// --- where its script comes from ---

TEST_F(NodeClientTest, ReadsAScriptFromAFile) {
  start();
  write_file(path("script"), "#!/usr/bin/env snow-fox-client\n-- how it is\nstatus\n\nnode.reload()\nexit\nbogus()\n");
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"--file", path("script")}, {}}) {
    const bool standard_input = arguments.empty();
    // As a whole it is read before anything is done; as standard input line by line, and not past the end.
    const Finished done = client(arguments, {.input = standard_input ? path("script") : "/dev/null"});
    EXPECT_EQ(done.exit_code, standard_input ? 0 : 2) << done.error;
    EXPECT_EQ(done.output.empty(), !standard_input);
  }
  write_file(path("script"), "status\nnode.reload()");
  const Finished done = client({"--file", path("script")});
  EXPECT_EQ(done.exit_code, 0) << done.error;
  EXPECT_THAT(done.output, HasSubstr("the configuration was reloaded\n"));
  stop();
}

TEST_F(NodeClientTest, SaysOnceWhichScriptItCannotRead) {
  const Finished missing = client({"--file", path("missing")});
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_EQ(missing.error, "snow-fox-client: " + path("missing") + ": No such file or directory\n");
  EXPECT_EQ(client({"--file", directory_.path()}).error,
            "snow-fox-client: " + directory_.path() + ": Is a directory\n");
  write_file(path("script"), "\nbogus");
  EXPECT_THAT(client({"--file", path("script")}).error,
              StartsWith("snow-fox-client: " + path("script") + ": line 2: 'bogus'"));
}

TEST_F(NodeClientTest, NeedsNoNodeForWhatItKnowsItself) {
  const Finished text = client({"--eval", "client.version(); help; exit; status"});
  EXPECT_EQ(text.exit_code, 0) << text.error;
  EXPECT_THAT(text.output, HasSubstr("commit"));
  EXPECT_THAT(text.output, HasSubstr("node.status()       how the node is"));
  const Finished json = client({"--json", "--eval", "help"});
  EXPECT_EQ(lines(json.output), 1);
  EXPECT_TRUE(is_json(json.output)) << json.output;
  EXPECT_THAT(json.output, HasSubstr(R"x({"call":"node.reload()","does":)x"));
}

TEST_F(NodeClientTest, ReadsAScriptFromAPipeAsItComes) {
  start();
  Program reading = client_program({}, {.input = ""});
  reading.type("status\n");
  EXPECT_TRUE(eventually([&] { return reading.output().find("Green") != std::string::npos; }));
  reading.type("client.ver");
  reading.type("sion()");
  reading.close_input();
  EXPECT_EQ(reading.wait(), 0);
  EXPECT_THAT(reading.output(), HasSubstr("commit"));
  EXPECT_THAT(reading.output(), Not(HasSubstr("> ")));
  stop();
}

TEST_F(NodeClientTest, DoesNothingWithAnEmptyInput) {
  start();
  const Finished done = client({});
  EXPECT_EQ(done.exit_code, 0);
  EXPECT_EQ(done.output + done.error, "");
  stop();
}

TEST_F(NodeClientTest, PromptsOnATerminal) {
  start();
  Terminal terminal(socket(), directory_.path());
  terminal.expect("test> ");
  terminal.type("sta\t\r");
  terminal.expect("Green: as desired");
  terminal.type("bogus\r");
  terminal.expect("'bogus' is not understood");

  // The connection is lost while somebody types, and made again.
  terminal.type("client.ver");
  terminal.expect("client.ver");
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
  terminal.expect("the connection to the node is lost");
  start();
  terminal.expect("connected again");
  terminal.type("sion()\r");
  terminal.expect("commit");
  terminal.type("\x04");
  EXPECT_EQ(terminal.wait(), 0);
  stop();
}

// Goal: what was asked for is shown, also to who is in a hurry to leave.
TEST_F(NodeClientTest, WaitsForAnswersBeforeItLeavesTheTerminal) {
  start();
  for (const std::string typed : {"status; exit\r", "status\rexit\r", "status\r\x04"}) {
    Terminal terminal(socket(), directory_.path());
    terminal.expect("test> ");
    ::kill(manager(), SIGSTOP);
    terminal.type(typed);
    terminal.expect("status");
    ::kill(manager(), SIGCONT);
    terminal.expect("Green: as desired");
    EXPECT_EQ(terminal.wait(), 0);
  }
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
  write_file(path("script"), "status\n");
  int number = 100;
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {"--eval", "status"}, {"--eval", "help"}, {"--repeat", "2", "--eval", "status"}, {}}) {
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
    EXPECT_THAT(client({"--socket", given, "--eval", "status"}).error,
                StartsWith("snow-fox-client: cannot reach a node at " + meant + ": "));
  }
}

TEST_F(NodeClientTest, TellsAScriptsMistakeWithItsLineAndWhatIsUnderstood) {
  start();
  for (const auto& [code, expected] :
       std::vector<std::pair<std::string, std::string>>{{"status\nbogus()", "line 2: 'bogus'"},
                                                        {"node.status(maybe)", "line 1: 'node.status(maybe'"},
                                                        {"node.status", "line 1: 'node.status'"},
                                                        {"\n\n(", "line 3: '('"},
                                                        {"reload \u00e9", "line 1: '\u00e9'"},
                                                        {"status()", "line 1: 'status('"},
                                                        {"service.begin('web')", "line 1: 'service.begin'"}}) {
    const Finished failed = client({"--eval", code});
    EXPECT_EQ(failed.exit_code, 2);
    EXPECT_EQ(failed.output, "") << "a script with a mistake must not be begun";
    EXPECT_THAT(failed.error, StartsWith("snow-fox-client: " + expected));
    EXPECT_THAT(
        failed.error,
        AllOf(HasSubstr("node.status(true), node.reload(), node.waits(), node.trace('ID'), service.start('ID'), "),
              HasSubstr("service.list(), service.list('ID'), client.version(), client.exit()")));
    EXPECT_EQ(lines(failed.error), 1);
  }
  write_file(path("script"), "status\nbogus()\nreload\n");
  const Finished failed = client({}, {.input = path("script")});
  EXPECT_EQ(failed.exit_code, 2);
  EXPECT_THAT(failed.output, HasSubstr("Green"));
  EXPECT_THAT(failed.output, Not(HasSubstr("reloaded")));
  EXPECT_THAT(failed.error, HasSubstr("line 2: 'bogus'"));
  stop();
}

TEST_F(NodeClientTest, TellsMistakesOnTheCommandLine) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{"--colour"},
                                                                     {"--timeout", "soon"},
                                                                     {"--repeat", "3"},
                                                                     {"--repeat", "0", "--eval", "status"},
                                                                     {"--eval", "status", "--file", "x"},
                                                                     {"--socket", "tcp:nowhere", "--eval", "status"}}) {
    const Finished failed = client(arguments);
    EXPECT_EQ(failed.exit_code, 2) << arguments.front();
    EXPECT_THAT(failed.error, StartsWith("snow-fox-client: "));
  }
}

TEST_F(NodeClientTest, GivesUpAfterTheTimeoutAndIsServedWhenTheNodeIsThereAgain) {
  start();
  ::kill(manager(), SIGSTOP);
  const Finished silent = client({"--timeout", "300ms", "--eval", "status"});
  EXPECT_EQ(silent.exit_code, 1);
  EXPECT_THAT(silent.error, HasSubstr("no answer within 300ms"));
  EXPECT_EQ(lines(silent.error), 1);
  ::kill(manager(), SIGCONT);
  EXPECT_EQ(client({"--eval", "status"}).exit_code, 0);
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
  EXPECT_TRUE(eventually([&] { return client({"--eval", "status"}).output.find("Green") != std::string::npos; }));
  stop();
}

// Goal: a request that hangs is found among all that wait, and one can see how far it came and who keeps it waiting.
TEST_F(NodeClientTest, TellsWhatTheNodeWaitsFor) {
  start();
  EXPECT_THAT(client({"--eval", "node.trace('nobody/1')"}).output,
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
  const Finished traced = client({"--eval", "node.trace('" + id + "')"});
  EXPECT_EQ(traced.exit_code, 0) << traced.error;
  EXPECT_THAT(traced.output, ContainsRegex("^" + id + " waits for .*manager_spawner::Message since .*, for .* more"));
  EXPECT_THAT(traced.output, ContainsRegex("received.*public_api::Message.*\n.*kept .*manager_spawner.*\n"
                                           ".*enqueued +[0-9]+ bytes.*\n.*handled.*\n.*flushed +[0-9]+ bytes"));
  ::kill(spawner(), SIGCONT);
  EXPECT_EQ(asking.wait(), 0);
  EXPECT_THAT(client({"--eval", "node.trace('" + id + "')"}).output,
              AllOf(HasSubstr(id + " does not wait\n"), HasSubstr("fulfilled")));
  EXPECT_THAT(client({"--eval", "node.waits()"}).output, ContainsRegex("orphan answers: [0-9]+"));
  stop();
}

// Goal: who is told that nothing came is told how far the request went.
TEST_F(NodeClientTest, TellsHowFarARequestWentThatTimedOut) {
  start();
  Program shell = client_program({"--timeout", "300ms"}, {.input = ""});
  shell.type("status\n");
  EXPECT_TRUE(eventually([&] { return shell.output().find("Green") != std::string::npos; }));
  ::kill(manager(), SIGSTOP);
  shell.type("status\n");
  EXPECT_TRUE(eventually([&] { return shell.error().find('\n') != std::string::npos; }));
  EXPECT_THAT(shell.error(), ContainsRegex("no answer within 300ms \\(client-[0-9]+/2: kept, enqueued [0-9]+ bytes .*, "
                                           "flushed [0-9]+ bytes .*, timed out .*\\)"));
  ::kill(manager(), SIGCONT);
  stop();
}

}  // namespace
}  // namespace snowfox::node
