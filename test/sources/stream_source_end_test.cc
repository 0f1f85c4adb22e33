#include <snowfox/sources/stream_source.h>

#include <chrono>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stream_source_fixture.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::SizeIs;

// --- ends ---

TEST_F(StreamSourceTest, TellsThatThePeerHasClosed) {
  std::vector<std::error_code> told;
  source_->on_end = [&](std::error_code why) { told.push_back(why); };
  send("last\n");
  theirs_.reset();
  loop_.turn();
  EXPECT_THAT(source_->lines, ElementsAre("last"));
  EXPECT_THAT(told, ElementsAre(Errc::EndOfStream));
  EXPECT_FALSE(source_->open());
  EXPECT_EQ(source_->id(), kNoSource);
  EXPECT_EQ(drain_->id(), kNoDrain);
  EXPECT_EQ(loop_.poller.watched(), 0U);
}

TEST_F(StreamSourceTest, HandlesAllThatCameBeforeTheEnd) {
  ASSERT_NE(send_some(theirs_.get(), "one\ntwo\nthree\n"), 0U);
  theirs_.reset();
  loop_.turn();
  EXPECT_THAT(source_->lines, ElementsAre("one", "two", "three"));
  EXPECT_THAT(source_->ends, ElementsAre(Errc::EndOfStream));
}

TEST_F(StreamSourceTest, TellsThatAFrameWasCutShort) {
  send("one\nhal");
  theirs_.reset();
  loop_.turn();
  EXPECT_THAT(source_->lines, ElementsAre("one"));
  EXPECT_THAT(source_->ends, ElementsAre(Errc::TruncatedFrame));
}

TEST_F(StreamSourceTest, TellsOfAReset) {
  drain_->enqueue("never read");
  loop_.turn();
  theirs_.reset();
  loop_.turn();
  ASSERT_THAT(source_->ends, SizeIs(1));
  EXPECT_EQ(source_->ends.front(), std::errc::connection_reset);
  EXPECT_EQ(drain_->id(), kNoDrain);
}

// Goal: who has said its last word still hears the answers to it.
TEST_F(StreamSourceTest, AnswersAPeerThatHasClosedItsOwnSide) {
  const std::string much(1 << 20, 'x');
  source_->on_line = [&](const std::string&) { drain_->enqueue(much); };
  std::string received;
  send_some(theirs_.get(), "question\n");
  half_close();
  loop_.turn();
  EXPECT_EQ(source_->id(), kNoSource);
  EXPECT_FALSE(drain_->empty());
  for (int i = 0; i < 10'000 && received.size() < much.size(); ++i) {
    received += receive_some(theirs_.get());
    loop_.turn();
  }
  EXPECT_TRUE(received == much);
  EXPECT_EQ(drain_->id(), kNoDrain);
  EXPECT_TRUE(at_end(theirs_.get()));
}

TEST_F(StreamSourceTest, AnswersLaterAPeerThatHasClosedItsOwnSide) {
  DrainLease lease;
  source_->on_line = [&](const std::string&) { lease = DrainLease(*drain_); };
  send_some(theirs_.get(), "question\n");
  half_close();
  loop_.turn();
  EXPECT_THAT(source_->ends, ElementsAre(Errc::EndOfStream));
  EXPECT_FALSE(at_end(theirs_.get()));
  drain_->enqueue("answer");
  lease = DrainLease();
  loop_.turn();
  EXPECT_EQ(receive_some(theirs_.get()), "answer");
  EXPECT_TRUE(at_end(theirs_.get()));
}

TEST_F(StreamSourceTest, ClosesTheConnectionThatMakesNoSenseAndNoOther) {
  auto [ours, theirs] = make_socket_pair();
  LineStream other(*loop_, Channel::make(*loop_, std::move(ours)));
  send_some(theirs.get(), "before\n");
  send("fine\n!\nnot parsed\n");
  send_some(theirs.get(), "after\n");
  loop_.turn();
  EXPECT_THAT(source_->lines, ElementsAre("fine"));
  EXPECT_THAT(source_->ends, ElementsAre(Errc::BadFrame));
  EXPECT_TRUE(at_end(theirs_.get()));
  EXPECT_THAT(other.lines, ElementsAre("before", "after"));
  EXPECT_TRUE(other.open());
  ASSERT_EQ(loop_.sink.count("connection closed"), 1U);
  EXPECT_THAT(loop_.sink.lines.front().fields["reason"], testing::HasSubstr("a line of nonsense"));
}

