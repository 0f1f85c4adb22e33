#include "examples/node_fixture.h"

#include <gmock/gmock.h>

#include "context/service_manager.h"

// The daemon as a child of systemd's, or of what speaks its protocols: sd_notify(3), sd_listen_fds(3).
namespace snowfox::node {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class NodeServiceManagerTest : public NodeTest {
 protected:
  NodeServiceManagerTest() : manager_(path("notify")) {}

  std::vector<std::string> environment() const { return {"NOTIFY_SOCKET=" + path("notify")}; }
  /// All that was heard, up to the first that begins with `state`; what it says in full.
  std::string hear(const std::string& state) {
    std::string found;
    EXPECT_TRUE(eventually([&] {
      for (std::string& told : manager_.heard()) heard_.push_back(std::move(told));
      const auto at =
          std::find_if(heard_.begin(), heard_.end(), [&](const auto& told) { return told.starts_with(state); });
      if (at == heard_.end()) return false;
      found = *at;
      heard_.erase(heard_.begin(), at + 1);
      return true;
    })) << state
        << " after: " << testing::PrintToString(heard_);
    return found;
  }

  ServiceManager manager_;
  std::vector<std::string> heard_;
};

TEST_F(NodeServiceManagerTest, TellsWhenItIsReadyReloadsAndEnds) {
  start({}, environment());
  hear("STATUS=starting");
  EXPECT_EQ(hear("READY=1"), "READY=1");
  hear("STATUS=Green: as desired");
  daemon_->kill(SIGHUP);
  EXPECT_THAT(hear("RELOADING=1"), HasSubstr("\nMONOTONIC_USEC="));
  hear("READY=1");
  daemon_->kill(SIGTERM);
  hear("STOPPING=1");
  hear("STATUS=ending");
  EXPECT_EQ(daemon_->wait(), 0);
}

// Goal: `systemctl reload` ends, and `systemctl status` says that it did not go well and why.
TEST_F(NodeServiceManagerTest, IsReadyAgainAfterAReloadThatFailedAndSaysWhy) {
  start({}, environment());
  hear("READY=1");
  configure("nod: {}\n");
  daemon_->kill(SIGHUP);
  hear("RELOADING=1");
  hear("STATUS=configuration not reloaded: " + configuration() + ":1:1: nod: unknown key");
  hear("READY=1");
  configure("node: {name: other}\n");
  daemon_->kill(SIGHUP);
  hear("STATUS=Green: as desired");
}

TEST_F(NodeServiceManagerTest, TellsWhatIsWrongAndThatItIsWellAgain) {
  start({}, environment());
  hear("READY=1");
  ::kill(manager(), SIGKILL);
  hear("STATUS=Yellow: snow-fox-manager has ended and is started again: killed by SIGKILL");
  hear("STATUS=Green: as desired");
}

TEST_F(NodeServiceManagerTest, TellsWhichProcessToWatchWhenItGoesToTheBackground) {
  // The watchdog is meant for the process that is started, which is not the one that stays.
  auto variables = environment();
  variables.emplace_back("WATCHDOG_USEC=1000000");
  Program started(
      "snow-fox-daemon",
      {"--run-dir", run_directory(), "--config", configuration(), "--daemonise", "--pid-file", path("pid")},
      {.environment = variables, .in_child = [] { ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1); }});
  EXPECT_EQ(started.wait(), 0);
  const std::string pid = std::to_string(std::stoi(read_file(path("pid"))));
  EXPECT_EQ(hear("READY=1"), "READY=1\nMAINPID=" + pid);
  hear("WATCHDOG=1");
  ::kill(std::stoi(pid), SIGTERM);
  EXPECT_TRUE(eventually([&] { return gone(std::stoi(pid)); }));
}

TEST_F(NodeServiceManagerTest, GivesSignsOfLifeOnlyIfTheyAreAskedOfIt) {
  auto variables = environment();
  variables.insert(variables.end(), {"WATCHDOG_USEC=200000", "WATCHDOG_PID=1"});
  start({}, variables);
  hear("READY=1");
  hear("STATUS=Green");
  std::this_thread::sleep_for(300ms);
  EXPECT_THAT(manager_.heard(), Not(Contains("WATCHDOG=1")));
  stop();
  variables.pop_back();
  start({}, variables);
  for (int i = 0; i < 3; ++i) hear("WATCHDOG=1");
  stop();
}

// Goal: neither a part of the node nor a service speaks to the service manager in the node's name.
TEST_F(NodeServiceManagerTest, PassesNothingOfItOnToAnybody) {
  configure("services:\n- {id: env, command: 'env >" + path("env") + "; sleep 1000'}\n");
  auto variables = environment();
  variables.insert(variables.end(), {"WATCHDOG_USEC=1000000", "LISTEN_FDS=0", "LISTEN_PID=1", "LISTEN_FDNAMES="});
  start({}, variables);
  EXPECT_TRUE(eventually([&] { return read_file(path("env")).find("SNOW_FOX_SERVICE") != std::string::npos; }));
  for (const std::string& environment :
       {read_file(path("env")), read_file("/proc/" + std::to_string(manager()) + "/environ"),
        read_file("/proc/" + std::to_string(spawner()) + "/environ")}) {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_"}) EXPECT_THAT(environment, Not(HasSubstr(name)));
  }
  stop();
}

// --- socket activation ---

