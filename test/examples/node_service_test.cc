#include "examples/node_fixture.h"

#include <pwd.h>
#include <gmock/gmock.h>

#include <map>
#include <set>

#include "protocol/manager_spawner.pb.h"

namespace snowfox::node {
namespace {

using public_api::Service;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class NodeServiceTest : public NodeTest {
 protected:
  /// A service that runs until it is told to end.
  static std::string sleeper(const std::string& id, const std::string& more = {}) {
    return "- {id: " + id + ", command: [sleep, '1000']" + (more.empty() ? "" : ", " + more) + "}\n";
  }
  void reload(const std::string& text) {
    configure(text);
    const Finished asked = ask("node.reload()");
    EXPECT_EQ(asked.exit_code, 0) << asked.error;
  }
  pid_t child_named(const std::string& name) const {
    for (const pid_t pid : children_of(daemon_->pid())) {
      if (read_file("/proc/" + std::to_string(pid) + "/comm").starts_with(name)) return pid;
    }
    return 0;
  }
  /// Kills a part of the node, and waits until another has taken its place.
  void kill_part(const std::string& name) {
    const pid_t former = child_named(name);
    ASSERT_NE(former, 0);
    ::kill(former, SIGKILL);
    EXPECT_TRUE(eventually([&] {
      const pid_t now = child_named(name);
      return now != 0 && now != former && ask("node.status()").exit_code == 0;
    }));
    parts_.push_back(child_named(name));
  }
  void restart_daemon() {
    daemon_->kill(SIGKILL);
    daemon_->wait();
    start();
  }
  /// Of the processes of the node and what they leave behind.
  int zombies() const {
    int count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string name = entry.path().filename();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      const auto fields = process_fields(name);
      if (fields.size() < 2 || fields[0] != "Z") continue;
      const pid_t parent = std::stoi(fields[1]);
      if (parent == daemon_->pid() || parent == child_named("snow-fox-spawne")) ++count;
    }
    return count;
  }
};

// --- what they are told to do ---

TEST_F(NodeServiceTest, StartsThoseThatAreToStartByThemselves) {
  configure("services:\n" + sleeper("web", "version: '1.4'") + sleeper("off", "autostart: false"));
  start();
  const auto web = service_in("web", Service::Running);
  EXPECT_EQ(web.version(), "1.4");
  EXPECT_FALSE(gone(web.pid()));
  const auto off = service("off");
  EXPECT_EQ(off.state(), Service::Stopped);
  EXPECT_FALSE(off.wanted());
  const auto info = status();
  EXPECT_EQ(info.status().colour(), Status::Green) << info.status().reason();
  EXPECT_EQ(info.details().services().configured(), 2);
  EXPECT_EQ(info.details().services().running(), 1);
  stop();
  EXPECT_TRUE(gone(web.pid()));
}

TEST_F(NodeServiceTest, StartsStopsAndRestartsWhenAsked) {
  configure("services:\n" + sleeper("web", "autostart: false"));
  start();
  const Finished started = ask("service.start('web')");
  EXPECT_EQ(started.exit_code, 0) << started.error;
  EXPECT_THAT(started.output, HasSubstr("Running"));
  const auto first = service("web");
  EXPECT_EQ(first.state(), Service::Running) << "it was answered when it ran";
  EXPECT_EQ(ask("service.start('web')").exit_code, 0);
  EXPECT_EQ(service("web").pid(), first.pid()) << "one that runs is left as it is";
  EXPECT_EQ(ask("service.restart('web')").exit_code, 0);
  const auto second = service("web");
  EXPECT_NE(second.pid(), first.pid());
  EXPECT_TRUE(gone(first.pid()));
  EXPECT_EQ(ask("service.stop('web')").exit_code, 0);
  EXPECT_TRUE(gone(second.pid()));
  EXPECT_EQ(service("web").state(), Service::Stopped);
  EXPECT_EQ(service("web").last_exit(), "killed by SIGTERM");
  EXPECT_EQ(ask("service.stop('web')").exit_code, 0);
  EXPECT_EQ(status().status().colour(), Status::Green) << "what was stopped is as desired";
  stop();
}

TEST_F(NodeServiceTest, SaysWhichServiceThereIsNot) {
  start();
  for (const std::string call : {"start", "stop", "restart", "status", "watch"}) {
    const Finished asked = ask("service." + call + "('nope')");
    EXPECT_EQ(asked.exit_code, 1);
    EXPECT_THAT(asked.error, HasSubstr("no service 'nope' is configured"));
  }
  const Finished nonsense = ask("service.start('../x')");
  EXPECT_EQ(nonsense.exit_code, 2);
  EXPECT_THAT(nonsense.error, HasSubstr("service.start() takes the id of a service"));
  EXPECT_EQ(ask("service.list()").output, "no services are configured\n");
  stop();
}

TEST_F(NodeServiceTest, SaysWhyOneCannotBeStarted) {
  configure("services: [{id: bad, command: [/no/such/program], autostart: false, restart: never}]\n");
  start();
  const Finished asked = ask("service.start('bad')");
  EXPECT_EQ(asked.exit_code, 1);
  EXPECT_THAT(asked.error, HasSubstr("service bad: start /no/such/program: execute: No such file or directory"));
  EXPECT_EQ(service("bad").state(), Service::Failed);
  EXPECT_EQ(status().status().colour(), Status::Red);
  stop();
}

TEST_F(NodeServiceTest, KillsOneThatDoesNotStopInTime) {
  configure("services: [{id: deaf, command: \"trap '' TERM; while :; do sleep 1; done\", stop_timeout: 200ms}]\n");
  start();
  service_in("deaf", Service::Running);
  std::this_thread::sleep_for(200ms);  // it must have come to its trap
  EXPECT_EQ(ask("service.stop('deaf')").exit_code, 0);
  EXPECT_EQ(service("deaf").last_exit(), "killed by SIGKILL");
  EXPECT_TRUE(says("killed: it did not end in time"));
  stop();
}

// --- what becomes of them by themselves ---

TEST_F(NodeServiceTest, RestartsAsThePolicySays) {
  std::string text = "services:\n";
  for (const std::string policy : {"never", "on-failure", "always"}) {
    for (const std::string code : {"0", "3"}) {
      text += "- {id: " + policy + "-" + code + ", command: \"exit " + code + "\", restart: " + policy +
              ", backoff: 100ms, restart_limit: 2}\n";
    }
  }
  configure(text);
  start();
  const auto expect = [&](const std::string& id, Service::State state, std::uint64_t restarts) {
    const auto found = service_in(id, state);
    EXPECT_EQ(found.restarts(), restarts) << id;
  };
  expect("never-0", Service::Finished, 0);
  expect("never-3", Service::Failed, 0);
  expect("on-failure-0", Service::Finished, 0);
  expect("on-failure-3", Service::Failed, 2);
  expect("always-0", Service::Failed, 2);
  expect("always-3", Service::Failed, 2);
  EXPECT_THAT(service("always-3").status().reason(), HasSubstr("given up after 2 restarts in a row: exit code 3"));
  EXPECT_EQ(service("never-3").last_exit(), "exit code 3");
  stop();
}

TEST_F(NodeServiceTest, WaitsLongerEachTime) {
  configure("services: [{id: crash, command: 'date +%s%N >> " + path("starts") +
            "; exit 1', backoff: 200ms, backoff_limit: 800ms, restart_limit: 4}]\n");
  start();
  service_in("crash", Service::Failed);
  std::istringstream starts(read_file(path("starts")));
  const std::vector<long long> at{std::istream_iterator<long long>(starts), {}};
  ASSERT_EQ(at.size(), 5);
  const std::vector<int> least{200, 400, 800, 800};
  for (std::size_t i = 0; i < least.size(); ++i) EXPECT_GE(at[i + 1] - at[i], least[i] * 1'000'000LL) << i;
  stop();
}

TEST_F(NodeServiceTest, MayBeStoppedWhileItWaits) {
  configure("services: [{id: crash, command: 'exit 1', backoff: 1h}]\n");
  start();
  const auto waiting = service_in("crash", Service::Waiting);
  EXPECT_EQ(waiting.status().colour(), Status::Yellow);
  EXPECT_EQ(waiting.pid(), 0);
  EXPECT_EQ(ask("service.stop('crash')").exit_code, 0);
  EXPECT_EQ(service("crash").state(), Service::Stopped);
  stop();
}

// --- what they are ---

TEST_F(NodeServiceTest, GivesThemWhatTheConfigurationSaysAndNothingElse) {
  configure("services: [{id: web, command: 'env | sort > " + path("env") + "; pwd >> " + path("env") +
            "; exec sleep 1000', environment: {COLOUR: red}, working_directory: /usr}]\n");
  const int stray = open("/dev/null", O_RDONLY);  // not close-on-exec
  start({}, {"SECRET=x"});
  close(stray);
  const pid_t pid = service_in("web", Service::Running).pid();
  EXPECT_TRUE(eventually([&] { return read_file(path("env")).ends_with("/usr\n"); }));
  const std::string environment = read_file(path("env"));
  EXPECT_THAT(environment, HasSubstr("COLOUR=red\n"));
  EXPECT_THAT(environment, HasSubstr("SNOW_FOX_SERVICE=web\n"));
  EXPECT_THAT(environment, Not(HasSubstr("SECRET")));
  EXPECT_THAT(environment, Not(HasSubstr("XDG_RUNTIME_DIR")));
  std::set<int> descriptors;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    descriptors.insert(std::stoi(entry.path().filename()));
  }
  EXPECT_THAT(descriptors, ElementsAre(0, 1, 2));
  EXPECT_EQ(std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/fd/0"), "/dev/null");
  EXPECT_EQ(getsid(pid), pid);
  stop();
}

class NodeServiceAsRootTest : public NodeServiceTest {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
    std::filesystem::permissions(configuration(), std::filesystem::perms(0644));
  }
};

