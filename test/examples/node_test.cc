#include "examples/node_fixture.h"

#include <pwd.h>
#include <sys/un.h>
#include <gmock/gmock.h>

#include <atomic>

namespace snowfox::node {
namespace {

using testing::AnyOf;
using testing::Contains;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// --- its beginning and its end ---

TEST_F(NodeTest, ServesClientsUntilItIsTerminatedAndLeavesNothing) {
  start();
  const auto info = status();
  EXPECT_EQ(info.node_name(), "test");
  EXPECT_FALSE(info.version().version().empty());
  EXPECT_FALSE(info.configuration().effective_version().empty());
  EXPECT_EQ(info.configuration().symbolic_name(), "node.yaml");
  EXPECT_EQ(info.status().colour(), Status::Green) << info.status().reason();
  EXPECT_EQ(info.details().daemon().pid(), daemon_->pid());
  EXPECT_EQ(info.details().spawner().pid(), spawner());
  EXPECT_EQ(info.details().api().clients(), 1);
  stop();
}

TEST_F(NodeTest, EndsOnInterruptAsOnTerminate) {
  start();
  daemon_->kill(SIGINT);
  EXPECT_EQ(daemon_->wait(), 0);
  expect_nothing_left();
}

TEST_F(NodeTest, EndsInOrderWhenItIsTerminatedWhileItStarts) {
  Program starting = daemon();
  ASSERT_TRUE(eventually([&] { return starting.error().find("child started") != std::string::npos; }));
  starting.kill(SIGTERM);
  EXPECT_EQ(starting.wait(), 0) << starting.error();
  EXPECT_FALSE(std::filesystem::exists(run_directory()));
}

// Goal: a service manager, or Ctrl-C, that signals all processes at once ends them in order all the same.
TEST_F(NodeTest, LeavesSignalsSentToAllProcessesToTheDaemon) {
  start();
  for (const pid_t pid : parts_) {
    if (pid != daemon_->pid()) ::kill(pid, SIGTERM);
  }
  EXPECT_TRUE(says("signal ignored"));
  EXPECT_EQ(status().status().colour(), Status::Green);
  stop();
}

TEST_F(NodeTest, EndsUnderLoadAndWithClientsThatNeverRead) {
  start();
  RawClient never_reads(socket());
  never_reads.introduce();
  while (send_some(never_reads.fd(), RawClient::frame(never_reads.status_request(true))) != 0) {
  }
  std::vector<Program> load;
  for (int i = 0; i < 3; ++i)
    load.push_back(client_program({"--eval", "for i = 1, 100000 do node.status(true):on(function() end) end"}));
  EXPECT_TRUE(eventually([&] { return status().details().api().requests() > 1000; }));
  stop();
  for (Program& client : load) EXPECT_THAT(client.wait(), AnyOf(0, 1));
}

TEST_F(NodeTest, KillsWhatDoesNotEndInTime) {
  start({"--shutdown-timeout", "1s"});
  ::kill(manager(), SIGSTOP);
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
  EXPECT_TRUE(says("child killed"));
  expect_nothing_left();
}

TEST_F(NodeTest, EndsAtOnceWhenItIsInterruptedAgain) {
  start({"--shutdown-timeout", "1h"});
  ::kill(manager(), SIGSTOP);
  daemon_->kill(SIGINT);
  EXPECT_TRUE(says("process: ending"));
  daemon_->kill(SIGINT);
  EXPECT_NE(daemon_->wait(), 0);
  expect_nothing_left();
}

// Goal: what a killed daemon leaves behind keeps nobody from starting the next at once.
TEST_F(NodeTest, EndsWithoutItsDaemonAndCanBeStartedAgainAtOnce) {
  start();
  const auto former = parts_;
  daemon_->kill(SIGKILL);
  daemon_->wait();
  start();
  for (const pid_t pid : former) EXPECT_TRUE(eventually([&] { return gone(pid); }));
  EXPECT_EQ(status().status().colour(), Status::Green);
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
  EXPECT_TRUE(std::filesystem::is_empty(run_directory()));
}

TEST_F(NodeTest, RefusesASecondDaemonInTheSameRunDirectory) {
  start();
  Program second = daemon();
  EXPECT_EQ(second.wait(), 1);
  EXPECT_THAT(second.error(), HasSubstr("another snow-fox-daemon, pid " + std::to_string(daemon_->pid()) +
                                        ", runs in " + run_directory()));
  EXPECT_EQ(status().status().colour(), Status::Green);
  stop();
}

TEST_F(NodeTest, GoesToTheBackgroundOnceClientsAreServed) {
  Program started = daemon({"--daemonise", "--pid-file", path("pid")});
  EXPECT_EQ(started.wait(), 0) << started.error();
  const pid_t pid = std::stoi(read_file(path("pid")));
  EXPECT_EQ(status().details().daemon().pid(), pid);
  EXPECT_EQ(getsid(pid) == getsid(0), false);
  ::kill(pid, SIGTERM);
  EXPECT_TRUE(eventually([&] { return gone(pid); }));
  EXPECT_FALSE(std::filesystem::exists(path("pid")));
  EXPECT_FALSE(std::filesystem::exists(run_directory()));
}

TEST_F(NodeTest, TellsWhoStartedItInTheBackgroundWhyItCannot) {
  configure("nod: {}\n");
  Program started = daemon({"--daemonise", "--pid-file", path("pid")});
  EXPECT_EQ(started.wait(), 1);
  EXPECT_THAT(started.error(), HasSubstr("node.yaml:1:1: nod: unknown key"));
  EXPECT_FALSE(std::filesystem::exists(path("pid")));
}

TEST_F(NodeTest, PassesNothingOnFromWhoStartedIt) {
  const int stray = open("/dev/null", O_RDONLY);  // not close-on-exec
  start({}, {"LD_BIND_NOW=1", "SECRET=x"});
  close(stray);
  for (const pid_t pid : {manager(), spawner()}) {
    EXPECT_THAT(read_file("/proc/" + std::to_string(pid) + "/environ"), Not(HasSubstr("SECRET")));
    EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/cwd"), "/");
  }
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(daemon_->pid()) + "/fd")) {
    if (std::stoi(entry.path().filename()) > 2) {
      EXPECT_NE(std::filesystem::read_symlink(entry.path()), "/dev/null") << entry.path();
    }
  }
  stop();
}

