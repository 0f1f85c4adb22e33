#include <snowfox/sources/listener_source.h>

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>
#include <snowfox/sources/manual_source.h>

#include "support/manual_loop.h"
#include "support/passing_io.h"
#include "support/sanitized.h"
#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using testing::ThrowsMessage;

/// Refuses to accept with the errors it is given, one after another.
class RefusingIo final : public PassingIo {
 public:
  int accept(int fd, Address& peer) override {
    ++accepts;
    if (errors.empty()) return PassingIo::accept(fd, peer);
    const int error = errors.back();
    errors.pop_back();
    return -error;
  }
  std::vector<int> errors;
  int accepts = 0;
};

class ListenerSourceTest : public testing::Test {
 protected:
  std::unique_ptr<ListenerSource> listen(const Address& address, const ListenerOptions& options = {}) {
    return std::make_unique<ListenerSource>(*loop_, address, options, keep());
  }
  ListenerSource::OnConnection keep() {
    return [this](ListenerSource::Connection connection) { connections_.push_back(std::move(connection)); };
  }
  Address socket_file(const std::string& name = "x.sock") const { return Address::unix_socket(directory_ / name); }
  bool exists(const std::string& name = "x.sock") const {
    return std::filesystem::exists(std::filesystem::symlink_status(directory_ / name));
  }
  std::vector<Descriptor> connect(const Address& address, std::size_t count) {
    std::vector<Descriptor> clients;
    for (std::size_t i = 0; i < count; ++i) clients.push_back(connect_to(address));
    return clients;
  }

  TemporaryDirectory directory_;
  RefusingIo io_;
  ManualLoop loop_{{}, io_};
  std::vector<ListenerSource::Connection> connections_;
};

TEST_F(ListenerSourceTest, HandsOnEachConnectionWithItsPeer) {
  for (const Address& address : {Address::parse("0"), Address::parse("[::1]:0")}) {
    connections_.clear();
    std::unique_ptr<ListenerSource> listener;
    try {
      listener = listen(address);
    } catch (const std::system_error&) {
      continue;  // a machine without IPv6
    }
    EXPECT_NE(listener->local_address().port(), 0);
    const auto clients = connect(listener->local_address(), 3);
    loop_.turn();
    ASSERT_THAT(connections_, SizeIs(3));
    EXPECT_EQ(listener->connections(), 3U);
    EXPECT_EQ(listener->accepted(), 3U);
    EXPECT_EQ(connections_[1].peer, io_.local_address(clients[1].get()));
    connections_.clear();
    EXPECT_EQ(listener->connections(), 0U);
    EXPECT_TRUE(at_end(clients[0].get()));
  }
}

TEST_F(ListenerSourceTest, IsCalledAfterWhatItWasAskedToListenOn) {
  EXPECT_EQ(listen(Address::parse("0"))->name(), "listener tcp:127.0.0.1:0");
  EXPECT_EQ(listen(socket_file())->name(), "listener unix:" + (directory_ / "x.sock"));
}

TEST_F(ListenerSourceTest, HandsOnMoreConnectionsThanATurnHolds) {
  const auto listener = listen(socket_file());
  const auto clients = connect(socket_file(), 300);
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(300));
}

TEST_F(ListenerSourceTest, NamesTheAddressThatIsTaken) {
  const auto first = listen(Address::parse("0"));
  EXPECT_THAT([&] { listen(first->local_address()); },
              ThrowsMessage<std::system_error>(
                  AllOf(HasSubstr("listen on " + first->local_address().str()), HasSubstr("Address already in use"))));
  EXPECT_EQ(loop_->source_count(), 1U);
  const auto second = listen(socket_file());
  EXPECT_THAT([&] { listen(socket_file()); }, ThrowsMessage<std::system_error>(HasSubstr(directory_ / "x.sock")));
  EXPECT_TRUE(exists());
  EXPECT_TRUE(connect_to(socket_file()));
}

TEST_F(ListenerSourceTest, MakesItsFileWithTheModeAskedFor) {
  const mode_t before = umask(0177);
  ListenerOptions options;
  options.unix_mode = 0666;
  const auto listener = listen(socket_file(), options);
  umask(before);
  EXPECT_EQ(static_cast<unsigned>(std::filesystem::status(directory_ / "x.sock").permissions()), 0666U);
}

