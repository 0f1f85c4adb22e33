#include <snowfox/context/process.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/context/reload.h>
#include <snowfox/core/error.h>
#include <snowfox/drains/stream_drain.h>

#include "context/environment.h"
#include "context/in_child.h"
#include "context/service_manager.h"
#include "support/manual_loop.h"
#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::StartsWith;

struct Settings {};

class ProcessTest : public ::testing::Test, protected ManualLoop {
 protected:
  ProcessTest() : ManualLoop() { notify.emplace("NOTIFY_SOCKET", directory / "notify"); }

  /// On the loop whose clock is turned by hand.
  Process& start(ProcessSettings settings = {}) {
    settings.name = "testd";
    process = std::make_unique<Process>(std::move(settings), loop);
    return *process;
  }
  /// Sends `signal` to this process, once the loop runs.
  void send_soon(int signal) {
    process->scope().scheduler().after(1s, [signal] { ::raise(signal); });
  }
  /// A dynamic scope that listens.
  Reload<Settings>& listen() {
    reload = std::make_unique<Reload<Settings>>(
        process->scope(),
        [this]() -> LoadedConfiguration<Settings> {
          return {{}, {std::to_string(version++), "test"}};
        },
        [this](const Settings&, DynamicScopeBuilder& scope) {
          scope.listen({.address = address}, [](const ListenerSource::Connection&) {});
        });
    reload->reload().check();
    return *reload;
  }
  bool listening() const { return ::access((directory / "api.sock").c_str(), F_OK) == 0; }

  TemporaryDirectory directory;
  const Address address = Address::unix_socket(directory / "api.sock");
  ServiceManager manager{directory / "notify"};
  std::optional<EnvironmentVariable> notify;
  int version = 0;
  std::unique_ptr<Process> process;
  std::unique_ptr<Reload<Settings>> reload;
};

TEST_F(ProcessTest, EndsInOrderOnTerm) {
  start();
  listen();
  bool listened = true;
  process->on_shutdown([&] { listened = listening(); });
  send_soon(SIGTERM);
  EXPECT_EQ(process->run(), 0);
  EXPECT_FALSE(listened);
  EXPECT_TRUE(process->stopping());
  EXPECT_THAT(manager.heard(), ElementsAre("READY=1", "STOPPING=1"));
}

TEST_F(ProcessTest, EndsInOrderOnInt) {
  start();
  int asked = 0;
  process->on_shutdown([&] { ++asked; });
  send_soon(SIGINT);
  EXPECT_EQ(process->run(), 0);
  EXPECT_EQ(asked, 1);
}

TEST_F(ProcessTest, EndsWithoutAHandler) {
  start();
  send_soon(SIGTERM);
  EXPECT_EQ(process->run(), 0);
}

TEST_F(ProcessTest, WaitsForWorkThatIsUnderWay) {
  start();
  bool over = false;
  process->on_shutdown([&](Process::Completion done) {
    process->scope().scheduler().after(3s, [&, done]() mutable {
      over = true;
      done.done();
    });
  });
  send_soon(SIGTERM);
  const TimePoint began = loop.now();
  EXPECT_EQ(process->run(), 0);
  EXPECT_TRUE(over);
  EXPECT_GE(loop.now() - began, 4s);
  EXPECT_LT(loop.now() - began, 5s);
}

TEST_F(ProcessTest, DoesNotWaitForEver) {
  start({.shutdown_timeout = 5s});
  std::optional<Process::Completion> never;
  process->on_shutdown([&](Process::Completion done) { never = std::move(done); });
  send_soon(SIGTERM);
  const TimePoint began = loop.now();
  EXPECT_EQ(process->run(), 0);
  EXPECT_GE(loop.now() - began, 6s);
  EXPECT_LT(loop.now() - began, 7s);
  EXPECT_EQ(sink.count("ended with work that was not over in time"), 1U);
}

