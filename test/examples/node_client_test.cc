#include <pty.h>
#include <gmock/gmock.h>

#include "examples/node_fixture.h"
#include "support/json.h"

namespace snowfox::node {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

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
  EXPECT_EQ(client({"--file", path("missing")}).exit_code, 2);
  EXPECT_THAT(client({"--file", directory_.path()}).error, HasSubstr(directory_.path() + ": "));
  stop();
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
  int terminal = -1;
  const pid_t pid = forkpty(&terminal, nullptr, nullptr, nullptr);
  if (pid == 0) {
    setenv("TERM", "xterm", 1);
    setenv("HOME", directory_.path().c_str(), 1);
    const std::string program = SNOWFOX_PROGRAM_DIRECTORY "/snow-fox-client";
    const std::string address = socket().str();
    execl(program.c_str(), program.c_str(), "--socket", address.c_str(), nullptr);
    _exit(127);
  }
  std::string shown;
  const auto expect = [&](std::string_view text) {
    const std::size_t from = shown.size();
    EXPECT_TRUE(eventually([&] {
      pollfd readable{terminal, POLLIN, 0};
      std::array<char, 4096> part;
      if (poll(&readable, 1, 0) == 1) {
        const ssize_t count = read(terminal, part.data(), part.size());
        if (count > 0) shown.append(part.data(), static_cast<std::size_t>(count));
      }
      return shown.find(text, from) != std::string::npos;
    })) << "expected '"
        << text << "' in:\n"
        << shown.substr(from);
  };
  const auto type = [&](std::string_view text) {
    EXPECT_EQ(write(terminal, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  };
  expect("test> ");
  type("sta\t\r");
  expect("Green: as desired");
  type("bogus\r");
  expect("'bogus' is not understood");

  // The connection is lost while somebody types, and made again.
  type("client.ver");
  expect("client.ver");
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
  expect("the connection to the node is lost");
  start();
  expect("connected again");
  type("sion()\r");
  expect("commit");
  type("\x04");
  int status = 0;
  EXPECT_TRUE(eventually([&] { return waitpid(pid, &status, WNOHANG) == pid; }));
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  close(terminal);
  stop();
}

// --- what goes wrong ---

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

TEST_F(NodeClientTest, TellsAScriptsMistakeWithItsLineAndWhatIsUnderstood) {
  start();
  for (const auto& [code, expected] :
       std::vector<std::pair<std::string, std::string>>{{"status\nbogus()", "line 2: 'bogus'"},
                                                        {"node.status(maybe)", "line 1: 'node.status(maybe'"},
                                                        {"node.status", "line 1: 'node.status'"},
                                                        {"\n\n(", "line 3: '('"},
                                                        {"reload \u00e9", "line 1: '\u00e9'"},
                                                        {"status()", "line 1: 'status('"},
                                                        {"service.start('web')", "line 1: 'service.start'"}}) {
    const Finished failed = client({"--eval", code});
    EXPECT_EQ(failed.exit_code, 2);
    EXPECT_EQ(failed.output, "") << "a script with a mistake must not be begun";
    EXPECT_THAT(failed.error, StartsWith("snow-fox-client: " + expected));
    EXPECT_THAT(failed.error, HasSubstr("node.status(true), node.reload(), client.version(), client.exit()"));
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
  EXPECT_EQ(daemon_->wait(), 1);
}

}  // namespace
}  // namespace snowfox::node
