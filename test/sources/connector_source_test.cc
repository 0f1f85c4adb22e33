#include <snowfox/sources/connector_source.h>

#include <sys/socket.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "support/manual_loop.h"
#include "support/passing_io.h"
#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::IsEmpty;
using testing::SizeIs;

/// A network on which a connection may take for ever.
class SlowIo final : public PassingIo {
 public:
  int connect(const Address& address) override {
    ++attempts;
    if (error != 0) return -error;
    if (!silent) return PassingIo::connect(address);
    auto [ours, theirs] = make_socket_pair();
    send_some(ours.get(), std::string(1 << 20, 'x'));  // not writable, as if it were still connecting
    peers.push_back(std::move(theirs));
    return ours.release();
  }
  int attempts = 0;
  int error = 0;
  bool silent = false;
  std::vector<Descriptor> peers;
};

class ConnectorSourceTest : public testing::Test {
 protected:
  std::unique_ptr<ConnectorSource> connect(const Address& address, Duration timeout = 10s) {
    return std::make_unique<ConnectorSource>(*loop_, address, timeout,
                                             [this](std::error_code error, ChannelRef channel) {
                                               results_.push_back(error);
                                               channel_ = std::move(channel);
                                               if (when_done_) when_done_();
                                             });
  }
  Address socket_file(const std::string& name = "x.sock") const { return Address::unix_socket(directory_ / name); }

  TemporaryDirectory directory_;
  SlowIo io_;
  ManualLoop loop_{{}, io_};
  std::vector<std::error_code> results_;
  ChannelRef channel_;
  std::function<void()> when_done_;
};

TEST_F(ConnectorSourceTest, ConnectsAndLeavesItsLoop) {
  for (const Address& asked : {Address::parse("0"), socket_file()}) {
    results_.clear();
    const Descriptor listening = io_.listen(asked, {});
    const Address address = asked.is_unix() ? asked : io_.local_address(listening.get());
    const auto connector = connect(address);
    EXPECT_EQ(connector->name(), "connector " + address.str());
    EXPECT_THAT(results_, IsEmpty()) << "not before the loop runs";
    EXPECT_EQ(loop_->run(), 0);
    ASSERT_THAT(results_, SizeIs(1));
    EXPECT_FALSE(results_.front());
    EXPECT_EQ(connector->id(), kNoSource);
    ASSERT_NE(channel_, nullptr);
    Address peer;
    const Descriptor accepted(io_, io_.accept(listening.get(), peer));
    send_some(channel_->fd(), "hello");
    EXPECT_EQ(receive_some(accepted.get()), "hello");
  }
}

