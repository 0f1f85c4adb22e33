#include <snowfox/sources/stream_source.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/drains/stream_drain.h>

#include "support/line_stream.h"
#include "support/manual_loop.h"
#include "support/passing_io.h"
#include "support/sockets.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Counts reads.
class CountingIo final : public PassingIo {
 public:
  ssize_t receive(int fd, std::span<std::byte> into) override {
    ++receives;
    return PassingIo::receive(fd, into);
  }
  int receives = 0;
};

class StreamSourceTest : public testing::Test {
 protected:
  void SetUp() override { connect(); }

  /// Makes the connection under test anew.
  void connect(const StreamOptions* options = nullptr, const Watermarks* watermarks = nullptr) {
    source_.reset();
    drain_.reset();
    auto [ours, theirs] = make_socket_pair();
    theirs_ = std::move(theirs);
    serve(std::move(ours), options, watermarks);
  }
  /// Over TCP, with a peer that takes only some thousand bytes before it reads.
  void connect_tcp() {
    source_.reset();
    drain_.reset();
    const Descriptor listening = io_.listen(Address::parse("tcp:127.0.0.1:0"), {});
    theirs_ = connect_to(io_.local_address(listening.get()), 4096);
    Address peer;
    serve({io_, io_.accept(listening.get(), peer)});
  }
  void serve(Descriptor ours, const StreamOptions* options = nullptr, const Watermarks* watermarks = nullptr) {
    const auto channel = Channel::make(*loop_, Descriptor(io_, ours.release()));
    drain_ = std::make_unique<StreamDrain>(*loop_, channel, watermarks);
    source_ = std::make_unique<LineStream>(*loop_, channel, options);
    drain_->bind(source_->id());
  }
  void send(std::string_view bytes) {
    ASSERT_EQ(send_some(theirs_.get(), bytes), bytes.size());
    loop_.turn();
  }
  /// The peer says that it sends nothing more, but still reads.
  void half_close() { ::shutdown(theirs_.get(), SHUT_WR); }

  CountingIo io_;
  ManualLoop loop_;
  Descriptor theirs_;
  std::unique_ptr<StreamDrain> drain_;
  std::unique_ptr<LineStream> source_;
};

// --- frames ---

TEST_F(StreamSourceTest, TurnsBytesIntoEvents) {
  send("one\ntwo\n");
  send("thr");
  send("ee\nfo");
  EXPECT_THAT(source_->lines, ElementsAre("one", "two", "three"));
  EXPECT_EQ(source_->received_bytes(), 16U);
  send("ur\n");
  EXPECT_EQ(source_->lines.back(), "four");
  EXPECT_TRUE(source_->open());
}

// Goal: the frames are those of the bytes, however the bytes come. All ways to cut twelve of them.
TEST_F(StreamSourceTest, FindsTheSameFramesInEverySplit) {
  const std::string text = "ab\n\nc\ndef\n\ng";
  const unsigned cuts = static_cast<unsigned>(text.size()) - 1;
  for (unsigned split = 0; split < 1U << cuts; ++split) {
    LineStream source(*loop_, nullptr);
    std::size_t begin = 0;
    for (unsigned at = 1; at <= text.size(); ++at) {
      if (at != text.size() && (split >> (at - 1) & 1) == 0) continue;
      source.feed(bytes_of(std::string_view(text).substr(begin, at - begin)));
      loop_.turn();
      begin = at;
    }
    ASSERT_THAT(source.lines, ElementsAre("ab", "", "c", "def", "")) << split;
  }
}

// Goal: the same over a socket, with lines from nothing to beyond every buffer's size.
TEST_F(StreamSourceTest, FindsTheSameFramesInRandomSplitsOfMuch) {
  std::mt19937 random(23);
  for (int round = 0; round < 10; ++round) {
    connect();
    std::vector<std::string> lines;
    std::string text;
    while (text.size() < 1'000'000) {
      const std::size_t most = std::array<std::size_t, 5>{4, 100, 5'000, 70'000, 300'000}[random() % 5];
      std::string line(random() % most, '\0');
      for (char& c : line) c = static_cast<char>('a' + random() % 26);
      lines.push_back(line);
      text += line + '\n';
    }
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t most = std::array<std::size_t, 3>{10, 3'000, 100'000}[random() % 3];
      begin += send_some(theirs_.get(), std::string_view(text).substr(begin, 1 + random() % most));
      loop_.turn();
    }
    EXPECT_TRUE(source_->lines == lines) << "round " << round;
  }
}