// --- what it is started with ---

struct BadStart {
  std::string name;
  std::string configuration;
  std::vector<std::string> expected;

  friend void PrintTo(const BadStart& start, std::ostream* out) { *out << start.name; }
};
class NodeBadConfigurationTest : public NodeTest, public testing::WithParamInterface<BadStart> {};

TEST_P(NodeBadConfigurationTest, IsToldWithFileLineAndKey) {
  configure(GetParam().configuration);
  Program failing = daemon();
  EXPECT_EQ(failing.wait(), 1);
  const std::string log = failing.error();
  for (const std::string& text : GetParam().expected) EXPECT_THAT(log, HasSubstr(configuration() + text));
  EXPECT_THAT(log, HasSubstr("snow-fox-daemon: snow-fox-manager cannot start: "));
  EXPECT_FALSE(std::filesystem::exists(run_directory()));
}

INSTANTIATE_TEST_SUITE_P(
    All, NodeBadConfigurationTest,
    testing::Values(
        BadStart{"WrongKey", "node:\n  name: x\n  colour: red\n", {":3:3: node.colour: unknown key"}},
        BadStart{"WrongType", "api:\n  max_clients: many\n", {":2:16: api.max_clients: expected an integer"}},
        BadStart{"WrongKind", "api: [1]\n", {":1:6: api: expected a mapping"}},
        BadStart{"DuplicateKey", "node: {}\nlog: {}\nnode: {}\n", {":3:1: node: "}},
        BadStart{"DuplicateListener",
                 "api:\n  listen:\n  - tcp:127.0.0.1:1\n  - tcp:127.0.0.1:1\n",
                 {":4:5: api.listen[1]: tcp:127.0.0.1:1 is to be listened on twice"}},
        BadStart{"BadAddress", "api:\n  listen: [tcp:127.0.0.1:99999]\n", {":2:12: api.listen[0]: address"}},
        BadStart{"BadDuration", "scheduler:\n  tick: soon\n", {":2:9: scheduler.tick: expected"}},
        BadStart{"BadLevel", "log:\n  level: loud\n", {":2:10: log.level: expected"}},
        BadStart{
            "NoSuchUser", "api:\n  allow: {users: [nobody-at-all]}\n", {":2:19: api.allow.users[0]: there is no user"}},
        BadStart{"UserWithAZeroByte",
                 "api:\n  allow: {users: [\"root\\0x\"], groups: [\"root\\0\"]}\n",
                 {":2:19: api.allow.users[0]: there is no user", ":2:40: api.allow.groups[0]: there is no group"}},
        BadStart{"ServiceWithoutCommand", "services:\n- id: web\n", {":2:3: services[0].command: "}},
        BadStart{"DuplicateService",
                 "services:\n- {id: web, command: a}\n- {id: web, command: b}\n",
                 {":2:1: services: the id 'web' is given twice, again in line 3"}},
        BadStart{"BadServiceId", "services:\n- {id: ../x, command: a}\n", {":2:8: services[0].id: expected 1 to 64"}},
        BadStart{"RelativeOutput",
                 "services:\n- {id: web, command: a, output: web.log}\n",
                 {":2:33: services[0].output: expected log, discard, or the absolute path"}},
        BadStart{"LeftServiceThatNobodyListensTo",
                 "services:\n- {id: web, command: a, on_shutdown: leave}\n",
                 {":2:38: services[0].on_shutdown: a service that is left when the node ends needs 'output: discard'"}},
        BadStart{"NoSuchUserOfAService",
                 "services:\n- {id: web, command: a, user: nobody-at-all}\n",
                 {":2:31: services[0].user: there is no user 'nobody-at-all'"}},
        BadStart{"NoYaml", "node: [\n", {":"}},
        BadStart{"SeveralMistakes",
                 "node: {nam: x}\nlog: {format: xml}\n",
                 {":1:8: node.nam: unknown key", ":2:15: log.format: expected"}}),
    [](const auto& bad_start) { return bad_start.param.name; });