TEST_F(ListenerSourceTest, SurvivesAHandlerThatThrows) {
  int calls = 0;
  ListenerSource listener(*loop_, socket_file(), {}, [&](const ListenerSource::Connection&) {
    if (++calls == 1) throw std::runtime_error("not today");
  });
  const auto clients = connect(socket_file(), 2);
  loop_.turn();
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(at_end(clients[0].get()));
  EXPECT_EQ(loop_.sink.count("event not handled"), 1U);
}

// Goal: "the one connection I was waiting for": its handler ends the listener and goes on.
TEST_F(ListenerSourceTest, MayBeDestroyedByItsOwnHandler) {
  std::unique_ptr<ListenerSource> listener;
  std::string seen;
  listener = std::make_unique<ListenerSource>(
      *loop_, socket_file(), ListenerOptions{},
      [&, captured = std::string("a text that is too long to be held in the function itself")](
          ListenerSource::Connection connection) {
        listener.reset();
        seen = captured;
        connections_.push_back(std::move(connection));
      });
  const auto clients = connect(socket_file(), 2);
  loop_.turn();
  EXPECT_EQ(seen, "a text that is too long to be held in the function itself");
  EXPECT_THAT(connections_, SizeIs(1));
  EXPECT_FALSE(exists());
  connections_.clear();
  loop_.turn();
}

// --- the file ---

TEST_F(ListenerSourceTest, TakesItsFileAlong) {
  auto destroyed = listen(socket_file("destroyed"));
  destroyed.reset();
  EXPECT_FALSE(exists("destroyed"));
  const auto removed = listen(socket_file("removed"));
  loop_->remove(removed->id());
  EXPECT_FALSE(exists("removed"));
  const auto stopped = listen(socket_file("stopped"));
  ManualSource ending(*loop_);
  ending.post([] { throw CleanExit(); });
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_FALSE(exists("stopped"));
}

TEST_F(ListenerSourceTest, ReplacesAFileThatWasLeftBehind) {
  {
    // As a process leaves it that is killed.
    auto killed = listen(socket_file());
    auto handover = killed->hand_over();
  }
  ASSERT_TRUE(exists());
  const auto listener = listen(socket_file());
  EXPECT_TRUE(connect_to(socket_file()));
}

TEST_F(ListenerSourceTest, LeavesWhatIsNoSocketAlone) {
  std::ofstream(directory_ / "x.sock") << "precious";
  EXPECT_THROW(listen(socket_file()), std::system_error);
  EXPECT_TRUE(std::filesystem::is_regular_file(directory_ / "x.sock"));
  std::filesystem::remove(directory_ / "x.sock");
  auto listener = listen(socket_file());
  std::filesystem::remove(directory_ / "x.sock");
  std::ofstream(directory_ / "x.sock") << "precious again";
  listener.reset();
  EXPECT_TRUE(std::filesystem::is_regular_file(directory_ / "x.sock"));
}

// Goal: a daemon that ends late does not take away the file of the one that has replaced it.
TEST_F(ListenerSourceTest, LeavesTheFileOfItsSuccessorAlone) {
  auto old_one = listen(socket_file());
  std::filesystem::remove(directory_ / "x.sock");
  const auto new_one = listen(socket_file());
  old_one.reset();
  EXPECT_TRUE(exists());
  EXPECT_TRUE(connect_to(socket_file()));
}

TEST_F(ListenerSourceTest, LeavesAFileThatIsSomebodyElsesAlone) {
  auto first = listen(socket_file());
  ListenerSource::Handover handover = first->hand_over();
  handover.remove_file = false;
  auto second = std::make_unique<ListenerSource>(*loop_, std::move(handover), ListenerOptions{}, keep());
  second.reset();
  EXPECT_TRUE(exists());
}

// --- hand-over ---

TEST_F(ListenerSourceTest, HandsItsDescriptorOverWithThoseWhoWait) {
  auto old_one = listen(socket_file());
  const auto before = connect(socket_file(), 2);
  loop_.turn();
  const auto waiting = connect(socket_file(), 3);
  ListenerSource::Handover handover = old_one->hand_over();
  const auto between = connect(socket_file(), 4);
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(2));
  ListenerSource new_one(*loop_, std::move(handover), {}, keep());
  old_one.reset();
  EXPECT_TRUE(exists());
  const auto after = connect(socket_file(), 1);
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(10));
  EXPECT_EQ(new_one.connections(), 10U);
  EXPECT_EQ(new_one.accepted(), 8U);
  EXPECT_EQ(new_one.address(), socket_file());
}