// Goal: a turn's reading is one system call, however many frames come of it.
TEST_F(StreamSourceTest, ReadsOnceForManyFrames) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "line\n";
  loop_.turn();
  io_.receives = 0;
  send(text);
  EXPECT_THAT(source_->lines, SizeIs(1000));
  EXPECT_EQ(io_.receives, 1);
}

TEST_F(StreamSourceTest, HoldsNoMemoryWhileItIsIdle) {
  send("one\n");
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
  send("tw");
  EXPECT_EQ(loop_->buffers().lent_bytes(), BufferPool::kSmall);
  send("o\n");
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
}

TEST_F(StreamSourceTest, ReadsPipesAndFiles) {
  std::array<int, 2> fds{};
  ASSERT_EQ(pipe2(fds.data(), O_NONBLOCK | O_CLOEXEC), 0);
  LineStream from_pipe(*loop_, Channel::make(*loop_, Descriptor(Io::system(), fds[0])));
  ASSERT_EQ(::write(fds[1], "piped\n", 6), 6);
  ::close(fds[1]);
  const TemporaryDirectory directory;
  std::ofstream(directory / "file") << "filed\nand more\n";
  LineStream from_file(*loop_,
                       Channel::make(*loop_, Descriptor(Io::system(), ::open((directory / "file").c_str(), O_RDONLY))));
  loop_.turn();
  EXPECT_THAT(from_pipe.lines, ElementsAre("piped"));
  EXPECT_THAT(from_pipe.ends, ElementsAre(Errc::EndOfStream));
  EXPECT_THAT(from_file.lines, ElementsAre("filed", "and more"));
  EXPECT_THAT(from_file.ends, ElementsAre(Errc::EndOfStream));
}

TEST_F(StreamSourceTest, KnowsItsPeer) {
  ASSERT_TRUE(source_->peer_credentials());
  EXPECT_EQ(source_->peer_credentials()->uid, geteuid());
  const LineStream without(*loop_, nullptr);
  EXPECT_FALSE(without.peer_credentials());
  EXPECT_EQ(without.fd(), -1);
}

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

// --- one peer and the others ---

// Goal: a client that never reads pauses itself, not others, costs no more than the watermarks say, and goes on where
// it was when it reads again.
TEST_F(StreamSourceTest, PausesOnlyTheConnectionWhosePeerDoesNotRead) {
  const Watermarks watermarks{.high = 64 << 10, .low = 16 << 10};
  connect(nullptr, &watermarks);
  const std::string answer(1000, 'a');
  source_->on_line = [&](const std::string&) { drain_->enqueue(answer); };

  auto [ours, well_behaved] = make_socket_pair();
  const auto channel = Channel::make(*loop_, std::move(ours));
  StreamDrain other_drain(*loop_, channel, &watermarks);
  LineStream other(*loop_, channel);
  other_drain.bind(other.id());
  other.on_line = [&](const std::string&) { other_drain.enqueue("served"); };

  std::size_t asked = 0;
  std::string request;
  for (int i = 0; i < 100; ++i) request += "?\n";
  std::size_t most_lent = 0;
  for (int i = 0; i < 200; ++i) {
    asked += send_some(theirs_.get(), request);
    send_some(well_behaved.get(), "?\n");
    loop_.turn();
    most_lent = std::max(most_lent, loop_->buffers().lent_bytes());
    EXPECT_EQ(receive_some(well_behaved.get()), "served");
  }
  EXPECT_TRUE(drain_->congested());
  EXPECT_TRUE(source_->paused());
  EXPECT_FALSE(other.paused());
  // What is written, what was read and not yet handled, and the ends of buffers.
  EXPECT_LE(most_lent, watermarks.high + 4 * BufferPool::kLarge);

  std::size_t received = 0;
  while (received < asked / 2 * answer.size()) {
    const std::string some = receive_some(theirs_.get());
    received += some.size();
    loop_.turn();
    ASSERT_TRUE(source_->open());
  }
  EXPECT_EQ(received, asked / 2 * answer.size());
  EXPECT_FALSE(source_->paused());
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
}