TEST_F(NodeTest, DoesNotStartWithoutAConfiguration) {
  std::filesystem::remove(configuration());
  Program failing = daemon();
  EXPECT_EQ(failing.wait(), 1);
  EXPECT_THAT(failing.error(), HasSubstr(configuration() + ": "));
  EXPECT_THAT(failing.error(), HasSubstr("No such file or directory"));
}

TEST_F(NodeTest, ReadsADirectoryOfFilesAsOne) {
  std::filesystem::remove(configuration());
  std::filesystem::create_directory(configuration());
  write_file(configuration() + "/10-node.yaml", "node: {name: from-directory}\n");
  write_file(configuration() + "/20-api.yaml", "api: {max_clients: 7}\n");
  start();
  const auto info = status();
  EXPECT_EQ(info.node_name(), "from-directory");
  EXPECT_EQ(info.details().api().max_clients(), 7);
  stop();
}

TEST_F(NodeTest, UnderstandsItsSampleConfiguration) {
  std::filesystem::copy_file(SNOWFOX_SOURCE_DIRECTORY "/examples/node/snow-fox.yaml", configuration(),
                             std::filesystem::copy_options::overwrite_existing);
  start();
  EXPECT_EQ(status().node_name(), "demo");
  stop();
}

TEST_F(NodeTest, DoesNotStartOnAPortThatIsTaken) {
  const Descriptor taken = Io::system().listen(Address::parse("tcp:127.0.0.1:0"), {});
  const std::string address = Io::system().local_address(taken.get()).str();
  configure("api:\n  listen: [" + address + "]\n");
  Program failing = daemon();
  EXPECT_EQ(failing.wait(), 1);
  EXPECT_THAT(failing.error(),
              HasSubstr("node.yaml:2:12: api.listen[0]: cannot listen on " + address + ": Address already in use"));
}