TEST_F(ProcessTest, FlushesWhatDrainsHaveAtTheEnd) {
  start();
  auto [near, far] = make_socket_pair();
  StreamDrain drain(loop, Channel::make(loop, std::move(near)));
  process->on_shutdown([&] { drain.enqueue("goodbye"); });
  send_soon(SIGTERM);
  process->run();
  EXPECT_EQ(receive_some(far.get()), "goodbye");
}

TEST_F(ProcessTest, EndsThoughItsShutdownHandlerThrows) {
  start();
  process->on_shutdown([] { throw std::runtime_error("no"); });
  send_soon(SIGTERM);
  EXPECT_EQ(process->run(), 0);
  EXPECT_EQ(sink.find("event not handled").fields["error"], "no");
}

TEST_F(ProcessTest, EndsAtOnceOnASecondInt) {
  start();
  std::optional<Process::Completion> never;
  process->on_shutdown([&](Process::Completion done) {
    never = std::move(done);
    ::raise(SIGINT);
  });
  send_soon(SIGINT);
  const TimePoint began = loop.now();
  EXPECT_EQ(process->run(), 130);
  EXPECT_LT(loop.now() - began, 2s);
}

TEST_F(ProcessTest, GoesOnEndingOnASecondTerm) {
  start();
  int asked = 0;
  process->on_shutdown([&](Process::Completion done) {
    ++asked;
    ::raise(SIGTERM);
    process->scope().scheduler().after(3s, [done] {});
  });
  send_soon(SIGTERM);
  EXPECT_EQ(process->run(), 0);
  EXPECT_EQ(asked, 1);
}

TEST_F(ProcessTest, MayEndBeforeItRuns) {
  start();
  process->shutdown();
  EXPECT_EQ(process->run(), 0);
}

TEST_F(ProcessTest, TellsThatItStopsHoweverTheLoopEnds) {
  start();
  process->scope().scheduler().after(1s, [] { throw CleanExit(); });
  EXPECT_EQ(process->run(), 0);
  EXPECT_THAT(manager.heard(), ElementsAre("READY=1", "STOPPING=1"));
}

TEST_F(ProcessTest, GivesTheExitCodeOfAnAbort) {
  start();
  process->scope().scheduler().after(1s, [] { throw AbortError("broken"); });
  EXPECT_EQ(process->run(), 1);
}

TEST_F(ProcessTest, ReloadsOnHup) {
  start();
  listen();
  int reloads = 0;
  process->on_reload([&] {
    ++reloads;
    EXPECT_TRUE(reload->reload().changed());
    process->status("reloaded");
    process->shutdown();
  });
  send_soon(SIGHUP);
  EXPECT_EQ(process->run(), 0);
  EXPECT_EQ(reloads, 1);
  EXPECT_THAT(manager.heard(),
              ElementsAre("READY=1", StartsWith("RELOADING=1\nMONOTONIC_USEC="), "STATUS=reloaded", "STOPPING=1"));
}

TEST_F(ProcessTest, IsReadyAgainWhenTheReloadIsOver) {
  start();
  process->on_reload([&](Process::Completion done) {
    process->scope().scheduler().after(2s, [&, done] {
      EXPECT_THAT(manager.heard(), ElementsAre("READY=1", StartsWith("RELOADING=1")));
      process->scope().scheduler().after(1s, [&] { process->shutdown(); });
    });
  });
  send_soon(SIGHUP);
  process->run();
  EXPECT_THAT(manager.heard(), ElementsAre("READY=1", "STOPPING=1"));
}

TEST_F(ProcessTest, ReloadsAgainForAHupThatCameMeanwhile) {
  start();
  int begun = 0;
  int over = 0;
  process->on_reload([&](Process::Completion done) {
    EXPECT_EQ(begun, over);
    if (++begun == 1) ::raise(SIGHUP);
    process->scope().scheduler().after(2s, [&, done] {
      if (++over == 2) process->shutdown();
    });
  });
  send_soon(SIGHUP);
  process->run();
  EXPECT_EQ(begun, 2);
  EXPECT_EQ(over, 2);
}

