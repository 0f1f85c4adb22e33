#include <snowfox/context/notifier.h>

#include <unistd.h>

#include <chrono>
#include <ctime>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "context/environment.h"
#include "context/service_manager.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;

class NotifierTest : public ::testing::Test {
 protected:
  TemporaryDirectory directory;
  ServiceManager manager{directory / "notify"};
  Notifier notifier{directory / "notify"};
};

TEST_F(NotifierTest, TellsHowTheProcessIs) {
  EXPECT_FALSE(notifier.send(Notifier::ready_state()));
  EXPECT_FALSE(notifier.send(Notifier::status_state("2 clients")));
  EXPECT_FALSE(notifier.send(Notifier::stopping_state()));
  EXPECT_THAT(manager.heard(), ElementsAre("READY=1", "STATUS=2 clients", "STOPPING=1"));
}

TEST_F(NotifierTest, TellsWhenAReloadBegan) {
  const std::string told_state = Notifier::reloading_state();
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const std::string expected = "RELOADING=1\nMONOTONIC_USEC=";
  ASSERT_TRUE(told_state.starts_with(expected));
  const long long told = std::stoll(told_state.substr(expected.size()));
  EXPECT_NEAR(static_cast<double>(told), static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3,
              60e6);
}

TEST_F(NotifierTest, KeepsAStatusOnOneLine) {
  EXPECT_EQ(Notifier::status_state("2 clients\nREADY=1"), "STATUS=2 clients READY=1");
}

TEST_F(NotifierTest, ReachesAnAbstractSocket) {
  const std::string name = "@snowfox-notifier-test-" + std::to_string(::getpid());
  ServiceManager abstract(name);
  EXPECT_FALSE(Notifier(name).send("READY=1"));
  EXPECT_THAT(abstract.heard(), ElementsAre("READY=1"));
}

TEST_F(NotifierTest, TellsNobodyWithoutAManager) {
  const Notifier nobody = Notifier::from_environment();
  EXPECT_FALSE(nobody.connected());
  EXPECT_FALSE(nobody.send("READY=1"));
  EXPECT_EQ(nobody.watchdog(), 0s);
}

TEST_F(NotifierTest, GivesTheErrorOfAManagerThatIsNotThere) {
  EXPECT_EQ(Notifier(directory / "nobody").send("READY=1"), std::errc::no_such_file_or_directory);
  EXPECT_EQ(Notifier("notify").send("READY=1"), std::errc::invalid_argument);
  EXPECT_EQ(Notifier(std::string(200, '/')).send("READY=1"), std::errc::invalid_argument);
}

TEST_F(NotifierTest, DoesNotWaitForABusyManager) {
  std::error_code error;
  for (int i = 0; i < 100'000 && !error; ++i) error = notifier.send("READY=1");
  EXPECT_EQ(error, std::errc::resource_unavailable_try_again);
}

TEST_F(NotifierTest, TakesItsVariablesOutOfTheEnvironment) {
  const EnvironmentVariable socket("NOTIFY_SOCKET", directory / "notify");
  const EnvironmentVariable microseconds("WATCHDOG_USEC", "3000000");
  const EnvironmentVariable pid("WATCHDOG_PID", std::to_string(::getpid()));
  const Notifier from_environment = Notifier::from_environment();
  EXPECT_TRUE(from_environment.connected());
  EXPECT_EQ(from_environment.watchdog(), 3s);
  EXPECT_FALSE(is_set("NOTIFY_SOCKET") || is_set("WATCHDOG_USEC") || is_set("WATCHDOG_PID"));
  from_environment.send("READY=1");
  EXPECT_THAT(manager.heard(), ElementsAre("READY=1"));
}

TEST_F(NotifierTest, IsNotWatchedInPlaceOfAnotherProcess) {
  const EnvironmentVariable microseconds("WATCHDOG_USEC", "3000000");
  const EnvironmentVariable pid("WATCHDOG_PID", "1");
  EXPECT_EQ(Notifier::from_environment().watchdog(), 0s);
}

TEST_F(NotifierTest, TakesAWatchdogTimeThatMakesNoSenseForNone) {
  for (const char* nonsense : {"", "x", "-1", "1s", "99999999999999999999"}) {
    const EnvironmentVariable microseconds("WATCHDOG_USEC", nonsense);
    EXPECT_EQ(Notifier::from_environment().watchdog(), 0s) << nonsense;
  }
  const EnvironmentVariable microseconds("WATCHDOG_USEC", "18446744073709551615");
  EXPECT_GT(Notifier::from_environment().watchdog(), 0s);
}

}  // namespace
}  // namespace snowfox