TEST_F(NodeTest, LeavesALiveSocketAlone) {
  std::filesystem::create_directory(run_directory());
  std::filesystem::permissions(run_directory(), std::filesystem::perms::owner_all);
  const Descriptor live = Io::system().listen(socket(), {});
  Program failing = daemon();
  EXPECT_EQ(failing.wait(), 1);
  EXPECT_THAT(failing.error(), HasSubstr("listen on " + socket().str() + ": Address already in use"));
  EXPECT_NO_THROW(connect_to(socket()));
}

TEST_F(NodeTest, ReplacesAStaleSocket) {
  std::filesystem::create_directory(run_directory());
  std::filesystem::permissions(run_directory(), std::filesystem::perms::owner_all);
  for (const std::string name : {"public.sock", "daemon.sock", "spawner.sock"}) {
    Io::system().listen(Address::unix_socket(run_directory() + "/" + name), {});
  }
  start();
  EXPECT_EQ(status().status().colour(), Status::Green);
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
  EXPECT_TRUE(std::filesystem::is_empty(run_directory()));
}

TEST_F(NodeTest, RefusesARunDirectoryThatOthersMayWrite) {
  std::filesystem::create_directory(run_directory());
  std::filesystem::permissions(run_directory(), std::filesystem::perms::all);
  Program failing = daemon();
  EXPECT_EQ(failing.wait(), 1);
  EXPECT_THAT(failing.error(), HasSubstr("has mode 0777: others could replace the node's sockets"));
}

TEST_F(NodeTest, TellsMistakesOnTheCommandLine) {
  for (const auto& [arguments, expected] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--shutdown-timeout", "soon"}, "'soon' is no duration"},
           {{"--shutdown-timeout=-0s"}, "'-0s' is no duration"},
           {{"--user", "nobody-at-all"}, "there is no user 'nobody-at-all'"},
           {{"--group", "nobody-at-all"}, "there is no group 'nobody-at-all'"},
           {{"--log-level", "loud"}, "expected debug, info, warning"},
           {{"--colour"}, "--colour"}}) {
    Program failing = daemon(arguments);
    EXPECT_EQ(failing.wait(), 2);
    EXPECT_THAT(failing.error(), HasSubstr(expected));
  }
  Program to_the_background = daemon({"--daemonise", "--user", "nobody-at-all"});
  EXPECT_EQ(to_the_background.wait(), 2);
  // Nothing else is missing as long as that is wrong.
  Program failing("snow-fox-daemon", {"--colour"}, {.output = path("log"), .error = path("log")});
  EXPECT_EQ(failing.wait(), 2);
  EXPECT_THAT(failing.error(), StartsWith("snow-fox-daemon: The following argument was not expected: --colour\n"));
}

TEST_F(NodeTest, StartsItsPartsOnlyFromTheDaemon) {
  for (const std::string name : {"snow-fox-spawner", "snow-fox-manager"}) {
    Program alone(name, {"--run-dir", run_directory(), "--config", configuration()},
                  {.output = path(name), .error = path(name)});
    EXPECT_NE(alone.wait(), 0);
  }
  EXPECT_THAT(read_file(path("snow-fox-manager")), HasSubstr("not started by snow-fox-daemon"));
}

TEST_F(NodeTest, ExplainsEachProgram) {
  for (const std::string name : {"snow-fox-daemon", "snow-fox-spawner", "snow-fox-manager", "snow-fox-client"}) {
    for (const std::string option : {"--help", "--version"}) {
      Program program(name, {option}, {.output = path(name + option), .error = path("error")});
      EXPECT_EQ(program.wait(), 0);
      EXPECT_THAT(program.output(), HasSubstr(name));
    }
  }
}