// Goal: it works with a manager that has no rights, and the service has those of its user alone.
TEST_F(NodeServiceAsRootTest, RunsThemAsTheUserAskedForWithoutAnyPrivilege) {
  const passwd* daemon_user = getpwnam("daemon");
  ASSERT_NE(daemon_user, nullptr);
  configure("services: [{id: web, command: 'echo started; exec sleep 1000', user: daemon}]\n");
  std::filesystem::permissions(configuration(), std::filesystem::perms(0644));
  start({"--user", "nobody"});
  const pid_t pid = service_in("web", Service::Running).pid();
  EXPECT_TRUE(says("output: started service=web")) << "the manager reads what root's child's child writes";
  const std::string status = read_file("/proc/" + std::to_string(pid) + "/status");
  const std::string uid = std::to_string(daemon_user->pw_uid);
  const std::string gid = std::to_string(daemon_user->pw_gid);
  EXPECT_THAT(status, HasSubstr("Uid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid));
  EXPECT_THAT(status, HasSubstr("Gid:\t" + gid + "\t" + gid + "\t" + gid + "\t" + gid));
  EXPECT_THAT(status, HasSubstr("Groups:\t" + gid + " \n"));
  for (const std::string set : {"CapInh", "CapPrm", "CapEff", "CapAmb"}) {
    EXPECT_THAT(status, HasSubstr(set + ":\t0000000000000000"));
  }
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1"));
  kill_part("snow-fox-manage");
  kill_part("snow-fox-spawne");
  EXPECT_EQ(service_in("web", Service::Running).pid(), pid);
  EXPECT_EQ(ask("service.stop('web')").exit_code, 0);
  stop();
}

// Goal: what needs set-user-id programs may have them, and nobody else.
TEST_F(NodeServiceTest, GivesNoNewPrivilegesToServicesUnlessItIsTold) {
  configure("services:\n" + sleeper("web") + sleeper("sudoer", "no_new_privileges: false"));
  start();
  const auto status_of = [&](const std::string& id) {
    return read_file("/proc/" + std::to_string(service_in(id, Service::Running).pid()) + "/status");
  };
  EXPECT_THAT(status_of("web"), HasSubstr("NoNewPrivs:\t1"));
  EXPECT_THAT(status_of("sudoer"), HasSubstr("NoNewPrivs:\t0"));
  stop();
}

TEST_F(NodeServiceAsRootTest, KeepsNoMorePrivilegesThanItNeeds) {
  start({"--user", "nobody"});
  const std::string of_spawner = read_file("/proc/" + std::to_string(spawner()) + "/status");
  for (const std::string set : {"CapPrm", "CapEff"}) {
    const std::size_t at = of_spawner.find(set + ":\t");
    ASSERT_NE(at, std::string::npos);
    // DAC_READ_SEARCH, KILL, SETGID and SETUID, as far as they are there.
    EXPECT_EQ(std::stoull(of_spawner.substr(at + set.size() + 2), nullptr, 16) & ~0xe4ULL, 0) << set;
  }
  EXPECT_THAT(of_spawner, HasSubstr("CapInh:\t0000000000000000"));
  EXPECT_THAT(read_file("/proc/" + std::to_string(manager()) + "/status"), HasSubstr("NoNewPrivs:\t1"));
  const auto owner_and_mode = [&](const std::string& name) {
    struct stat status {};
    EXPECT_EQ(stat((run_directory() + name).c_str(), &status), 0) << name;
    return std::pair(status.st_uid, status.st_mode & 07777);
  };
  const uid_t nobody = getpwnam("nobody")->pw_uid;
  EXPECT_EQ(owner_and_mode(""), std::pair(0U, 0750U));
  EXPECT_EQ(owner_and_mode("/spawner"), std::pair(0U, 0700U));
  EXPECT_EQ(owner_and_mode("/manager"), std::pair(nobody, 02750U));
  EXPECT_EQ(owner_and_mode("/daemon.sock"), std::pair(nobody, 0600U));
  EXPECT_EQ(owner_and_mode("/spawner.sock"), std::pair(nobody, 0600U));
  EXPECT_EQ(owner_and_mode("/public.sock"), std::pair(0U, 0660U));
  stop();
}

// --- what they say ---

TEST_F(NodeServiceTest, WritesWhatTheySayToTheLog) {
  configure("services: [{id: talk, command: 'echo to-output; echo to-error >&2; printf unfinished; exit 0'}]\n");
  start();
  EXPECT_TRUE(says("output: to-output service=talk"));
  EXPECT_TRUE(says("output: to-error service=talk"));
  stop();
}

TEST_F(NodeServiceTest, WritesWhatTheySayToFilesOfLimitedSize) {
  configure("services: [{id: talk, command: 'seq 1 2000; exit 0', output: " + path("talk.log") +
            ", output_limit: 2KiB, output_files: 2}]\n");
  start();
  service_in("talk", Service::Finished);
  EXPECT_TRUE(eventually([&] { return read_file(path("talk.log")).find("2000\n") != std::string::npos; }));
  EXPECT_TRUE(std::filesystem::exists(path("talk.log.1")));
  EXPECT_TRUE(std::filesystem::exists(path("talk.log.2")));
  EXPECT_FALSE(std::filesystem::exists(path("talk.log.3")));
  for (const std::string name : {"talk.log", "talk.log.1", "talk.log.2"}) {
    EXPECT_LE(std::filesystem::file_size(path(name)), 2100) << name;
  }
  // What was put aside goes on where the next begins.
  const std::string all = read_file(path("talk.log.2")) + read_file(path("talk.log.1")) + read_file(path("talk.log"));
  std::istringstream numbers(all);
  int before = 0;
  for (int number = 0; numbers >> number; before = number) {
    if (before != 0) {
      EXPECT_EQ(number, before + 1);
    }
  }
  EXPECT_EQ(before, 2000);
  stop();
}

TEST_F(NodeServiceTest, IsNotDrownedByOneThatSaysTooMuch) {
  configure("services: [{id: flood, command: [yes, no]}, {id: files, command: [seq, '100000000'], output: " +
            path("flood") + ", output_limit: 64KiB, output_files: 1}]\n");
  start();
  EXPECT_TRUE(says("it says more than the log takes"));
  EXPECT_EQ(ask("node.status()").exit_code, 0);
  EXPECT_LT(std::filesystem::file_size(daemon_->log_file()), 10'000'000);
  EXPECT_EQ(ask("service.stop('flood'); service.stop('files')").exit_code, 0);
  // While the rest is read, the file is put aside and made anew again and again.
  std::error_code error;
  EXPECT_TRUE(eventually([&] { return std::filesystem::file_size(path("flood"), error) <= 70'000; }));
  stop();
}

// --- who watches them ---

TEST_F(NodeServiceTest, TellsWhoWatchesOfEachChange) {
  configure("services:\n" + sleeper("web", "autostart: false") + sleeper("other"));
  start();
  service_in("other", Service::Running);
  Program watching = client_program({"--json", "--eval", "service.watch('web')"});
  EXPECT_TRUE(eventually([&] { return lines(watching.output()) == 1; }));
  EXPECT_THAT(watching.output(), HasSubstr("[{\"id\":\"web\""));
  EXPECT_EQ(status().details().services().watches(), 1);
  EXPECT_EQ(ask("service.start('web'); service.restart('other')").exit_code, 0);
  EXPECT_TRUE(eventually([&] { return watching.output().find("\"state\":\"Running\"") != std::string::npos; }));
  EXPECT_THAT(watching.output(), HasSubstr("\"state\":\"Starting\""));
  EXPECT_THAT(watching.output(), Not(HasSubstr("other")));
  reload("services:\n" + sleeper("other"));
  EXPECT_TRUE(eventually([&] { return watching.output().find("\"removed\":true") != std::string::npos; }));
  watching.kill(SIGINT);
  EXPECT_EQ(watching.wait(), 128 + SIGINT);
  EXPECT_TRUE(eventually([&] { return status().details().services().watches() == 0; }));
  stop();
}

// Goal: a client that watches and does not read costs nothing but what it has missed by name.
TEST_F(NodeServiceTest, LeavesOutWhatAWatcherDoesNotRead) {
  configure("services: [{id: crash, command: 'exit 1', backoff: 100ms, backoff_limit: 100ms}]\n");
  start();
  RawClient client(socket());
  client.introduce();
  auto request = client.make(public_api::SERVICE_WATCH, client.id() + "/1");
  request.mutable_service_watch()->set_id("");
  EXPECT_TRUE(client.ask(request).has_service_list_response());
  const auto event = client.receive();
  ASSERT_TRUE(event.has_value());
  EXPECT_EQ(event->code(), public_api::EVENT);
  EXPECT_EQ(event->correlation_id(), client.id() + "/1");
  EXPECT_EQ(event->event().service().id(), "crash");
  request = client.make(public_api::SERVICE_UNWATCH, client.id() + "/2");
  request.mutable_service_unwatch();
  client.send(request);
  for (auto answer = client.receive(); answer && !answer->has_ack(); answer = client.receive()) {
  }
  EXPECT_EQ(status().details().services().watches(), 0);
  EXPECT_TRUE(client.is_served()) << "and nothing came in between";
  stop();
}

// --- when the configuration changes ---

TEST_F(NodeServiceTest, LeavesThoseAloneWhoseDefinitionHasNotChanged) {
  configure("services:\n" + sleeper("same") + sleeper("policy") + sleeper("changed") + sleeper("removed"));
  start();
  std::map<std::string, pid_t> before;
  for (const std::string id : {"same", "policy", "changed", "removed"}) {
    before[id] = service_in(id, Service::Running).pid();
  }
  reload("services:\n" + sleeper("added") + sleeper("changed", "environment: {A: b}") +
         sleeper("policy", "restart: always, stop_timeout: 1s") + sleeper("same"));
  EXPECT_TRUE(eventually([&] { return gone(before["removed"]) && gone(before["changed"]); }));
  EXPECT_NE(service_in("changed", Service::Running).pid(), before["changed"]);
  EXPECT_EQ(service_in("same", Service::Running).pid(), before["same"]);
  EXPECT_EQ(service_in("policy", Service::Running).pid(), before["policy"]);
  service_in("added", Service::Running);
  EXPECT_EQ(services().size(), 4);
  reload("services:\n" + sleeper("removed"));
  service_in("removed", Service::Running);
  EXPECT_TRUE(eventually([&] { return gone(before["same"]); }));
  stop();
}

// --- when the node's own processes die ---

TEST_F(NodeServiceTest, KeepsThemThroughTheDeathOfEachOfItsProcesses) {
  configure("services:\n" + sleeper("web") + sleeper("stopped"));
  start();
  const pid_t pid = service_in("web", Service::Running).pid();
  EXPECT_EQ(ask("service.stop('stopped')").exit_code, 0);
  for (const std::string part : {"snow-fox-manage", "snow-fox-spawne", "daemon"}) {
    part == "daemon" ? restart_daemon() : kill_part(part);
    EXPECT_EQ(service_in("web", Service::Running).pid(), pid) << part;
    EXPECT_FALSE(gone(pid)) << part;
    const auto stopped = service("stopped");
    EXPECT_EQ(stopped.state(), Service::Stopped) << part << ": somebody had asked for it";
    EXPECT_EQ(service("web").restarts(), 0);
  }
  // It is known on: when it ends it is started again, and it can be stopped.
  ::kill(pid, SIGKILL);
  EXPECT_TRUE(eventually([&] { return service("web").restarts() == 1; }));
  service_in("web", Service::Running);
  EXPECT_EQ(ask("service.stop('web')").exit_code, 0);
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
}

TEST_F(NodeServiceTest, KnowsHowOneEndsThatAnotherSpawnerHasStarted) {
  configure("services: [{id: web, command: \"trap 'exit 7' TERM; while :; do sleep 0.05; done\", restart: never}]\n");
  start();
  const pid_t pid = service_in("web", Service::Running).pid();
  kill_part("snow-fox-spawne");
  EXPECT_EQ(service_in("web", Service::Running).pid(), pid);
  ::kill(pid, SIGTERM);
  EXPECT_EQ(service_in("web", Service::Failed).last_exit(), "exit code 7");
  EXPECT_EQ(zombies(), 0);
  stop();
}

// Goal: what a service leaves behind goes with it, whichever spawner has started it and whether or not one was there.
TEST_F(NodeServiceTest, EndsWhatOneLeavesBehindThatAnotherSpawnerHasStarted) {
  for (const bool spawner_is_there : {true, false}) {
    configure("services:\n- {id: web, restart: never, command: 'sleep 1000 & echo $! >" + path("left") +
              "; exec sleep 1001'}\n");
    start();
    const pid_t web = service_in("web", public_api::Service::Running).pid();
    EXPECT_TRUE(eventually([&] { return !read_file(path("left")).empty(); }));
    const pid_t left = std::stoi(read_file(path("left")));
    const pid_t former = spawner();
    if (!spawner_is_there) ::kill(former, SIGSTOP);
    if (!spawner_is_there) ::kill(web, SIGKILL);
    ::kill(former, SIGKILL);
    EXPECT_TRUE(says("process taken up") || !spawner_is_there);
    if (spawner_is_there) ::kill(web, SIGKILL);
    service_in("web", public_api::Service::Failed);
    EXPECT_TRUE(eventually([&] { return gone(left); }));
    std::filesystem::remove(path("left"));
    parts_ = children_of(daemon_->pid());
    parts_.push_back(daemon_->pid());
    stop();
  }
}

// Goal: that the node itself may have many descriptors is no matter of its services.
TEST_F(NodeServiceTest, GivesThemTheLimitOfDescriptorsThatItWasStartedWith) {
  configure("services:\n- {id: limit, command: 'ulimit -Sn >" + path("limit") + "; exec sleep 1000'}\n");
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit small{300, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &small), 0);
  start();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(eventually([&] { return !read_file(path("limit")).empty(); }));
  EXPECT_EQ(read_file(path("limit")), "300\n");
  for (const pid_t pid : {manager(), spawner()}) {
    rlimit theirs{};
    ASSERT_EQ(prlimit(pid, RLIMIT_NOFILE, nullptr, &theirs), 0);
    EXPECT_EQ(theirs.rlim_cur, before.rlim_max);
  }
  stop();
}

TEST_F(NodeServiceTest, KnowsHowOneHasEndedWhileThereWasNoSpawner) {
  configure("services:\n" + sleeper("web", "restart: never"));
  start();
  const pid_t pid = service_in("web", Service::Running).pid();
  ::kill(child_named("snow-fox-spawne"), SIGKILL);
  ::kill(pid, SIGUSR1);
  EXPECT_EQ(service_in("web", Service::Failed).last_exit(), "killed by SIGUSR1");
  EXPECT_TRUE(eventually([&] { return zombies() == 0; }));
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
}

TEST_F(NodeServiceTest, LosesNoEndThatComesWhileThereIsNoManager) {
  configure("services:\n" + sleeper("web", "restart: never"));
  start();
  const pid_t pid = service_in("web", Service::Running).pid();
  ::kill(child_named("snow-fox-manage"), SIGKILL);
  ::kill(pid, SIGUSR1);
  EXPECT_EQ(service_in("web", Service::Failed).last_exit(), "killed by SIGUSR1");
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
}

// Goal: what a service leaves behind becomes nobody's zombie.
TEST_F(NodeServiceTest, ReapsWhatTheyLeaveBehind) {
  // It leaves two behind once there is a file that says so.
  configure("services: [{id: forks, command: 'until [ -e " + path("now") +
            " ]; do sleep 0.05; done; (setsid sleep 0.5 &) ; (setsid sleep 0.3 &) ; exec sleep 1000'}]\n");
  start();
  service_in("forks", Service::Running);
  write_file(path("now"), "");
  EXPECT_TRUE(eventually([&] { return children_of(daemon_->pid()).size() > 2; })) << "they are the daemon's";
  EXPECT_TRUE(eventually([&] { return children_of(daemon_->pid()).size() == 2 && zombies() == 0; }));
  stop();
}

TEST_F(NodeServiceTest, IsNotFooledByAPidThatIsAnothersNow) {
  configure("services:\n" + sleeper("web"));
  start();
  const pid_t pid = service_in("web", Service::Running).pid();
  const std::string record = run_directory() + "/spawner/web.process";
  const std::string written = read_file(record);
  ASSERT_FALSE(written.empty());
  daemon_->kill(SIGKILL);
  daemon_->wait();
  for (const pid_t part : parts_) EXPECT_TRUE(eventually([&] { return gone(part); }));
  ::kill(pid, SIGKILL);
  EXPECT_TRUE(eventually([&] { return gone(pid); }));
  // A process of the same pid that was started at another time, as far as the record can tell: this test's own.
  manager_spawner::ProcessRecord forged;
  ASSERT_TRUE(forged.ParseFromString(written));
  forged.mutable_process()->set_pid(getpid());
  write_file(record, forged.SerializeAsString());
  start();
  EXPECT_TRUE(eventually([&] { return service("web").state() == Service::Running; }));
  EXPECT_NE(service("web").pid(), getpid());
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
}

// --- when the node ends ---

TEST_F(NodeServiceTest, StopsThemWhenItEndsUnlessTheyAreToBeLeft) {
  configure("services:\n" + sleeper("web") + sleeper("left", "on_shutdown: leave, output: discard") +
            "- {id: deaf, command: \"trap '' TERM; while :; do sleep 1; done\", stop_timeout: 1h}\n");
  start({"--shutdown-timeout", "2s"});
  const pid_t web = service_in("web", Service::Running).pid();
  const pid_t left = service_in("left", Service::Running).pid();
  const pid_t deaf = service_in("deaf", Service::Running).pid();
  std::this_thread::sleep_for(100ms);
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
  EXPECT_TRUE(gone(web));
  EXPECT_TRUE(gone(deaf));
  EXPECT_FALSE(gone(left));
  EXPECT_TRUE(std::filesystem::exists(run_directory() + "/spawner/left.process"));
  EXPECT_FALSE(std::filesystem::exists(run_directory() + "/manager"));
  start();
  EXPECT_EQ(service_in("left", Service::Running).pid(), left) << "taken up again";
  EXPECT_EQ(ask("service.stop('left')").exit_code, 0);
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
}

// Goal: even a manager that cannot stop them any more leaves none behind, and they are told before they are killed.
TEST_F(NodeServiceTest, LeavesNoneBehindWhenTheManagerHangs) {
  configure("services:\n" + sleeper("deaf", "stop_signal: CHLD") + "- {id: web, command: \"trap 'echo > " +
            path("told") + "; exit 0' USR1; while :; do sleep 0.02; done\", stop_signal: USR1}\n");
  start({"--shutdown-timeout", "2s"});
  const pid_t web = service_in("web", Service::Running).pid();
  const pid_t deaf = service_in("deaf", Service::Running).pid();
  std::this_thread::sleep_for(100ms);  // it must have come to its trap
  ::kill(manager(), SIGSTOP);
  stop();
  EXPECT_TRUE(gone(web));
  EXPECT_TRUE(gone(deaf));
  EXPECT_EQ(read_file(path("told")), "\n");
}

}  // namespace
}  // namespace snowfox::node