TEST_F(ProcessTest, GoesOnAfterAReloadThatThrows) {
  start();
  process->on_reload([] { throw std::runtime_error("no"); });
  send_soon(SIGHUP);
  process->scope().scheduler().after(2s, [&] { process->shutdown(); });
  EXPECT_EQ(process->run(), 0);
  EXPECT_EQ(sink.find("event not handled").fields["error"], "no");
  EXPECT_THAT(manager.heard(), ElementsAre("READY=1", StartsWith("RELOADING=1"), "READY=1", "STOPPING=1"));
}

TEST_F(ProcessTest, StaysThroughAHupThatItHasNoHandlerFor) {
  start();
  send_soon(SIGHUP);
  process->scope().scheduler().after(2s, [&] { process->shutdown(); });
  EXPECT_EQ(process->run(), 0);
  EXPECT_EQ(sink.count("nothing to reload"), 1U);
}

TEST_F(ProcessTest, LetsACompletionOutliveIt) {
  start();
  std::optional<Process::Completion> held;
  process->on_reload([&](Process::Completion done) {
    held = std::move(done);
    process->shutdown();
  });
  send_soon(SIGHUP);
  process->run();
  process.reset();
  held->done();
}

TEST_F(ProcessTest, GivesSignsOfLifeTwiceAsOftenAsAsked) {
  const EnvironmentVariable microseconds("WATCHDOG_USEC", "2000000");
  start();
  process->start();
  EXPECT_THAT(manager.heard(), ElementsAre("WATCHDOG=1", "READY=1"));
  pass(3500ms);
  EXPECT_THAT(manager.heard(), ElementsAre("WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"));
}

TEST_F(ProcessTest, TellsWhichProcessToWatchIfItIsNotTheOneThatWasStarted) {
  start({.detached = true});
  process->start();
  EXPECT_THAT(manager.heard(), ElementsAre("READY=1\nMAINPID=" + std::to_string(::getpid())));
}

TEST_F(ProcessTest, TellsNobodyIfItIsNotTo) {
  start({.notify = false});
  process->start();
  EXPECT_THAT(manager.heard(), ElementsAre());
  EXPECT_FALSE(is_set("NOTIFY_SOCKET"));
}

TEST_F(ProcessTest, WarnsThatTheManagerIsNotThere) {
  notify.emplace("NOTIFY_SOCKET", directory / "nobody");
  start();
  process->start();
  EXPECT_EQ(sink.find("the service manager was not told").fields["error"], "No such file or directory");
}

TEST_F(ProcessTest, HasAPidFileForAsLongAsItLives) {
  const std::string path = directory / "testd.pid";
  start({.pid_file = path});
  std::string pid;
  std::ifstream(path) >> pid;
  EXPECT_EQ(pid, std::to_string(::getpid()));
  send_soon(SIGTERM);
  process->run();
  process.reset();
  EXPECT_NE(::access(path.c_str(), F_OK), 0);
}

TEST_F(ProcessTest, RefusesToStartBesideAnotherInstance) {
  const std::string path = directory / "testd.pid";
  const PidFile other(path);
  EXPECT_THAT(
      in_child([&] {
        const Process second({.pid_file = path});
        return std::string("started");
      }),
      StartsWith("threw pid file " + path + ": another instance is running, pid " + std::to_string(::getpid())));
}

