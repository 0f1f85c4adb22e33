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

TEST_F(NodeSupervisionTest, EndsWithAClearErrorWhenAChildCannotBeStartedAnyMore) {
  start();
  configure("nod: {}\n");
  ::kill(manager(), SIGKILL);
  EXPECT_EQ(daemon_->wait(), 1);
  EXPECT_TRUE(says("snow-fox-manager could not be started 5 times running: snow-fox-manager cannot start: " +
                   configuration() + ":1:1: nod: unknown key"));
  expect_nothing_left();
}

TEST_F(NodeSupervisionTest, EndsInOrderWhileAChildIsStartedAgain) {
  start();
  configure("nod: {}\n");
  ::kill(manager(), SIGKILL);
  EXPECT_TRUE(says("child cannot be started"));
  daemon_->kill(SIGTERM);
  EXPECT_EQ(daemon_->wait(), 0);
  expect_nothing_left();
}

}  // namespace
}  // namespace snowfox::node