class NodeSocketActivationTest : public NodeServiceManagerTest {
 protected:
  /// Starts a node that is given `sockets`, called a, b, …; with `more` it is not waited for.
  void start_with(const std::vector<int>& sockets, std::vector<std::string> more = {}) {
    std::vector<std::string> arguments{"--run-dir", run_directory(), "--config", configuration()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    daemon_.emplace(Program("snow-fox-daemon", arguments,
                            {.output = path("log"), .error = path("log"), .in_child = [&] {
                               std::vector<int> copies;
                               copies.reserve(sockets.size());
                               for (const int socket : sockets) copies.push_back(fcntl(socket, F_DUPFD, 100));
                               std::string names;
                               for (std::size_t i = 0; i < copies.size(); ++i) {
                                 dup2(copies[i], 3 + static_cast<int>(i));
                                 names += (i == 0 ? "" : ":") + std::string(1, static_cast<char>('a' + i));
                               }
                               setenv("LISTEN_FDS", std::to_string(copies.size()).c_str(), 1);
                               setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
                               setenv("LISTEN_FDNAMES", names.c_str(), 1);
                             }}));
    if (!more.empty()) return;
    ASSERT_TRUE(eventually([&] { return !daemon_->running() || said("process: ready"); }));
    ASSERT_TRUE(daemon_->running()) << daemon_->error();
    parts_ = children_of(daemon_->pid());
    parts_.push_back(daemon_->pid());
  }
};

// Goal: whoever has connected before there was a node, or while it is started again, is served, and by each manager.
TEST_F(NodeSocketActivationTest, ServesAtTheSocketsThatItIsGiven) {
  const Address api = Address::unix_socket(path("api.sock"));
  const Descriptor port = Io::system().listen(Address::parse("tcp:127.0.0.1:0"), {});
  const Descriptor listening = Io::system().listen(api, {});
  const Address tcp = Io::system().local_address(port.get());
  configure("api: {listen: ['" + api.str() + "', '" + tcp.str() + "']}\n");
  RawClient early(api);
  start_with({listening.get(), port.get()});
  early.introduce();
  RawClient over_tcp(tcp);
  over_tcp.introduce();
  EXPECT_FALSE(said("inherited socket"));

  const pid_t former = manager();
  ::kill(former, SIGKILL);
  RawClient late(api);
  late.introduce();
  EXPECT_TRUE(late.is_served());
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
  // They are the service manager's: for the next node.
  EXPECT_NO_THROW(connect_to(api));
  EXPECT_NO_THROW(connect_to(tcp));
}

TEST_F(NodeSocketActivationTest, ServesAtThePublicSocketIfThatIsAmongThem) {
  std::filesystem::create_directory(run_directory());
  std::filesystem::permissions(run_directory(), std::filesystem::perms::owner_all);
  const Descriptor listening = Io::system().listen(socket(), {});
  RawClient early(socket());
  start_with({listening.get()});
  early.introduce();
  EXPECT_EQ(status().status().colour(), Status::Green);
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
  EXPECT_NO_THROW(connect_to(socket()));
}

TEST_F(NodeSocketActivationTest, SaysWhichOfThemTheConfigurationDoesNotAskFor) {
  const Descriptor unwanted = Io::system().listen(Address::parse("tcp:127.0.0.1:0"), {});
  const std::string address = Io::system().local_address(unwanted.get()).str();
  start_with({unwanted.get()});
  EXPECT_TRUE(says("inherited socket that the configuration does not ask for address=" + address + " name=a"));
  // It may be asked for later.
  reload_by_signal("api: {listen: ['" + address + "']}\n");
  RawClient client(Address::parse(address));
  client.introduce();
  stop();
}

TEST_F(NodeSocketActivationTest, DoesNotStartWithWhatIsNoListeningSocket) {
  const Descriptor socket(Io::system(), ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  start_with({socket.get()}, {"--log-level", "info"});
  EXPECT_EQ(daemon_->wait(), 1);
  EXPECT_TRUE(said("inherited descriptor 3 (a) is no listening stream socket"));
}

TEST_F(NodeSocketActivationTest, HandsThemOnWhenItGoesToTheBackground) {
  const Address api = Address::unix_socket(path("api.sock"));
  const Descriptor listening = Io::system().listen(api, {});
  configure("api: {listen: ['" + api.str() + "']}\n");
  start_with({listening.get()}, {"--daemonise", "--pid-file", path("pid")});
  EXPECT_EQ(daemon_->wait(), 0) << daemon_->error();
  RawClient client(api);
  client.introduce();
  const pid_t pid = std::stoi(read_file(path("pid")));
  ::kill(pid, SIGTERM);
  EXPECT_TRUE(eventually([&] { return gone(pid); }));
}

TEST_F(NodeSocketActivationTest, LeavesAloneWhatIsForAnotherProcess) {
  const Descriptor other = Io::system().listen(Address::parse("tcp:127.0.0.1:0"), {});
  daemon_.emplace(Program(
      "snow-fox-daemon", {"--run-dir", run_directory(), "--config", configuration()},
      {.output = path("log"), .error = path("log"), .environment = {"LISTEN_FDS=1", "LISTEN_PID=1"}, .in_child = [&] {
         dup2(fcntl(other.get(), F_DUPFD, 100), 3);
       }}));
  EXPECT_TRUE(says("process: ready"));
  EXPECT_FALSE(said("inherited"));
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
}

}  // namespace
}  // namespace snowfox::node