// Goal: who has asked first need not wait until all others have been heard.
TEST_F(StreamSourceTest, AnswersAConnectionBeforeItAsksTheNext) {
  auto [ours, second_peer] = make_socket_pair();
  const auto channel = Channel::make(*loop_, std::move(ours));
  StreamDrain second_drain(*loop_, channel);
  LineStream second(*loop_, channel);
  std::vector<std::string> on_the_wire;  // when each is heard: what both peers have got
  const auto answer = [&, &second_peer = second_peer](StreamDrain& drain) {
    on_the_wire.push_back(receive_some(theirs_.get()) + receive_some(second_peer.get()));
    drain.enqueue("answer ");
  };
  source_->on_line = [&](const std::string&) { answer(*drain_); };
  second.on_line = [&](const std::string&) { answer(second_drain); };
  send_some(theirs_.get(), "?\n?\n");
  send_some(second_peer.get(), "?\n?\n");
  loop_.turn();
  EXPECT_THAT(on_the_wire, ElementsAre("", "", "answer answer ", ""));
  EXPECT_EQ(receive_some(theirs_.get()) + receive_some(second_peer.get()), "answer answer ");
}

// Goal: two connections whose bytes are passed on to each other pause each other's source and lose nothing.
TEST_F(StreamSourceTest, PassesOnBetweenConnectionsThatAreBoundCrosswise) {
  const Watermarks watermarks{.high = 32 << 10, .low = 8 << 10};
  connect(nullptr, &watermarks);
  auto [ours, other_peer] = make_socket_pair();
  const auto channel = Channel::make(*loop_, std::move(ours));
  StreamDrain other_drain(*loop_, channel, &watermarks);
  LineStream other(*loop_, channel);
  drain_->unbind(source_->id());
  drain_->bind(other.id());
  other_drain.bind(source_->id());
  source_->on_line = [&](const std::string& line) { other_drain.enqueue(line + "\n"); };
  other.on_line = [&](const std::string& line) { drain_->enqueue(line + "\n"); };

  std::mt19937 random(5);
  std::string there, back;
  while (there.size() < 3'000'000) there += std::string(random() % 2000, 'a' + static_cast<char>(random() % 26)) + '\n';
  while (back.size() < 3'000'000) back += std::string(random() % 2000, 'A' + static_cast<char>(random() % 26)) + '\n';
  std::string came_there, came_back;
  std::size_t sent_there = 0, sent_back = 0, most_lent = 0;
  bool paused = false;
  for (int i = 0; i < 100'000 && (came_there.size() < there.size() || came_back.size() < back.size()); ++i) {
    sent_there += send_some(theirs_.get(), std::string_view(there).substr(sent_there, random() % 100'000));
    sent_back += send_some(other_peer.get(), std::string_view(back).substr(sent_back, random() % 100'000));
    loop_.turn();
    most_lent = std::max(most_lent, loop_->buffers().lent_bytes());
    paused = paused || source_->paused() || other.paused();
    if (random() % 8 == 0) came_there += receive_some(other_peer.get());
    if (random() % 8 == 0) came_back += receive_some(theirs_.get());
  }
  EXPECT_TRUE(came_there == there);
  EXPECT_TRUE(came_back == back);
  EXPECT_TRUE(paused);
  EXPECT_LE(most_lent, 2 * (watermarks.high + 4 * BufferPool::kLarge));

  // One of them leaves in the middle: the other's source goes on.
  other_drain.enqueue(std::string(4 << 20, 'x'));
  loop_.turn();
  EXPECT_TRUE(source_->paused());
  other_peer.reset();
  loop_.turn();
  EXPECT_FALSE(other.open());
  EXPECT_FALSE(source_->paused());
  send("still here\n");
  EXPECT_EQ(source_->lines.back(), "still here");
}

}  // namespace
}  // namespace snowfox
