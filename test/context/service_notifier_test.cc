#include <snowfox/context/service_notifier.h>

#include <chrono>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "context/service_manager.h"
#include "support/manual_loop.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view kUntold = "the service manager was not told";

class ServiceNotifierTest : public ::testing::Test, protected ManualLoop {
 protected:
  /// Fills the manager's queue with signs of life, of which it has then heard more than enough.
  void make_busy() {
    const Notifier other(directory / "notify");
    while (!other.send("other")) {
    }
  }

  TemporaryDirectory directory;
  ServiceManager manager{directory / "notify"};
  ServiceNotifier notifier{loop, Notifier(directory / "notify")};
};

TEST_F(ServiceNotifierTest, TellsHowTheProcessIs) {
  notifier.ready();
  notifier.ready_as(4711);
  notifier.alive();
  notifier.stopping();
  EXPECT_THAT(manager.heard(), ElementsAre("READY=1", "READY=1\nMAINPID=4711", "WATCHDOG=1", "STOPPING=1"));
}

TEST_F(ServiceNotifierTest, DoesNotRepeatAStatus) {
  for (const char* status : {"well", "well", "unwell", "well"}) notifier.status(status);
  EXPECT_THAT(manager.heard(), ElementsAre("STATUS=well", "STATUS=unwell", "STATUS=well"));
}

// Goal: a manager that is busy hears all that matters, in order, once it listens; and nobody waits for it.
TEST_F(ServiceNotifierTest, TellsABusyManagerLater) {
  make_busy();
  notifier.ready();
  notifier.status("old");
  notifier.status("new");
  notifier.alive();
  notifier.stopping();
  pass(1s);
  manager.heard();
  pass(1s);
  EXPECT_THAT(manager.heard(), ElementsAre("READY=1", "STATUS=new", "STOPPING=1"));
  EXPECT_EQ(sink.count(kUntold), 0U);
  notifier.ready();
  EXPECT_THAT(manager.heard(), ElementsAre("READY=1"));
}

TEST_F(ServiceNotifierTest, KeepsNoMoreThanItMay) {
  make_busy();
  for (std::size_t i = 0; i < 3 * ServiceNotifier::kMostUntold; ++i) notifier.ready();
  notifier.stopping();
  manager.heard();
  std::vector<std::string> heard;
  for (int i = 0; i < 10; ++i) {
    pass(1s);
    for (std::string& state : manager.heard()) heard.push_back(std::move(state));
  }
  EXPECT_EQ(heard.size(), ServiceNotifier::kMostUntold);
  EXPECT_EQ(heard.back(), "STOPPING=1");
}

TEST_F(ServiceNotifierTest, WarnsOnceOfASignOfLifeThatIsNotTaken) {
  make_busy();
  for (int i = 0; i < 3; ++i) notifier.alive();
  EXPECT_EQ(sink.count(kUntold), 1U);
}

TEST_F(ServiceNotifierTest, WarnsOnceThatTheManagerIsNotThere) {
  ServiceNotifier alone(loop, Notifier(directory / "nobody"));
  alone.ready();
  alone.status("well");
  alone.stopping();
  EXPECT_EQ(sink.count(kUntold), 1U);
  EXPECT_EQ(sink.find(kUntold).fields["state"], "READY=1");
  ServiceManager there(directory / "nobody");
  alone.ready();
  EXPECT_THAT(there.heard(), ElementsAre("READY=1"));
}

TEST_F(ServiceNotifierTest, TellsNobodyWithoutAManager) {
  ServiceNotifier nobody(loop, Notifier());
  nobody.ready();
  nobody.status("well");
  EXPECT_THAT(manager.heard(), IsEmpty());
  EXPECT_EQ(sink.count(kUntold), 0U);
}

}  // namespace
}  // namespace snowfox