// Goal: whoever connects during any number of hand-overs is neither refused nor lost.
TEST_F(ListenerSourceTest, LosesNoConnectionAttemptToHandOvers) {
  auto listener = listen(Address::parse("0"));
  const Address address = listener->local_address();
  std::vector<Descriptor> clients;
  for (int round = 0; round < 50; ++round) {
    clients.push_back(connect_to(address));
    ListenerSource::Handover handover = listener->hand_over();
    clients.push_back(connect_to(address));
    if (round % 2 == 0) loop_.turn();
    listener = std::make_unique<ListenerSource>(*loop_, std::move(handover), ListenerOptions{}, keep());
    clients.push_back(connect_to(address));
    if (round % 3 == 0) loop_.turn();
  }
  for (int i = 0; i < 1000 && connections_.size() < clients.size(); ++i) loop_.turn();
  EXPECT_EQ(connections_.size(), clients.size());
  for (const Descriptor& client : clients) EXPECT_FALSE(at_end(client.get()));
}

TEST_F(ListenerSourceTest, HandsOverWhileAConnectionIsAboutToBeAccepted) {
  auto old_one = listen(socket_file());
  const auto clients = connect(socket_file(), 100);
  std::optional<ListenerSource> new_one;
  const auto token = loop_->lifecycle().event_done.add([&](Event&) {
    if (new_one) return;
    new_one.emplace(*loop_, old_one->hand_over(), ListenerOptions{}, keep());
    old_one.reset();
  });
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(100));
  EXPECT_EQ(new_one->accepted(), 99U);
}

TEST_F(ListenerSourceTest, CountsTheConnectionsOfItsPredecessor) {
  ListenerOptions options;
  options.max_connections = 2;
  auto old_one = listen(socket_file(), options);
  const auto clients = connect(socket_file(), 3);
  loop_.turn();
  ListenerSource new_one(*loop_, old_one->hand_over(), options, keep());
  old_one.reset();
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(2));
  connections_.pop_back();
  loop_.pass(1ms);
  EXPECT_THAT(connections_, SizeIs(2));
  EXPECT_EQ(new_one.accepted(), 1U);
}

// --- limits ---

TEST_F(ListenerSourceTest, LetsConnectionsBeyondTheLimitWait) {
  ListenerOptions options;
  options.max_connections = 3;
  const auto listener = listen(socket_file(), options);
  const auto clients = connect(socket_file(), 10);
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(3));
  loop_.turn();
  EXPECT_EQ(loop_.sink.count("connection limit reached: further ones wait"), 1U);
  EXPECT_EQ(loop_.sink.lines.front().fields["address"], socket_file().str());
  EXPECT_EQ(loop_.poller.watched(), 0U);
  for (std::size_t served = 3; served < 10; ++served) {
    connections_.erase(connections_.begin());
    loop_.pass(1ms);
    EXPECT_THAT(connections_, SizeIs(3));
    EXPECT_EQ(listener->accepted(), served + 1);
  }
  connections_.clear();
  loop_.turn();
  EXPECT_EQ(listener->connections(), 0U);
}

TEST_F(ListenerSourceTest, TakesANewLimitWhileItRuns) {
  ListenerOptions options;
  options.max_connections = 1;
  const auto listener = listen(socket_file(), options);
  const auto clients = connect(socket_file(), 5);
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(1));
  listener->set_max_connections(3);
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(3));
  listener->set_max_connections(2);
  connections_.pop_back();
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(2));
  listener->set_max_connections(0);
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(4));
}

TEST_F(ListenerSourceTest, LetsConnectionsWaitWhileItIsPaused) {
  const auto listener = listen(socket_file());
  listener->pause();
  const auto clients = connect(socket_file(), 2);
  loop_.turn();
  EXPECT_THAT(connections_, IsEmpty());
  listener->resume();
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(2));
}