TEST_F(ConnectorSourceTest, TellsThatNobodyListens) {
  const Descriptor bound(io_, ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const Address any = Address::parse("0");
  ASSERT_EQ(::bind(bound.get(), any.data(), any.size()), 0);
  const auto connector = connect(io_.local_address(bound.get()));
  EXPECT_EQ(loop_->run(), 0);
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ(results_.front(), std::errc::connection_refused);
  EXPECT_EQ(channel_, nullptr);
}

TEST_F(ConnectorSourceTest, TellsThatThereIsNoSuchSocket) {
  const auto connector = connect(socket_file("missing"));
  EXPECT_THAT(results_, IsEmpty());
  EXPECT_EQ(loop_->run(), 0);
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ(results_.front(), std::errc::no_such_file_or_directory);
}

TEST_F(ConnectorSourceTest, TellsThatTheSocketsOwnerIsGone) {
  { const Descriptor died = io_.listen(socket_file(), {}); }
  const auto connector = connect(socket_file());
  EXPECT_EQ(loop_->run(), 0);
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ(results_.front(), std::errc::connection_refused);
}

TEST_F(ConnectorSourceTest, GivesUpAfterItsTimeoutAndNotBefore) {
  io_.silent = true;
  const auto connector = connect(Address::parse("7"), 10s);
  loop_.pass(10s - 1ms);
  EXPECT_THAT(results_, IsEmpty());
  loop_.pass(2ms);
  EXPECT_THAT(results_, testing::ElementsAre(Errc::DeadlineExceeded));
  EXPECT_EQ(loop_.poller.watched(), 0U);
  loop_.pass(1h);
  EXPECT_THAT(results_, SizeIs(1));
}

TEST_F(ConnectorSourceTest, TakesAnyTimeout) {
  io_.silent = true;
  const auto never = connect(Address::parse("7"), Duration::max());
  loop_.pass(24h * 365);
  EXPECT_THAT(results_, IsEmpty());
  const auto at_once = connect(Address::parse("7"), Duration::zero());
  loop_.pass(1ms);
  EXPECT_THAT(results_, testing::ElementsAre(Errc::DeadlineExceeded));
}

// Goal: a Unix listener that is behind refuses at once where a TCP one lets wait; ours waits all the same.
TEST_F(ConnectorSourceTest, WaitsForAListenerThatIsBehind) {
  ListenOptions narrow;
  narrow.backlog = 0;
  const Descriptor listening = io_.listen(socket_file(), narrow);
  std::vector<Descriptor> waiting;
  for (;;) {
    const int fd = Io::system().connect(socket_file());
    if (fd < 0) break;
    waiting.emplace_back(io_, fd);
  }
  const auto connector = connect(socket_file(), 10s);
  loop_.pass(5s);
  EXPECT_THAT(results_, IsEmpty());
  EXPECT_GT(io_.attempts, 10);
  Address peer;
  const Descriptor accepted(io_, io_.accept(listening.get(), peer));
  loop_.pass(100ms);
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_FALSE(results_.front());
  const auto too_late = connect(socket_file(), 3s);
  loop_.pass(4s);
  EXPECT_EQ(results_.back(), Errc::DeadlineExceeded);
}

TEST_F(ConnectorSourceTest, TellsThatThereAreNoDescriptors) {
  io_.error = EMFILE;
  const auto connector = connect(socket_file());
  loop_.turn();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ(results_.front(), std::errc::too_many_files_open);
}

TEST_F(ConnectorSourceTest, TellsThatItsSocketCannotBeWatched) {
  const Descriptor listening = io_.listen(socket_file(), {});
  loop_.poller.refuse_watch(ENOSPC);
  const auto connector = connect(socket_file());
  loop_.turn();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ(results_.front(), std::errc::no_space_on_device);
}

// Goal: the same once the connection stands, when it is too late for anything but to tell.
TEST_F(ConnectorSourceTest, TellsThatItsConnectionCannotBeWatched) {
  const Descriptor listening = io_.listen(socket_file(), {});
  const auto connector = connect(socket_file());
  loop_.poller.refuse_watch(ENOSPC);
  loop_.turn();
  ASSERT_THAT(results_, SizeIs(1));
  EXPECT_EQ(results_.front(), std::errc::no_space_on_device);
  EXPECT_EQ(channel_, nullptr);
  EXPECT_EQ(loop_->source_count(), 0U);
}

TEST_F(ConnectorSourceTest, TellsNothingOnceItIsDestroyed) {
  const Descriptor listening = io_.listen(socket_file(), {});
  auto under_way = connect(socket_file());
  under_way.reset();
  auto failed = connect(socket_file("missing"));
  failed.reset();
  io_.silent = true;
  auto silent = connect(Address::parse("7"), 1s);
  loop_.turn();
  silent.reset();
  loop_.pass(1h);
  EXPECT_THAT(results_, IsEmpty());
  EXPECT_EQ(loop_.poller.watched(), 0U);
  receive_some(io_.peers.front().get());
  EXPECT_TRUE(at_end(io_.peers.front().get()));
}

TEST_F(ConnectorSourceTest, MayBeDestroyedByItsOwnHandler) {
  auto connector = connect(socket_file("missing"));
  when_done_ = [&] { connector.reset(); };
  loop_.turn();
  EXPECT_THAT(results_, SizeIs(1));
  EXPECT_EQ(connector, nullptr);
}

TEST_F(ConnectorSourceTest, TriesAgainInItsOwnHandler) {
  std::unique_ptr<ConnectorSource> connector = connect(socket_file("missing"));
  when_done_ = [&] {
    if (results_.size() < 5) connector = connect(socket_file("missing"));
  };
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_THAT(results_, SizeIs(5));
}

TEST_F(ConnectorSourceTest, MayBelongToTheLoop) {
  const Descriptor listening = io_.listen(socket_file(), {});
  loop_->add(connect(socket_file()));
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_THAT(results_, SizeIs(1));
  EXPECT_EQ(loop_->source_count(), 0U);
}

}  // namespace
}  // namespace snowfox
