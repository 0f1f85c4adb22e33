#include <snowfox/sources/stream_source.h>

#include <chrono>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stream_source_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// --- pauses ---

TEST_F(StreamSourceTest, ReadsNothingWhileItIsPaused) {
  source_->pause();
  loop_.turn();
  io_.receives = 0;
  send("one\n");
  EXPECT_EQ(io_.receives, 0);
  EXPECT_THAT(source_->lines, IsEmpty());
  source_->resume();
  loop_.turn();
  EXPECT_THAT(source_->lines, ElementsAre("one"));
}

// Goal: what was read already waits as well, and none of it is lost.
TEST_F(StreamSourceTest, KeepsWhatItHasReadWhileItIsPaused) {
  source_->on_line = [&](const std::string& line) {
    if (line == "one") source_->pause();
  };
  send("one\ntwo\nthree\n");
  EXPECT_THAT(source_->lines, ElementsAre("one"));
  theirs_.reset();
  loop_.turn();
  EXPECT_THAT(source_->ends, IsEmpty());
  source_->resume();
  loop_.turn();
  EXPECT_THAT(source_->lines, ElementsAre("one", "two", "three"));
  EXPECT_THAT(source_->ends, ElementsAre(Errc::EndOfStream));
}

// --- silence ---

TEST_F(StreamSourceTest, EndsASilentConnection) {
  const StreamOptions options{.idle_timeout = 10s};
  connect(&options);
  loop_.pass(9s);
  send("one\n");
  loop_.pass(9s);
  EXPECT_TRUE(source_->open());
  loop_.pass(2s);
  EXPECT_THAT(source_->ends, ElementsAre(Errc::IdleTimeout));
  EXPECT_TRUE(at_end(theirs_.get()));
}

TEST_F(StreamSourceTest, NeverEndsASilentConnectionEarly) {
  const StreamOptions options{.idle_timeout = 10s};
  connect(&options);
  for (int i = 0; i < 30; ++i) {
    loop_.pass(10s - 1ms);
    ASSERT_TRUE(source_->open()) << i;
    send("x\n");
  }
}

TEST_F(StreamSourceTest, StaysOpenForEverWithoutTimeouts) {
  const StreamOptions options{.idle_timeout = Duration::zero(), .frame_timeout = Duration::zero()};
  connect(&options);
  send("half");
  loop_.pass(24h * 365);
  EXPECT_TRUE(source_->open());
}

TEST_F(StreamSourceTest, WaitsForAFrameThatHasNotBegunWithoutATimeout) {
  send("one\n");
  loop_.pass(24h);
  EXPECT_TRUE(source_->open());
}

// Goal: a peer that sends a byte a second is not silent, but does not hold its connection for ever either.
TEST_F(StreamSourceTest, EndsAConnectionWhoseFrameTrickles) {
  const StreamOptions options{.idle_timeout = 10s, .frame_timeout = 60s};
  connect(&options);
  int seconds = 0;
  for (; seconds < 100 && source_->open(); ++seconds) {
    send_some(theirs_.get(), "x");
    loop_.pass(1s);
  }
  EXPECT_GE(seconds, 60);
  EXPECT_LE(seconds, 62);
  EXPECT_THAT(source_->ends, ElementsAre(Errc::FrameTimeout));
}

TEST_F(StreamSourceTest, GivesEachFrameItsOwnTime) {
  const StreamOptions options{.frame_timeout = 60s};
  connect(&options);
  for (int i = 0; i < 10; ++i) {
    send("beg");
    loop_.pass(50s);
    send("in\nbeg");
    loop_.pass(50s);
    send("in\n");
    ASSERT_TRUE(source_->open()) << i;
  }
  EXPECT_THAT(source_->lines, SizeIs(20));
}

// Goal: a peer is not blamed for silence while it is we who do not listen.
TEST_F(StreamSourceTest, CountsNoSilenceWhileItIsPaused) {
  const StreamOptions options{.idle_timeout = 10s, .frame_timeout = 20s};
  connect(&options);
  send("half");
  loop_.pass(1s);
  source_->pause();
  loop_.turn();
  loop_.pass(1h);
  ASSERT_TRUE(source_->open());
  source_->resume();
  loop_.pass(5s);
  EXPECT_TRUE(source_->open());
  loop_.pass(5s);
  EXPECT_THAT(source_->ends, ElementsAre(Errc::IdleTimeout));
}

// Goal: the same for a pause that is over just before the time would have been.
TEST_F(StreamSourceTest, CountsOnlyTheSilenceBeforeAndAfterAPause) {
  const StreamOptions options{.idle_timeout = 10s, .frame_timeout = 15s};
  connect(&options);
  loop_.pass(1s);
  source_->pause();
  loop_.turn();
  loop_.pass(8900ms);
  source_->resume();
  loop_.turn();
  loop_.pass(8s);
  ASSERT_TRUE(source_->open());
  loop_.pass(1100ms);
  EXPECT_THAT(source_->ends, ElementsAre(Errc::IdleTimeout));
}

TEST_F(StreamSourceTest, CountsATricklingFramesTimeOnlyWhileItListens) {
  const StreamOptions options{.frame_timeout = 10s};
  connect(&options);
  send("half");
  for (int i = 0; i < 9; ++i) {
    loop_.pass(1s);
    source_->pause();
    loop_.turn();
    loop_.pass(5s);
    source_->resume();
    loop_.turn();
    ASSERT_TRUE(source_->open()) << i;
  }
  loop_.pass(1100ms);
  EXPECT_THAT(source_->ends, ElementsAre(Errc::FrameTimeout));
}

}  // namespace
}  // namespace snowfox