// --- reload ---

TEST_F(NodeTest, KeepsClientsWhenTheirListenerGoes) {
  configure("api: {listen: ['unix:" + path("old.sock") + "']}\n");
  start();
  RawClient client(Address::unix_socket(path("old.sock")));
  client.introduce();
  reload_by_signal("api: {listen: ['unix:" + path("new.sock") + "']}\n");
  EXPECT_TRUE(client.is_served());
  EXPECT_FALSE(std::filesystem::exists(path("old.sock")));
  RawClient newcomer(Address::unix_socket(path("new.sock")));
  newcomer.introduce();
  EXPECT_TRUE(newcomer.is_served());
  stop();
  EXPECT_FALSE(std::filesystem::exists(path("new.sock")));
}

// Goal: an address that both configurations have is listened on without a gap.
TEST_F(NodeTest, RefusesNobodyAtAListenerThatStays) {
  const auto text = [&](int i) {
    return "node: {name: n" + std::to_string(i) + "}\napi: {listen: ['tcp:127.0.0.1:0', 'unix:" + path("stays.sock") +
           "']}\n";
  };
  configure(text(0));
  start();
  const auto listening = status().details().api().listening();
  const auto tcp = Address::parse(*std::find_if(
      listening.begin(), listening.end(), [](const std::string& address) { return address.starts_with("tcp:"); }));
  std::atomic<bool> go_on{true};
  std::atomic<int> connections{0};
  std::thread connecting([&] {
    while (go_on) {
      for (const Address& address : {tcp, Address::unix_socket(path("stays.sock")), socket()}) {
        EXPECT_NO_THROW(connect_to(address)) << address.str();
        ++connections;
      }
    }
  });
  for (int i = 1; i <= 20; ++i) reload_by_signal(text(i));
  go_on = false;
  connecting.join();
  EXPECT_GT(connections, 20);
  EXPECT_EQ(status().details().configuration().reloads(), 20);
  stop();
}

TEST_F(NodeTest, GoesOnWithTheOldConfigurationWhenTheNewOneIsBad) {
  start();
  const auto before = status();
  configure("node:\n  nam: x\n");
  daemon_->kill(SIGHUP);
  EXPECT_TRUE(says("the configuration was not reloaded"));
  EXPECT_TRUE(says(configuration() + ":2:3: node.nam: unknown key"));
  const auto after = status();
  EXPECT_EQ(after.configuration().effective_version(), before.configuration().effective_version());
  EXPECT_EQ(after.node_name(), "test");
  EXPECT_EQ(after.status().colour(), Status::Yellow);
  EXPECT_THAT(after.status().reason(), HasSubstr(":2:3: node.nam"));
  stop();
}

TEST_F(NodeTest, TellsWhoAskedForAReloadWhatIsWrongAndTurnsGreenAgain) {
  start();
  for (const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"node:\n  nam: x\n", ":2:3: node.nam: unknown key"},
           {"api: {listen: [tcp:203.0.113.1:1]}\n", "api.listen[0]: cannot listen on tcp:203.0.113.1:1"},
           {"api: {listen: ['unix:/no/such/directory/x.sock']}\n", "api.listen[0]: cannot listen on"}}) {
    configure(text);
    const Finished refused = client({"--eval", "node.reload()"});
    EXPECT_EQ(refused.exit_code, 1);
    EXPECT_THAT(refused.error, StartsWith("snow-fox-client: node.reload(): " + configuration()));
    EXPECT_THAT(refused.error, HasSubstr(expected));
    EXPECT_EQ(lines(refused.error), 1);
    EXPECT_EQ(status().status().colour(), Status::Yellow);
  }
  configure("node: {name: other}\n");
  const Finished reloaded = client({"--eval", "node.reload()"});
  EXPECT_EQ(reloaded.exit_code, 0) << reloaded.error;
  const auto info = status();
  EXPECT_EQ(info.status().colour(), Status::Green);
  EXPECT_EQ(info.node_name(), "other");
  EXPECT_EQ(info.details().configuration().failed_reloads(), 3);
  stop();
}

