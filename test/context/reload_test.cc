#include <snowfox/context/reload.h>

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "context/in_child.h"
#include "support/manual_loop.h"
#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

struct Settings {
  std::string name{};
  std::vector<ListenerSettings> listen{};
  std::function<void(DynamicScopeBuilder&)> more{};  ///< of what else the scope consists
};

/// Whether anybody listens there.
bool can_connect(const Address& address) {
  const Descriptor socket(Io::system(), ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(socket.get(), address.data(), address.size()) == 0;
}

class ReloadTest : public ::testing::Test, protected ManualLoop {
 protected:
  using Result = ReloadResult::Outcome;

  ListenerSettings at(const Address& address, const ListenerOptions& options = {}) const {
    return {address, options, {"node.yml", 3, 5, "api.listen[0]"}};
  }
  Address socket(const std::string& name) const { return Address::unix_socket(directory / name); }

  /// Puts in force what listens at `listen`.
  ReloadResult load(const std::string& name, std::vector<ListenerSettings> listen,
                    std::function<void(DynamicScopeBuilder&)> more = nullptr) {
    next = {name, std::move(listen), std::move(more)};
    return reload.reload();
  }
  /// Connects, and tells which configuration's handler was given the connection.
  std::string accepted_by(const Address& address) {
    accepted.clear();
    const Descriptor client = connect_to(address);
    turn();
    return accepted;
  }
  std::string error_of(const ReloadResult& result) const { return result.error ? result.error->what() : ""; }

  TemporaryDirectory directory;
  StaticScope statics{loop};
  Settings next;
  std::string accepted;
  std::vector<ChannelRef> connections;  // those that are kept
  bool keep = false;
  Reload<Settings> reload{statics,
                          [this]() -> LoadedConfiguration<Settings> {
                            return {next, {"hash of " + next.name, "node.yml"}};
                          },
                          [this](const Settings& settings, DynamicScopeBuilder& scope) {
                            for (const ListenerSettings& listener : settings.listen) {
                              scope.listen(listener, [this, &settings](const ListenerSource::Connection& client) {
                                accepted += settings.name;
                                if (keep) connections.push_back(client.channel);
                              });
                            }
                            if (settings.more) settings.more(scope);
                          }};
};

TEST_F(ReloadTest, PutsTheFirstConfigurationInForce) {
  EXPECT_EQ(reload.scope(), nullptr);
  const ReloadResult result = load("a", {at(socket("a"))});
  ASSERT_TRUE(result);
  EXPECT_TRUE(result.changed());
  EXPECT_EQ(result.version_before, "");
  EXPECT_EQ(result.version_after, "hash of a");
  EXPECT_EQ(reload.configuration().name, "a");
  EXPECT_EQ(reload.scope()->metadata().name, "node.yml");
  EXPECT_EQ(accepted_by(socket("a")), "a");
}

TEST_F(ReloadTest, DoesNothingForTheConfigurationThatIsInForce) {
  load("a", {at(socket("a"))});
  const DynamicScope* scope = reload.scope();
  bool built = false;
  const ReloadResult result = load("a", {}, [&](DynamicScopeBuilder&) { built = true; });
  EXPECT_TRUE(result);
  EXPECT_EQ(result.outcome, Result::Unchanged);
  EXPECT_EQ(result.version_before, result.version_after);
  EXPECT_FALSE(built);
  EXPECT_EQ(reload.scope(), scope);
  EXPECT_EQ(accepted_by(socket("a")), "a");
}

TEST_F(ReloadTest, GivesAnUnchangedListenerToTheNewConfiguration) {
  load("a", {at(socket("s"))});
  const ListenerSource* listener = reload.scope()->listeners().at(0);
  struct stat before {};
  ::stat((directory / "s").c_str(), &before);
  load("b", {at(socket("s"))});
  struct stat after {};
  ::stat((directory / "s").c_str(), &after);
  EXPECT_EQ(accepted_by(socket("s")), "b");
  EXPECT_EQ(reload.scope()->listener(socket("s")), listener);
  EXPECT_EQ(before.st_ino, after.st_ino);
}

TEST_F(ReloadTest, ServesWhoConnectedBeforeTheReload) {
  load("a", {at(socket("s"))});
  const Descriptor waits = connect_to(socket("s"));
  load("b", {at(socket("s"))});
  turn();
  EXPECT_EQ(accepted, "b");
}

TEST_F(ReloadTest, KeepsThePortThatWasChosen) {
  load("a", {at(Address::parse("127.0.0.1:0"))});
  const Address chosen = reload.scope()->listeners().at(0)->local_address();
  load("b", {at(Address::parse("127.0.0.1:0"))});
  EXPECT_EQ(reload.scope()->listeners().at(0)->local_address(), chosen);
  EXPECT_EQ(accepted_by(chosen), "b");
}

TEST_F(ReloadTest, GivesEachListenerOfAnyPortItsOwnAndKeepsThem) {
  const ListenerSettings any = at(Address::parse("127.0.0.1:0"));
  ASSERT_TRUE(load("a", {any, any}));
  const Address first = reload.scope()->listeners().at(0)->local_address();
  const Address second = reload.scope()->listeners().at(1)->local_address();
  EXPECT_NE(first, second);
  ASSERT_TRUE(load("b", {any, any, any}));
  EXPECT_EQ(reload.scope()->listeners().at(0)->local_address(), first);
  EXPECT_EQ(reload.scope()->listeners().at(1)->local_address(), second);
  EXPECT_NE(reload.scope()->listeners().at(2)->local_address(), second);
  ASSERT_TRUE(load("c", {any}));
  EXPECT_EQ(reload.scope()->listeners().size(), 1);
  EXPECT_EQ(accepted_by(first), "c");
  EXPECT_FALSE(can_connect(second));
}

TEST_F(ReloadTest, ServesTheNewAddressAndRefusesTheOldOne) {
  keep = true;
  load("a", {at(socket("old"))});
  const Descriptor client = connect_to(socket("old"));
  turn();
  ASSERT_EQ(connections.size(), 1U);

  load("b", {at(socket("new"))});
  EXPECT_EQ(accepted_by(socket("new")), "b");
  EXPECT_FALSE(can_connect(socket("old")));
  EXPECT_NE(::access((directory / "old").c_str(), F_OK), 0);
  // The connection lives on.
  EXPECT_EQ(send_some(connections[0]->fd(), "hello"), 5U);
  EXPECT_EQ(receive_some(client.get()), "hello");
}

TEST_F(ReloadTest, LeavesEverythingAsItWasIfLoadingFails) {
  load("a", {at(socket("a"))});
  Reload<Settings> failing(
      statics,
      []() -> LoadedConfiguration<Settings> {
        throw ConfigurationError({{"node.yml", 3, 7, "log.level"}, "wrong"});
      },
      [](const Settings&, DynamicScopeBuilder&) {});
  const ReloadResult result = failing.reload();
  EXPECT_FALSE(result);
  EXPECT_EQ(error_of(result), "node.yml:3:7: log.level: wrong");
  EXPECT_THROW(result.check(), ConfigurationError);
  EXPECT_EQ(sink.count("node.yml:3:7: log.level: wrong"), 1U);
  EXPECT_EQ(accepted_by(socket("a")), "a");
}

TEST_F(ReloadTest, LeavesEverythingAsItWasIfBuildingFails) {
  load("a", {at(socket("s"))});
  const ReloadResult result = load("b", {at(socket("s")), at(socket("new"))},
                                   [](DynamicScopeBuilder&) { throw std::runtime_error("no such database"); });
  EXPECT_EQ(result.outcome, Result::Failed);
  EXPECT_EQ(error_of(result), "node.yml: no such database");
  EXPECT_EQ(result.version_after, "hash of a");
  EXPECT_EQ(reload.configuration().name, "a");
  EXPECT_EQ(accepted_by(socket("s")), "a");
  EXPECT_FALSE(can_connect(socket("new")));
  EXPECT_EQ(sink.count("refused, the one in force goes on"), 1U);
}

TEST_F(ReloadTest, LeavesEverythingAsItWasIfAPortIsTaken) {
  const Descriptor other = Io::system().listen(Address::parse("127.0.0.1:0"), {});
  const Address taken = Io::system().local_address(other.get());
  load("a", {at(socket("s"), {{.unix_mode = 0600}})});
  const ReloadResult result = load("b", {at(socket("s"), {{.unix_mode = 0666}}), at(taken)});
  EXPECT_EQ(error_of(result),
            "node.yml:3:5: api.listen[0]: cannot listen on " + taken.str() + ": Address already in use");
  EXPECT_EQ(accepted_by(socket("s")), "a");
  struct stat status {};
  ::stat((directory / "s").c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(ReloadTest, FailsWithoutAFirstConfiguration) {
  const ReloadResult result = load("a", {at(Address::unix_socket(directory / "missing/s"))});
  EXPECT_EQ(error_of(result), "node.yml:3:5: api.listen[0]: cannot listen on unix:" + (directory / "missing/s") +
                                  ": No such file or directory");
  EXPECT_EQ(reload.scope(), nullptr);
  EXPECT_EQ(result.version_after, "");
  EXPECT_TRUE(load("a", {at(socket("a"))}));
}

TEST_F(ReloadTest, RefusesAnAddressThatIsNamedTwice) {
  EXPECT_EQ(error_of(load("a", {at(socket("s")), at(socket("s"))})),
            "node.yml:3:5: api.listen[0]: " + socket("s").str() +
                " is to be listened on twice, also by node.yml:3:5: api.listen[0]");
  EXPECT_FALSE(can_connect(socket("s")));
}

TEST_F(ReloadTest, SaysThatItsOwnAddressIsInTheWay) {
  load("a", {at(Address::parse("127.0.0.1:0"))});
  const std::uint16_t port = reload.scope()->listeners().at(0)->local_address().port();
  const Address loopback = Address::tcp("127.0.0.1", port);
  ASSERT_TRUE(load("b", {at(Address::parse("127.0.0.1:0"))}));
  // By the number that the configuration gives, so a fixed one is needed: the one just chosen.
  load("c", {});
  ASSERT_TRUE(load("d", {at(loopback)}));
  const ReloadResult result = load("e", {at(Address::tcp("*", port))});
  EXPECT_EQ(error_of(result), "node.yml:3:5: api.listen[0]: cannot listen on tcp:0.0.0.0:" + std::to_string(port) +
                                  ": Address already in use; the configuration in force listens on " + loopback.str() +
                                  ", which is given up only after this");
  EXPECT_EQ(accepted_by(loopback), "d");
}

TEST_F(ReloadTest, SetsOtherOptionsOfAListenerThatStays) {
  load("a", {at(socket("s"), {{.backlog = 5, .unix_mode = 0600}, 1})});
  const int fd = reload.scope()->listeners().at(0)->fd();
  ASSERT_TRUE(load("b", {at(socket("s"), {{.backlog = 1, .unix_mode = 0666}, 2})}));
  EXPECT_EQ(reload.scope()->listeners().at(0)->fd(), fd);
  struct stat status {};
  ::stat((directory / "s").c_str(), &status);
  EXPECT_EQ(status.st_mode & 0777, 0666U);

  // The kernel keeps one more than the backlog; to wait for a place is not for this test.
  const int nobody_waits = loop.io().connect(socket("s"));
  const int one_waits = loop.io().connect(socket("s"));
  EXPECT_GE(one_waits, 0);
  EXPECT_EQ(loop.io().connect(socket("s")), -EAGAIN);
  keep = true;
  turn();
  EXPECT_EQ(connections.size(), 2U);
  const Descriptor third = connect_to(socket("s"));
  turn();
  EXPECT_EQ(connections.size(), 2U);
  ::close(nobody_waits);
  ::close(one_waits);
}

TEST_F(ReloadTest, CountsTheConnectionsOfBeforeAgainstTheLimit) {
  keep = true;
  load("a", {at(socket("s"), {{}, 2})});
  const Descriptor first = connect_to(socket("s"));
  turn();
  load("b", {at(socket("s"), {{}, 1})});
  const Descriptor second = connect_to(socket("s"));
  turn();
  EXPECT_EQ(connections.size(), 1U);
  load("c", {at(socket("s"))});
  turn();
  EXPECT_EQ(connections.size(), 2U);
  EXPECT_EQ(accepted, "ac");
}

TEST_F(ReloadTest, SetsOptionsBackIfALaterStepFails) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can make a file of somebody else";
  EXPECT_EQ(in_child([&] {
              load("a", {at(socket("s"), {{.unix_mode = 0600}}), at(socket("t"), {{.unix_mode = 0600}})});
              ::chmod(directory.path().c_str(), 0755);
              if (::chown((directory / "s").c_str(), 4242, 4242) != 0 || ::setresuid(4242, 4242, 4242) != 0)
                return std::string();
              const ReloadResult result =
                  load("b", {at(socket("s"), {{.unix_mode = 0666}}), at(socket("t"), {{.unix_mode = 0666}})});
              struct stat status {};
              ::stat((directory / "s").c_str(), &status);
              return error_of(result) + ((status.st_mode & 0777) == 0600 ? ", set back, " : ", changed, ") +
                     accepted_by(socket("s"));
            }),
            "node.yml:3:5: api.listen[0]: cannot set the mode of " + socket("t").str() +
                ": Operation not permitted, set back, a");
}

TEST_F(ReloadTest, OpensAListenerAnewWhoseFileWasRemoved) {
  load("a", {at(socket("s"))});
  ASSERT_EQ(::unlink((directory / "s").c_str()), 0);
  EXPECT_FALSE(can_connect(socket("s")));
  ASSERT_TRUE(load("b", {at(socket("s"))}));
  turn();
  EXPECT_EQ(accepted_by(socket("s")), "b");
}

TEST_F(ReloadTest, OpensAListenerAnewThatHasFailed) {
  load("a", {at(socket("s"))});
  loop.remove(reload.scope()->listeners().at(0)->id());
  EXPECT_FALSE(can_connect(socket("s")));
  ASSERT_TRUE(load("b", {at(socket("s"))}));
  EXPECT_EQ(accepted_by(socket("s")), "b");
}

struct Farewell {
  explicit Farewell(std::string& to) : text(to) {}
  ~Farewell() { text += "gone"; }
  std::string& text;
};

TEST_F(ReloadTest, DestroysTheOldPartsAfterTheEventThatReloads) {
  std::string farewell;
  load("a", {at(socket("s"))}, [&](DynamicScopeBuilder& scope) { scope.keep(std::make_unique<Farewell>(farewell)); });
  std::string seen = "not reloaded";
  statics.scheduler().after(Duration::zero(), [&] {
    load("b", {at(socket("s"))});
    seen = farewell;
  });
  pass(std::chrono::seconds(1));
  EXPECT_EQ(seen, "");
  EXPECT_EQ(farewell, "gone");
}

TEST_F(ReloadTest, MayBeginInAHandlerOfTheListenerThatItReplaces) {
  std::string farewell;
  next = {"a", {}, [&](DynamicScopeBuilder& scope) {
            auto& part = scope.keep(std::make_unique<Farewell>(farewell));
            scope.listen(at(socket("s")), [&](const ListenerSource::Connection&) {
              load("b", {});
              part.text += "still there, ";
            });
          }};
  ASSERT_TRUE(reload.reload());
  const Descriptor client = connect_to(socket("s"));
  turn();
  EXPECT_EQ(farewell, "still there, gone");
  EXPECT_FALSE(can_connect(socket("s")));
}

TEST_F(ReloadTest, SwapsTheLogSettingsToo) {
  load("a", {}, [](DynamicScopeBuilder& scope) { scope.set_log({.level = LogLevel::Error}); });
  EXPECT_EQ(log.level(), LogLevel::Error);
  load("b", {}, [](DynamicScopeBuilder& scope) {
    scope.set_log({.level = LogLevel::Warning});
    throw std::runtime_error("no");
  });
  EXPECT_EQ(log.level(), LogLevel::Error);
  load("c", {});
  EXPECT_EQ(log.level(), LogLevel::Debug);
}

TEST_F(ReloadTest, TellsWhoWantsToKnowWhenTheNewScopeIsInForce) {
  std::string in_force;
  load("a", {}, [&](DynamicScopeBuilder& scope) {
    scope.at_swap([&] { in_force = reload.configuration().name + " " + reload.scope()->metadata().version; });
  });
  EXPECT_EQ(in_force, "a hash of a");
}

TEST_F(ReloadTest, KeepsAConfigurationForWhoHoldsIt) {
  load("a", {});
  const std::shared_ptr<const Settings> held = reload.shared_configuration();
  load("b", {});
  turn();
  EXPECT_EQ(held->name, "a");
}

TEST_F(ReloadTest, AppliesWhatWasLoadedElsewhere) {
  EXPECT_TRUE(reload.apply({{.name = "w"}, {"hash of w", "elsewhere"}}));
  EXPECT_EQ(reload.configuration().name, "w");
}

TEST_F(ReloadTest, ClosesListenersWhenTheProcessStops) {
  load("a", {at(socket("s"))});
  statics.announce_stopping();
  EXPECT_FALSE(can_connect(socket("s")));
  EXPECT_EQ(error_of(load("b", {at(socket("s"))})), "node.yml: shutting down");
}

TEST_F(ReloadTest, LetsAnExceptionPassThatEndsTheLoop) {
  load("a", {at(socket("s"))});
  EXPECT_THROW(load("b", {}, [](DynamicScopeBuilder&) { throw CleanExit(); }), CleanExit);
  EXPECT_THROW(load("b", {}, [](DynamicScopeBuilder&) { throw AbortError("now"); }), AbortError);
  EXPECT_EQ(accepted_by(socket("s")), "a");
}

TEST_F(ReloadTest, LogsMoreProblemsThanAreAllowedOfOneMessage) {
  std::vector<ConfigurationProblem> problems;
  for (unsigned line = 1; line <= 15; ++line) problems.push_back({{"node.yml", line, 1, ""}, "wrong"});
  load("a", {}, [&](DynamicScopeBuilder&) { throw ConfigurationError(problems); });
  EXPECT_EQ(sink.count("node.yml:15:1: wrong"), 1U);
}

/// Connects again and again, and counts how often it could not, or got no answer.
class Client {
 public:
  explicit Client(const Address& address) : thread_([this, address] { run(address); }) {}
  ~Client() { stop(); }
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  int served() const { return served_; }
  int refused() const { return refused_; }

 private:
  void run(const Address& address) {
    while (!stop_) {
      const Descriptor socket(Io::system(), ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
      char answer = 0;
      const bool connected = ::connect(socket.get(), address.data(), address.size()) == 0;
      if (connected && ::recv(socket.get(), &answer, 1, 0) == 1) {
        ++served_;
      } else if (!stop_) {
        ++refused_;
      }
    }
  }

  std::atomic<bool> stop_{false};
  std::atomic<int> served_{0};
  std::atomic<int> refused_{0};
  std::thread thread_;
};

struct Greeting {
  std::string name;
};

// Goal: whoever connects is served, in the middle of whatever reload.
void reload_under_load(const Address& address) {
  RecordingSink sink;
  Log log(sink);
  LoopManager loop(std::make_unique<UvPoller>(), Io::system(), log);
  StaticScope statics(loop);
  int round = 0;
  Reload<Greeting> reload(
      statics,
      [&]() -> LoadedConfiguration<Greeting> {
        return {{std::to_string(round)}, {std::to_string(round), "greeting"}};
      },
      [&](const Greeting&, DynamicScopeBuilder& scope) {
        scope.listen({address, {{.backlog = 100 + round % 2}, static_cast<std::size_t>(1000 + round % 3)}, {}},
                     [](const ListenerSource::Connection& client) { send_some(client.channel->fd(), "!"); });
        if (round % 5 == 3) throw std::runtime_error("fails now and then");
      });
  ASSERT_TRUE(reload.reload());
  {
    Client client(reload.scope()->listeners().at(0)->local_address());
    int served = 0;
    for (round = 1; round <= 200; ++round) {
      EXPECT_EQ(static_cast<bool>(reload.reload()), round % 5 != 3);
      served = client.served();
      ASSERT_TRUE(run_until(loop, [&] { return client.served() > served; }));
    }
    EXPECT_EQ(client.refused(), 0);
    // It may be waiting for an answer, which it gets by the end of the listener.
    statics.announce_stopping();
    reload.scope()->close_listeners();
    client.stop();
    EXPECT_GE(client.served(), 200);
  }
}

TEST_F(ReloadTest, NeverRefusesAClientOfAnUnchangedListenerOnAPort) {
  reload_under_load(Address::parse("127.0.0.1:0"));
}

TEST_F(ReloadTest, NeverRefusesAClientOfAnUnchangedListenerOnAPath) { reload_under_load(socket("s")); }

}  // namespace
}  // namespace snowfox
