#include "examples/node_fixture.h"

#include <gmock/gmock.h>

namespace snowfox::node {
namespace {

using testing::HasSubstr;

class NodeSupervisionTest : public NodeTest {
 protected:
  /// The part of this name as it is now, which is another than `former`.
  pid_t other_than(pid_t former, const std::string& name) {
    pid_t found = 0;
    EXPECT_TRUE(eventually([&] {
      for (const pid_t pid : children_of(daemon_->pid())) {
        if (pid != former && read_file("/proc/" + std::to_string(pid) + "/comm").starts_with(name)) found = pid;
      }
      return found != 0;
    }));
    parts_.push_back(found);
    return found;
  }
  bool is_green() {
    const Finished asked = client({"--eval", "node.status()", "--timeout", "5s"});
    return asked.exit_code == 0 && asked.output.find("Green") != std::string::npos;
  }
};

TEST_F(NodeSupervisionTest, StartsAManagerThatWasKilledAgain) {
  start();
  const pid_t former = manager();
  ::kill(former, SIGKILL);
  const pid_t now = other_than(former, "snow-fox-manage");
  EXPECT_TRUE(eventually([&] { return is_green(); }));
  const auto info = status();
  EXPECT_EQ(info.details().daemon().restarts(), 1);
  EXPECT_EQ(info.details().daemon().last_end(), "killed by SIGKILL");
  EXPECT_EQ(info.details().spawner().restarts(), 0);
  EXPECT_FALSE(gone(now));
  stop();
}

TEST_F(NodeSupervisionTest, StartsASpawnerThatWasKilledAgainAndTheManagerGoesOn) {
  start();
  const pid_t former = spawner();
  const pid_t manager_before = manager();
  RawClient client(socket());
  client.introduce();
  ::kill(former, SIGKILL);
  const pid_t now = other_than(former, "snow-fox-spawne");
  EXPECT_TRUE(eventually([&] { return is_green(); }));
  EXPECT_TRUE(client.is_served()) << "who is connected stays so";
  const auto info = status();
  EXPECT_EQ(info.details().spawner().pid(), now);
  EXPECT_EQ(info.details().spawner().restarts(), 1);
  EXPECT_EQ(info.details().spawner().last_end(), "killed by SIGKILL");
  EXPECT_FALSE(gone(manager_before));
  stop();
}

TEST_F(NodeSupervisionTest, SurvivesTheDeathOfBothAtOnceAgainAndAgain) {
  start();
  for (int i = 0; i < 3; ++i) {
    for (const pid_t pid : children_of(daemon_->pid())) {
      ::kill(pid, SIGKILL);
      parts_.push_back(pid);
    }
    EXPECT_TRUE(eventually([&] { return children_of(daemon_->pid()).size() == 2 && is_green(); }));
  }
  EXPECT_EQ(status().details().daemon().restarts(), 3);
  for (const pid_t pid : children_of(daemon_->pid())) parts_.push_back(pid);
  stop();
}

// Goal: the sockets are the daemon's, so whoever connects while there is no manager waits and is served by the next.
TEST_F(NodeSupervisionTest, RefusesNobodyWhileTheManagerIsStartedAgain) {
  start();
  const pid_t former = manager();
  ::kill(former, SIGKILL);
  RawClient client(socket());
  client.introduce();
  EXPECT_TRUE(client.is_served());
  other_than(former, "snow-fox-manage");
  stop();
}

// Goal: whoever waits for an answer of a manager that dies is told at once, not when its time is over.
TEST_F(NodeSupervisionTest, TellsClientsAtOnceThatTheirManagerIsGone) {
  start();
  ::kill(spawner(), SIGSTOP);  // details wait for it
  Program asking = client_program({"--eval", "node.status(true)", "--timeout", "1h"});
  EXPECT_TRUE(eventually([&] {
    return client({"--eval", "node.waits()"}).output.find("waits for") != std::string::npos;
  }));
  const pid_t former = manager();
  ::kill(former, SIGKILL);
  EXPECT_EQ(asking.wait(5s), 1);
  EXPECT_THAT(asking.error(), HasSubstr("the connection to the node is lost"));
  ::kill(spawner(), SIGCONT);
  other_than(former, "snow-fox-manage");
  EXPECT_TRUE(eventually([&] { return is_green(); }));
  stop();
}

// Goal: a part that hangs is as good as dead, and is treated so.
TEST_F(NodeSupervisionTest, KillsAPartThatHangsAndStartsItAgain) {
  start({"--answer-timeout", "2s"});
  const pid_t former_manager = manager();
  ::kill(former_manager, SIGSTOP);
  other_than(former_manager, "snow-fox-manage");
  EXPECT_TRUE(says("child killed: it does not answer child=snow-fox-manager"));
  EXPECT_TRUE(eventually([&] { return is_green(); }));
  const pid_t former_spawner = spawner();
  ::kill(former_spawner, SIGSTOP);
  other_than(former_spawner, "snow-fox-spawne");
  EXPECT_TRUE(eventually([&] { return is_green(); }));
  const auto info = status();
  EXPECT_EQ(info.details().daemon().last_end(), "killed: it did not answer for 2s");
  EXPECT_EQ(info.details().spawner().last_end(), "killed: it did not answer for 2s");
  stop();
}

// Goal: a node that stands still as a whole, on a machine that does or in a container that is frozen, goes on as
// before.
TEST_F(NodeSupervisionTest, DoesNotTakeItsOwnStandstillForThatOfItsParts) {
  start({"--answer-timeout", "2s"});
  for (const pid_t pid : {daemon_->pid(), manager(), spawner()}) ::kill(pid, SIGSTOP);
  std::this_thread::sleep_for(3s);
  for (const pid_t pid : {manager(), spawner(), daemon_->pid()}) ::kill(pid, SIGCONT);
  EXPECT_TRUE(is_green());
  EXPECT_EQ(status().details().daemon().restarts(), 0);
  EXPECT_EQ(status().details().spawner().restarts(), 0);
  stop();
}

// Goal: a manager that dies after somebody has broken the configuration does not take the node with it.
TEST_F(NodeSupervisionTest, GoesOnWithTheConfigurationOfBeforeIfTheOneThatIsThereIsBroken) {
  configure("node: {name: before}\nservices:\n- {id: web, command: 'exec sleep 1000'}\n");
  start();
  const pid_t web = service_in("web", public_api::Service::Running).pid();
  configure("nod: {}\n");
  const pid_t former = manager();
  ::kill(former, SIGKILL);
  other_than(former, "snow-fox-manage");
  const auto info = status();
  EXPECT_EQ(info.node_name(), "before");
  EXPECT_EQ(info.status().colour(), Status::Yellow);
  EXPECT_THAT(info.status().reason(), HasSubstr(configuration() + ":1:1: nod: unknown key"));
  EXPECT_EQ(service("web").pid(), web);
  struct stat kept {};
  ASSERT_EQ(::stat((run_directory() + "/manager/configuration").c_str(), &kept), 0);
  EXPECT_EQ(kept.st_mode & 07777, 0600);
  // Mended, it is in force as after any reload.
  configure("node: {name: after}\nservices:\n- {id: web, command: 'exec sleep 1000'}\n");
  EXPECT_EQ(ask("node.reload()").exit_code, 0);
  EXPECT_EQ(status().node_name(), "after");
  EXPECT_EQ(status().status().colour(), Status::Green);
  EXPECT_EQ(service("web").pid(), web);
  stop();
}

TEST_F(NodeSupervisionTest, GoesOnWithADirectoryOfFilesAsWell) {
  std::filesystem::remove(configuration());
  std::filesystem::create_directory(configuration());
  write_file(configuration() + "/1.yaml", "node: {name: before}\n");
  write_file(configuration() + "/2.yaml", "services: [{id: web, command: 'exec sleep 1000'}]\n");
  start();
  service_in("web", public_api::Service::Running);
  std::filesystem::remove_all(configuration());
  const pid_t former = manager();
  ::kill(former, SIGKILL);
  other_than(former, "snow-fox-manage");
  EXPECT_EQ(status().node_name(), "before");
  EXPECT_EQ(service_in("web", public_api::Service::Running).restarts(), 0);
  EXPECT_THAT(status().status().reason(), HasSubstr("No such file or directory"));
  stop();
}

TEST_F(NodeSupervisionTest, EndsWithAClearErrorWhenAChildCannotBeStartedAnyMore) {
  start();
  configure("nod: {}\n");
  std::filesystem::remove(run_directory() + "/manager/configuration");
  ::kill(manager(), SIGKILL);
  EXPECT_EQ(daemon_->wait(), 1);
  EXPECT_TRUE(says("snow-fox-manager could not be started 5 times running: snow-fox-manager cannot start: " +
                   configuration() + ":1:1: nod: unknown key"));
  expect_nothing_left();
}

TEST_F(NodeSupervisionTest, EndsInOrderWhileAChildIsStartedAgain) {
  start();
  configure("nod: {}\n");
  std::filesystem::remove(run_directory() + "/manager/configuration");
  ::kill(manager(), SIGKILL);
  EXPECT_TRUE(says("child cannot be started"));
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
  expect_nothing_left();
}

}  // namespace
}  // namespace snowfox::node