// --- its memory ---

// Goal: valgrind finds nothing in the parts of a node and its client. Not in the daemon itself: valgrind 3.19 does not
// know pidfd_open(2), by which it watches its children.
TEST_F(NodeTest, HasNoMemoryErrorsThatValgrindFinds) {
  const std::string valgrind = "/usr/bin/valgrind";
  if (kSanitized || !std::filesystem::exists(valgrind)) GTEST_SKIP() << "needs valgrind, and no sanitizer";
  const auto under_valgrind = [&](const std::string& name) {
    const std::string wrapper = path("bin/" + name);
    write_file(wrapper, "#!/bin/sh\nexec " + valgrind +
                            " -q --leak-check=full --errors-for-leak-kinds=definite,possible --log-file=" +
                            path("valgrind.%p") + " " SNOWFOX_PROGRAM_DIRECTORY "/" + name + " \"$@\"\n");
    std::filesystem::permissions(wrapper, std::filesystem::perms::owner_all);
    return wrapper;
  };
  std::filesystem::create_directory(path("bin"));
  std::filesystem::copy_file(SNOWFOX_PROGRAM_DIRECTORY "/snow-fox-daemon", path("bin/snow-fox-daemon"));
  under_valgrind("snow-fox-spawner");
  under_valgrind("snow-fox-manager");
  const std::string client = under_valgrind("snow-fox-client");

  start_program(path("bin/snow-fox-daemon"), {"--shutdown-timeout", "60s"}, {});
  write_file(path("script"), "node.status(true)\nnode.reload()\nclient.version()\n");
  for (const auto& arguments : std::vector<std::vector<std::string>>{
           {}, {"--json", "--file", path("script")}, {"--eval", "for i = 1, 100 do node.status(i % 2 == 0) end"}}) {
    std::vector<std::string> all{"--socket", socket().str()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    Program asking(client, all, {.input = path("script"), .output = path("output"), .error = path("error")});
    EXPECT_EQ(asking.wait(), 0) << asking.error();
  }
  configure("nod: {}\n");
  daemon_->kill(SIGHUP);
  EXPECT_TRUE(says("the configuration was not reloaded"));
  RawClient stranger(socket());
  stranger.send_bytes("\xff\xff\xff\xff");
  EXPECT_TRUE(stranger.closed_by_peer());
  RawClient client_at_the_end(socket());
  client_at_the_end.introduce();
  stop();
  int logs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
    if (!entry.path().filename().string().starts_with("valgrind.")) continue;
    ++logs;
    std::istringstream lines(read_file(entry.path()));
    for (std::string line; std::getline(lines, line);) {
      // With two hyphens it speaks of itself: the one of Debian 12 does not know epoll_pwait2().
      EXPECT_TRUE(line.starts_with("--")) << entry.path() << ": " << line;
    }
  }
  EXPECT_EQ(logs, 5);
}

// --- who may use it ---

TEST_F(NodeTest, MakesItsDirectoryAndSocketsForNobodyElse) {
  start();
  const auto mode = [](const std::string& name) {
    struct stat status {};
    EXPECT_EQ(stat(name.c_str(), &status), 0) << name;
    return status.st_mode & 07777;
  };
  EXPECT_EQ(mode(run_directory()), 0700);
  EXPECT_EQ(mode(run_directory() + "/public.sock"), 0660);
  EXPECT_EQ(mode(run_directory() + "/daemon.sock"), 0600);
  EXPECT_EQ(mode(run_directory() + "/spawner.sock"), 0600);
  stop();
}