TEST_F(ProcessTest, IgnoresBrokenPipesWhileItLives) {
  start();
  struct sigaction now {};
  ::sigaction(SIGPIPE, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_IGN);
  process.reset();
  ::sigaction(SIGPIPE, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
}

TEST_F(ProcessTest, SetsTheUmask) {
  EXPECT_EQ(in_child([] {
              const Process process({.umask = 027});
              return std::to_string(::umask(0));
            }),
            std::to_string(027));
}

TEST_F(ProcessTest, RunsAsAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can drop privileges";
  EXPECT_EQ(in_child([&] {
              const std::string path = directory / "testd.pid";
              Process process({.pid_file = path, .user = "4242", .group = "4343", .log_level = LogLevel::Off});
              process.scope().scheduler().after(Duration::zero(), [&] { process.shutdown(); });
              process.run();
              return std::to_string(::getuid()) + " " + std::to_string(::getgid());
            }),
            "4242 4343");
}

TEST_F(ProcessTest, DoesNotStartIfItCannotBecomeTheUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  EXPECT_THAT(in_child([&] {
                if (::setresuid(4242, 4242, 4242) != 0) return std::string("still root");
                Process process({.user = "4343", .group = "4343", .log_level = LogLevel::Off});
                return std::to_string(process.run());
              }),
              StartsWith("threw run as user 4343, group 4343: only root may, and this is user 4242"));
}

// Goal: a daemon started by a socket unit serves who has been waiting since before it was there.
TEST_F(ProcessTest, ServesTheSocketsThatItInherits) {
  const Descriptor listening = Io::system().listen(address, {});
  const Descriptor unwanted = Io::system().listen(Address::parse("127.0.0.1:0"), {});
  const Descriptor client = connect_to(address);
  const std::string told = in_child([&] {
    // Out of the way first, for they may be where they go.
    const int copies[] = {::fcntl(listening.get(), F_DUPFD, 100), ::fcntl(unwanted.get(), F_DUPFD, 100)};
    ::dup2(copies[0], 3);
    ::dup2(copies[1], 4);
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", "2", 1);
    ::setenv("LISTEN_FDNAMES", "api:web", 1);

    ManualLoop own;
    Process daemon({}, *own);
    std::string result;
    Reload<Settings> settings(
        daemon.scope(),
        []() -> LoadedConfiguration<Settings> {
          return {{}, {"1", "test"}};
        },
        [&](const Settings&, DynamicScopeBuilder& scope) {
          scope.listen({.address = address}, [&](const ListenerSource::Connection& connection) {
            send_some(connection.channel->fd(), "hello");
            result += "served ";
            daemon.shutdown();
          });
        });
    settings.reload().check();
    result += std::to_string(daemon.run());
    if (is_set("LISTEN_FDS")) result += " variable left";
    return result + " " + own.sink.find("inherited socket that the configuration does not ask for").fields["name"];
  });
  EXPECT_EQ(told, "served 0 web");
  EXPECT_EQ(receive_some(client.get()), "hello");
  // The socket is systemd's: it is still there for the next instance.
  EXPECT_NO_THROW(connect_to(address));
}

TEST(ProcessWithALoopOfItsOwnTest, RunsUntilItIsAskedToEnd) {
  EXPECT_EQ(in_child([] {
              Process process({.name = "testd", .log_level = LogLevel::Off});
              process.scope().scheduler().after(1ms, [] { ::raise(SIGTERM); });
              return std::to_string(process.run());
            }),
            "0");
}

TEST(ProcessWithALoopOfItsOwnTest, WritesItsLogAsTheConfigurationSays) {
  const std::string told = in_child([] {
    int ends[2];
    if (::pipe2(ends, O_NONBLOCK) != 0) return std::string("no pipe");
    ::dup2(ends[1], STDERR_FILENO);
    Process process({.name = "testd", .log_level = LogLevel::Warning});
    Reload<Settings> settings(
        process.scope(),
        []() -> LoadedConfiguration<Settings> {
          return {{}, {"1", "test"}};
        },
        [&](const Settings&, DynamicScopeBuilder& scope) {
          scope.set_log({LogLevel::Info, LogFormat::Json});
        });
    settings.reload().check();
    char text[1024];
    const ssize_t size = ::read(ends[0], text, sizeof text);
    return std::string(text, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
  });
  EXPECT_THAT(told, StartsWith("{\"time\":"));
  EXPECT_NE(told.find("\"component\":\"configuration\",\"message\":\"in force\""), std::string::npos);
}

}  // namespace
}  // namespace snowfox
