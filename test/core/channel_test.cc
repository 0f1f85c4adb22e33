#include <snowfox/core/channel.h>

#include <fcntl.h>

#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/manual_loop.h"
#include "support/scripted_source.h"
#include "support/sockets.h"
#include "support/valve_drain.h"

namespace snowfox {
namespace {

using testing::ElementsAre;

class ChannelTest : public testing::Test {
 protected:
  void SetUp() override {
    auto [ours, theirs] = make_socket_pair();
    fd_ = ours.get();
    theirs_ = std::move(theirs);
    channel_ = Channel::make(*loop_, std::move(ours));
  }
  bool closed() const { return fcntl(fd_, F_GETFD) == -1; }

  ManualLoop loop_;
  Descriptor theirs_;
  ChannelRef channel_;
  int fd_ = -1;
};

TEST_F(ChannelTest, ClosesItsDescriptorWhenTheLastLetsGo) {
  ChannelRef other = channel_;
  channel_.reset();
  EXPECT_FALSE(closed());
  other.reset();
  EXPECT_TRUE(closed());
  EXPECT_TRUE(at_end(theirs_.get()));
}

TEST_F(ChannelTest, TellsItsSourceAndItsDrainApart) {
  ScriptedSource source(*loop_);
  ValveDrain drain(*loop_);
  channel_->set_source(&source);
  channel_->set_drain(&drain);
  EXPECT_TRUE(channel_->watch_write(true));
  loop_->poller().wait(TimePoint::min());
  channel_->watch_write(false);
  loop_.turn();
  EXPECT_EQ(source.parses, 0U);
  EXPECT_EQ(drain.flushes, 1U);
  send_some(theirs_.get(), "x");
  EXPECT_TRUE(channel_->watch_read(true));
  loop_->poller().wait(TimePoint::min());
  channel_->watch_read(false);
  loop_.turn();
  EXPECT_EQ(source.parses, 1U);
  EXPECT_EQ(drain.flushes, 1U);
}

TEST_F(ChannelTest, TellsNobodyWhenNobodyIsThere) {
  channel_->watch_read(true);
  channel_->watch_write(true);
  send_some(theirs_.get(), "x");
  loop_->poller().wait(TimePoint::min());
  channel_->fail_source(std::make_error_code(std::errc::io_error));
}

TEST_F(ChannelTest, TellsItsSourceThatWritingHasFailed) {
  ScriptedSource source(*loop_);
  channel_->set_source(&source);
  channel_->fail_source(std::make_error_code(std::errc::io_error));
  EXPECT_THAT(source.failures, ElementsAre(std::make_error_code(std::errc::io_error)));
}

TEST_F(ChannelTest, GivesItsDescriptorUpWithoutClosingIt) {
  channel_->watch_read(true);
  Descriptor given = channel_->release();
  EXPECT_EQ(given.get(), fd_);
  EXPECT_EQ(loop_.poller.watched(), 0U);
  EXPECT_FALSE(channel_->watch_read(true));
  channel_.reset();
  EXPECT_FALSE(closed());
}

// Goal: who must undo what the descriptor stands for, such as a child, still has it.
TEST_F(ChannelTest, LeavesADescriptorThatCannotBeWatched) {
  auto [ours, theirs] = make_socket_pair();
  loop_.poller.refuse_watch(ENOSPC);
  EXPECT_THROW(Channel::make(*loop_, std::move(ours)), std::system_error);
  EXPECT_TRUE(ours);
  EXPECT_FALSE(at_end(theirs.get()));
}

TEST_F(ChannelTest, IsCountedAsLongAsItIsOpen) {
  const ConnectionCountRef count(new ConnectionCount);
  std::vector<std::size_t> told;
  count->one_closed = [&] { told.push_back(count->open); };
  channel_->count_in(count);
  EXPECT_EQ(count->open, 1U);
  channel_.reset();
  EXPECT_THAT(told, ElementsAre(0U));
  EXPECT_EQ(count->open, 0U);
}

}  // namespace
}  // namespace snowfox