TEST_F(NodeTest, ListensToNobodyButItsPartsOnTheInnerSockets) {
  start();
  for (const std::string name : {"daemon.sock", "spawner.sock"}) {
    RawClient stranger(Address::unix_socket(run_directory() + "/" + name));
    EXPECT_TRUE(stranger.closed_by_peer());
  }
  EXPECT_TRUE(says("not one of our children") && says("not the manager"));
  EXPECT_EQ(status().status().colour(), Status::Green);
  stop();
}

// Goal: who is let in nowhere cannot fill the log either, and what he sends is not looked at.
TEST_F(NodeTest, IsNotDisturbedByStrangersOnTheInnerSockets) {
  start();
  constexpr int kStrangers = 300;
  const std::string shutdown("\0\0\0\7\x08\x0d\x12\x01x\x6a\0", 11);  // a Shutdown that is sound
  for (int i = 0; i < kStrangers; ++i) {
    for (const std::string name : {"daemon.sock", "spawner.sock"}) {
      RawClient stranger(Address::unix_socket(run_directory() + "/" + name));
      send_some(stranger.fd(), i % 2 == 0 ? shutdown : std::string(1000, '\xff'));
      EXPECT_TRUE(stranger.closed_by_peer());
    }
  }
  EXPECT_EQ(status().status().colour(), Status::Green);
  const std::string log = daemon_->error();
  EXPECT_LT(lines(log), 100) << "ten of each, then they are counted";
  stop();
}

class NodeAsRootTest : public NodeTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    nobody_ = getpwnam("nobody");
    ASSERT_NE(nobody_, nullptr);
    // Others must come as far as the run directory.
    std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
  }
  Finished client_as_nobody() {
    return client({"--eval", "node.status()"}, {.in_child = [uid = nobody_->pw_uid, gid = nobody_->pw_gid] {
                    if (setgroups(0, nullptr) != 0 || setgid(gid) != 0 || setuid(uid) != 0) _exit(126);
                  }});
  }
  const passwd* nobody_ = nullptr;
};

TEST_F(NodeAsRootTest, RunsItsManagerAsTheUserAskedFor) {
  std::filesystem::permissions(configuration(), std::filesystem::perms(0644));
  start({"--user", "nobody"});
  const std::string manager_status = read_file("/proc/" + std::to_string(manager()) + "/status");
  const std::string uid = std::to_string(nobody_->pw_uid);
  EXPECT_THAT(manager_status, HasSubstr("Uid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid));
  EXPECT_THAT(manager_status, HasSubstr("CapEff:\t0000000000000000"));
  EXPECT_THAT(manager_status, HasSubstr("CapPrm:\t0000000000000000"));
  EXPECT_THAT(read_file("/proc/" + std::to_string(spawner()) + "/status"), HasSubstr("Uid:\t0\t0\t0\t0"));
  const Finished nobody = client_as_nobody();
  EXPECT_EQ(nobody.exit_code, 0) << nobody.error;
  stop();
}

TEST_F(NodeAsRootTest, RefusesWhomTheConfigurationDoesNotAllow) {
  configure("api: {allow: {users: [daemon]}}\n");
  start({"--group", std::to_string(nobody_->pw_gid)});
  const Finished refused = client_as_nobody();
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.error, HasSubstr("may not use this node: api.allow does not name them"));
  EXPECT_EQ(lines(refused.error), 1);
  EXPECT_EQ(status().details().api().refused(), 1);
  for (const std::string& allow :
       std::vector<std::string>{"users: [nobody]", "groups: [" + std::to_string(nobody_->pw_gid) + "]"}) {
    configure("api: {allow: {" + allow + "}}\n");
    EXPECT_EQ(client({"--eval", "node.reload()"}).exit_code, 0);
    EXPECT_EQ(client_as_nobody().exit_code, 0);
  }
  stop();
}

TEST_F(NodeAsRootTest, IsOutOfReachForOthersUnlessAGroupIsAllowed) {
  start();
  const Finished refused = client_as_nobody();
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.error, HasSubstr("Permission denied"));
  stop();
}

}  // namespace
}  // namespace snowfox::node