TEST_F(StreamSourceTest, ParsesNothingMoreOnceItIsClosed) {
  source_->on_line = [&](const std::string&) { source_->close(std::make_error_code(std::errc::permission_denied)); };
  drain_->enqueue("dropped");
  send("one\ntwo\n");
  EXPECT_THAT(source_->lines, ElementsAre("one"));
  EXPECT_THAT(source_->ends, ElementsAre(std::make_error_code(std::errc::permission_denied)));
}

TEST_F(StreamSourceTest, FlushesWhatIsPendingWhenItIsClosedInOrder) {
  source_->on_line = [&](const std::string&) {
    drain_->enqueue("goodbye");
    source_->close(Errc::EndOfStream);
    source_->close(Errc::BadFrame);
  };
  send("quit\n");
  EXPECT_THAT(source_->ends, ElementsAre(Errc::EndOfStream));
  EXPECT_EQ(receive_some(theirs_.get()), "goodbye");
  EXPECT_TRUE(at_end(theirs_.get()));
}

// Goal: closing a TCP connection while something lies unread resets it, and what the peer has not got yet is lost. So
// the last answer is longer than the peer's window, and the peer goes on sending.
TEST_F(StreamSourceTest, LosesNoAnswerToAPeerThatGoesOnSending) {
  connect_tcp();
  const std::string answer(1 << 20, 'a');
  source_->on_line = [&](const std::string&) {
    drain_->enqueue(answer);
    source_->close(Errc::EndOfStream);
  };
  send_some(theirs_.get(), "quit\n" + std::string(100'000, 'x'));
  std::string received;
  for (int i = 0; i < 100'000 && !at_end(theirs_.get()); ++i) {
    loop_.turn();
    send_some(theirs_.get(), "more");
    received += receive_some(theirs_.get(), 1000);
  }
  EXPECT_THAT(source_->ends, ElementsAre(Errc::EndOfStream));
  EXPECT_EQ(received.size(), answer.size());
  char byte = 0;
  EXPECT_EQ(::recv(theirs_.get(), &byte, 1, MSG_DONTWAIT), 0) << "closed in order";
  EXPECT_NE(drain_->id(), kNoDrain);
  drain_->enqueue("after the end");
  theirs_.reset();
  loop_.turn();
  EXPECT_EQ(drain_->id(), kNoDrain);
  EXPECT_EQ(loop_.poller.watched(), 0U);
  EXPECT_EQ(loop_->counters().dropped_bytes, 13U);
}

TEST_F(StreamSourceTest, WaitsNotForEverForAPeerThatDoesNotClose) {
  source_->on_line = [&](const std::string&) {
    drain_->enqueue("goodbye");
    source_->close(Errc::EndOfStream);
  };
  send("quit\nnot heard");
  EXPECT_EQ(receive_some(theirs_.get()), "goodbye");
  loop_.pass(StreamDrain::kLinger - 1ms);
  EXPECT_NE(drain_->id(), kNoDrain);
  loop_.pass(2ms);
  EXPECT_EQ(drain_->id(), kNoDrain);
  EXPECT_EQ(send_some(theirs_.get(), "too late"), 0U);
}

TEST_F(StreamSourceTest, WaitsNotForEverForAPeerThatGoesOnTalking) {
  source_->on_line = [&](const std::string&) { source_->close(Errc::EndOfStream); };
  drain_->enqueue("hello");
  send("quit\n");
  const TimePoint began = loop_->now();
  while (drain_->id() != kNoDrain) {
    ASSERT_LE(loop_->now() - began, StreamDrain::kLongestLinger + StreamDrain::kLinger);
    send("not heard");
    loop_.pass(1s);
  }
  EXPECT_GE(loop_->now() - began, StreamDrain::kLongestLinger);
}

TEST_F(StreamSourceTest, WaitsLongerForAPeerThatStillTakesItsLastAnswer) {
  connect_tcp();
  source_->on_line = [&](const std::string&) {
    drain_->enqueue(std::string(1 << 20, 'a'));
    source_->close(Errc::EndOfStream);
  };
  send("quit\n");
  std::size_t received = 0;
  for (int i = 0; i < 1000 && !drain_->empty(); ++i) {
    received += receive_some(theirs_.get(), 1000).size();
    loop_.turn();
  }
  for (int i = 0; i < 4; ++i) {
    received += receive_some(theirs_.get(), 50'000).size();
    loop_.pass(StreamDrain::kLinger);
    EXPECT_NE(drain_->id(), kNoDrain);
  }
  loop_.pass(2 * StreamDrain::kLinger);
  EXPECT_EQ(drain_->id(), kNoDrain) << "it takes no more";
  EXPECT_LT(received, 1U << 20);
}

TEST_F(StreamSourceTest, MayBeClosedWhileItIsPaused) {
  source_->pause();
  loop_.turn();
  source_->close(Errc::EndOfStream);
  loop_.turn();
  EXPECT_THAT(source_->ends, ElementsAre(Errc::EndOfStream));
}

TEST_F(StreamSourceTest, MayBeDestroyedByTheHandlerOfItsFrame) {
  source_->on_line = [&](const std::string&) {
    source_.reset();
    drain_.reset();
  };
  send("one\ntwo\n");
  EXPECT_EQ(source_, nullptr);
  EXPECT_TRUE(at_end(theirs_.get()));
}

// Goal: a protocol that fails even in saying why it ended leaves no connection behind.
TEST_F(StreamSourceTest, LeavesTheLoopThoughItsLastEventCannotBeMade) {
  source_->on_closed = [] { throw std::runtime_error("out of words"); };
  drain_->enqueue("flushed all the same");
  half_close();
  loop_.turn();
  EXPECT_EQ(source_->id(), kNoSource);
  EXPECT_EQ(drain_->id(), kNoDrain);
  EXPECT_EQ(receive_some(theirs_.get()), "flushed all the same");
  EXPECT_TRUE(at_end(theirs_.get()));
}

// Goal: who waits for that event gets it though there was no memory for it at first.
TEST_F(StreamSourceTest, TellsItsEndWhenThereIsMemoryAgain) {
  source_->on_closed = [tried = false]() mutable {
    if (!std::exchange(tried, true)) throw std::bad_alloc();
  };
  half_close();
  loop_.turn();
  EXPECT_NE(source_->id(), kNoSource);
  loop_.poller.advance(20ms);
  loop_.turn();
  EXPECT_EQ(source_->id(), kNoSource);
}

TEST_F(StreamSourceTest, EndsWhenItsDrainCannotWrite) {
  half_close();
  ::shutdown(theirs_.get(), SHUT_RD);
  source_->pause();
  loop_.turn();
  drain_->enqueue("nobody reads this");
  loop_.turn();
  ASSERT_THAT(source_->ends, SizeIs(1));
  EXPECT_EQ(source_->ends.front(), std::errc::broken_pipe);
  EXPECT_EQ(drain_->id(), kNoDrain);
}

TEST_F(StreamSourceTest, TakesBytesWithoutAConnection) {
  LineStream source(*loop_, nullptr);
  source.feed(bytes_of("one\ntw"));
  source.feed({});
  loop_.turn();
  source.feed(bytes_of("o\n"));
  loop_.turn();
  EXPECT_THAT(source.lines, ElementsAre("one", "two"));
  source.close(Errc::EndOfStream);
  loop_.turn();
  EXPECT_THAT(source.ends, ElementsAre(Errc::EndOfStream));
  source.feed(bytes_of("three\n"));
  loop_.turn();
  EXPECT_THAT(source.lines, SizeIs(2));
}

}  // namespace
}  // namespace snowfox