// Goal: a process without descriptors says so once, refuses nobody, and goes on when it has some again.
TEST_F(ListenerSourceTest, LetsConnectionsWaitWhileThereAreNoDescriptors) {
  for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM}) {
    loop_.sink.lines.clear();
    const auto listener = listen(socket_file());
    io_.errors.assign(50, error);
    io_.accepts = 0;
    const auto clients = connect(socket_file(), 3);
    loop_.turn();
    EXPECT_EQ(io_.accepts, 1);
    EXPECT_EQ(loop_.poller.watched(), 0U);
    loop_.pass(2s);
    EXPECT_GE(io_.accepts, 15);
    EXPECT_LE(io_.accepts, 25);
    ASSERT_THAT(loop_.sink.lines, SizeIs(1));
    EXPECT_EQ(loop_.sink.lines.front().level, LogLevel::Warning);
    EXPECT_EQ(loop_.sink.lines.front().fields["address"], socket_file().str());
    EXPECT_EQ(loop_.sink.lines.front().fields["error"], std::generic_category().message(error));
    io_.errors.clear();
    loop_.pass(200ms);
    EXPECT_THAT(connections_, SizeIs(3));
    connections_.clear();
    io_.errors.assign(1, error);
    const auto later = connect(socket_file(), 1);
    loop_.pass(200ms);
    EXPECT_THAT(loop_.sink.lines, SizeIs(2)) << "it happened again, and says so again";
    EXPECT_THAT(connections_, SizeIs(1));
    connections_.clear();
  }
}

TEST_F(ListenerSourceTest, LooksAgainAsSoonAsAConnectionCloses) {
  const auto listener = listen(socket_file());
  const auto clients = connect(socket_file(), 1);
  loop_.turn();
  io_.errors.assign(1, EMFILE);
  const auto waiting = connect(socket_file(), 1);
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(1));
  const TimePoint then = loop_->now();
  connections_.clear();
  loop_.pass(1ms);
  EXPECT_THAT(connections_, SizeIs(1));
  EXPECT_LT(loop_->now(), then + 50ms);
}

// Goal: the same with the system's own limit.
TEST_F(ListenerSourceTest, SurvivesTheEndOfTheSystemsDescriptors) {
  // It asks by a pipe whether it may look at an object: without a descriptor for that it takes all for broken.
  if (kSanitized) GTEST_SKIP() << "the sanitizer needs descriptors itself";
  const auto listener = listen(socket_file());
  const auto clients = connect(socket_file(), 3);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(clients.back().get()) + 1;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  loop_.pass(1s);
  const std::size_t accepted = connections_.size();
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(accepted, 0U);
  EXPECT_THAT(loop_.sink.lines, SizeIs(1));
  loop_.pass(200ms);
  EXPECT_THAT(connections_, SizeIs(3));
}

// Goal: a connection that cannot be watched is lost, the listener is not.
TEST_F(ListenerSourceTest, SurvivesAConnectionThatCannotBeWatched) {
  const auto listener = listen(socket_file());
  const auto clients = connect(socket_file(), 3);
  loop_.poller.refuse_watch(ENOSPC);
  loop_.pass(1s);
  EXPECT_THAT(connections_, SizeIs(2));
  EXPECT_NE(listener->id(), kNoSource);
  EXPECT_THAT(loop_.sink.lines, SizeIs(1));
  EXPECT_TRUE(at_end(clients[0].get()));
}

TEST_F(ListenerSourceTest, GoesOnAfterAConnectionThatWasGoneBeforeItWasAccepted) {
  const auto listener = listen(socket_file());
  io_.errors = {ECONNABORTED, EPROTO, ENETDOWN, ETIMEDOUT};
  const auto clients = connect(socket_file(), 2);
  loop_.turn();
  EXPECT_THAT(connections_, SizeIs(2));
}

TEST_F(ListenerSourceTest, EndsWhenItsDescriptorIsNone) {
  const auto listener = listen(socket_file());
  io_.errors = {EINVAL};
  const auto clients = connect(socket_file(), 1);
  loop_.turn();
  EXPECT_EQ(listener->id(), kNoSource);
  EXPECT_THAT(loop_.sink.lines.front().fields["error"], HasSubstr("accept on " + socket_file().str()));
}

}  // namespace
}  // namespace snowfox
