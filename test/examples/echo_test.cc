#include <sys/stat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/core/address.h>
#include <snowfox/core/io.h>

#include "examples/program.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

/// An echo_server, and where it says it can be reached.
struct EchoServer : Program {
  explicit EchoServer(std::vector<std::string> arguments) : Program("echo_server", std::move(arguments)) {
    const std::string ready = line();
    const std::string_view before = "echo_server: listening on ";
    if (!ready.starts_with(before)) throw std::runtime_error("said: " + ready + errors());
    address = ready.substr(before.size());
  }

  std::string address;
};

/// A port at which nobody listens, for as long as nobody is given it.
std::string closed_port() {
  Descriptor listener = Io::system().listen(Address::parse("0"), {});
  return Io::system().local_address(listener.get()).str();
}

TEST(EchoTest, SendsBackWhatItIsSentOverTcp) {
  EchoServer server({"--tcp", "0"});
  Program client("echo_client", {"--tcp", server.address, "one", "", "three"});
  EXPECT_EQ(client.line(), "one");
  EXPECT_EQ(client.line(), "");
  EXPECT_EQ(client.line(), "three");
  EXPECT_EQ(client.wait(), 0);
  EXPECT_EQ(client.errors(), "");
  EXPECT_EQ(server.terminate(), 0);
}

TEST(EchoTest, AnswersManyRequestsThatAreMadeAtOnce) {
  EchoServer server({"--tcp", "0"});
  Program client("echo_client", {"--tcp", server.address, "--count", "2000", "--size", "1000"});
  EXPECT_THAT(client.line(), StartsWith("2000 requests answered in "));
  EXPECT_EQ(client.wait(), 0);
  EXPECT_EQ(server.terminate(), 0);
}

// Goal: a socket that a server killed has left behind is taken over, and none is left behind.
TEST(EchoTest, ServesAtAUnixSocketThoughAnotherServerHasLeftItBehind) {
  const TemporaryDirectory directory;
  const std::string path = directory / "echo.sock";
  Io::system().listen(Address::unix_socket(path), {});
  ASSERT_TRUE(std::filesystem::exists(path));
  EchoServer server({"--unix", path});
  EXPECT_EQ(server.address, "unix:" + path);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0660U);
  Program client("echo_client", {"--unix", path});
  EXPECT_EQ(client.line(), "hello");
  EXPECT_EQ(client.wait(), 0);
  EXPECT_EQ(server.terminate(), 0);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(EchoTest, SaysInOneLineThatItsAddressIsTaken) {
  const TemporaryDirectory directory;
  const EchoServer tcp({"--tcp", "0"});
  const EchoServer local({"--unix", directory / "echo.sock"});
  EXPECT_EQ(refusal("echo_server", {"--tcp", tcp.address}),
            std::pair(1, "echo_server: listen on " + tcp.address + ": Address already in use\n"));
  EXPECT_EQ(refusal("echo_server", {"--unix", directory / "echo.sock"}),
            std::pair(1, "echo_server: listen on " + local.address + ": Address already in use\n"));
}

TEST(EchoTest, SaysInOneLineThatThereIsNoServer) {
  const std::string nobody = closed_port();
  EXPECT_EQ(refusal("echo_client", {"--tcp", nobody}),
            std::pair(1, "echo_client: cannot connect to " + nobody + ": Connection refused\n"));
}

TEST(EchoTest, SaysInOneLineThatTheServerIsSilent) {
  const Descriptor silent = Io::system().listen(Address::parse("0"), {});
  const auto [exit_code, said] =
      refusal("echo_client", {"--tcp", Io::system().local_address(silent.get()).str(), "--timeout", "0.1"});
  EXPECT_EQ(exit_code, 1);
  EXPECT_THAT(said, StartsWith("echo_client: no answer to "));
  EXPECT_EQ(said.find('\n'), said.size() - 1) << said;
}

TEST(EmbeddedTest, AsksInsideTheProgramsOwnLoop) {
  EchoServer server({"--tcp", "0"});
  Program ping("echo_ping", {"--tcp", server.address, "--count", "3", "--interval", "0.001"});
  for (const std::string number : {"1", "2", "3"}) {
    EXPECT_THAT(ping.line(), StartsWith("answer " + number + " from " + server.address + ": "));
  }
  EXPECT_THAT(ping.line(), StartsWith("3 sent, 3 answered, ms: least "));
  EXPECT_EQ(ping.wait(), 0);
  EXPECT_EQ(ping.errors(), "");
  EXPECT_EQ(server.terminate(), 0);
}

TEST(EmbeddedTest, EndsWithItsServer) {
  EchoServer server({"--tcp", "0"});
  Program ping("echo_ping", {"--tcp", server.address, "--interval", "1000"});
  EXPECT_THAT(ping.line(), StartsWith("answer 1 "));
  EXPECT_EQ(server.terminate(), 0);
  EXPECT_THAT(ping.line(), StartsWith("1 sent, 1 answered"));
  EXPECT_EQ(ping.wait(), 1);
  EXPECT_THAT(ping.errors(), HasSubstr("echo_ping: " + server.address + ": "));
}

TEST(EmbeddedTest, SaysInOneLineThatThereIsNoServer) {
  const std::string nobody = closed_port();
  EXPECT_EQ(refusal("echo_ping", {"--tcp", nobody}), std::pair(1, "echo_ping: " + nobody + ": Connection refused\n"));
}

TEST(ExamplesTest, TellMistakesOnTheCommandLineFromFailures) {
  for (const std::string name : {"echo_server", "echo_client", "echo_ping"}) {
    Program help(name, {"--help"});
    EXPECT_FALSE(help.line().empty());
    EXPECT_THAT(help.line(), StartsWith("Usage: " + name));
    EXPECT_EQ(help.wait(), 0);
    for (const auto& [arguments, expected] : std::vector<std::pair<std::vector<std::string>, std::string>>{
             {{}, "Exactly 1 option from [--tcp,--unix] is required"},
             {{"--tcp", "0", "--unix", "x"}, "Exactly 1 option from [--tcp,--unix] is required"},
             {{"--tcp", "nowhere"}, name + ": address 'nowhere': expected "},
             {{"--unix", ""}, name},
             {{"--tcp", "0", "--colour"}, "--colour"}}) {
      const auto [exit_code, said] = refusal(name, arguments);
      EXPECT_EQ(exit_code, 2) << said;
      EXPECT_THAT(said, HasSubstr(expected));
    }
  }
}

}  // namespace
}  // namespace snowfox
