#include <snowfox/drains/stream_drain.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "support/manual_loop.h"
#include "support/passing_io.h"
#include "support/scripted_source.h"
#include "support/sockets.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

/// A kernel that takes as much, or as little, as a test wants.
class MiserlyIo final : public PassingIo {
 public:
  ssize_t send(int fd, std::span<const iovec> from) override {
    ++sends;
    most_pieces = std::max(most_pieces, from.size());
    if (error != 0) return -error;
    iovec little = from.front();
    little.iov_len = std::min(little.iov_len, most_bytes);
    return PassingIo::send(fd, most_bytes == SIZE_MAX ? from : std::span<const iovec>(&little, 1));
  }
  int sends = 0;
  std::size_t most_pieces = 0;
  std::size_t most_bytes = SIZE_MAX;
  int error = 0;
};

std::string noise(std::size_t size, unsigned seed = 3) {
  std::mt19937 random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

class StreamDrainTest : public testing::Test {
 protected:
  void SetUp() override { connect(); }

  void connect(const Watermarks* watermarks = nullptr) {
    drain_.reset();
    auto [ours, theirs] = make_socket_pair();
    theirs_ = std::move(theirs);
    channel_ = Channel::make(*loop_, Descriptor(io_, ours.release()));
    drain_ = std::make_unique<StreamDrain>(*loop_, channel_, watermarks);
    source_ = std::make_unique<ScriptedSource>(*loop_);
    channel_->set_source(source_.get());
  }
  /// Reads until the drain is empty or gone.
  std::string receive_all() {
    std::string received;
    for (int i = 0; i < 100'000; ++i) {
      loop_.turn();
      received += receive_some(theirs_.get());
      if (drain_->empty()) break;
    }
    return received + receive_some(theirs_.get());
  }
  /// Fills the socket until it takes no more.
  void fill() {
    while (drain_->empty()) {
      drain_->enqueue(std::string(64 << 10, 'f'));
      loop_.turn();
    }
  }

  MiserlyIo io_;
  ManualLoop loop_;
  Descriptor theirs_;
  std::unique_ptr<ScriptedSource> source_;
  ChannelRef channel_;
  std::unique_ptr<StreamDrain> drain_;
};

// --- writing ---

TEST_F(StreamDrainTest, WritesWhatWasEnqueuedInOrderAndInOneCall) {
  drain_->enqueue("one, ");
  drain_->enqueue("");
  drain_->enqueue("two, ");
  drain_->enqueue("three");
  EXPECT_EQ(io_.sends, 0);
  EXPECT_EQ(drain_->pending_bytes(), 15U);
  loop_.turn();
  EXPECT_EQ(receive_some(theirs_.get()), "one, two, three");
  EXPECT_EQ(io_.sends, 1);
  EXPECT_TRUE(drain_->empty());
  EXPECT_EQ(drain_->flushed_bytes(), 15U);
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
  EXPECT_EQ(loop_.poller.watched(), 0U);
}

TEST_F(StreamDrainTest, GathersManyBuffersIntoOneCall) {
  const std::string much = noise(150'000);
  for (std::size_t at = 0; at < much.size(); at += 10'000) drain_->enqueue(std::string_view(much).substr(at, 10'000));
  loop_.turn();
  EXPECT_TRUE(receive_some(theirs_.get()) == much);
  EXPECT_EQ(io_.sends, 1);
  EXPECT_GT(io_.most_pieces, 2U);
}

// Goal: the bytes that arrive are those that were enqueued, however little the kernel takes at a time.
TEST_F(StreamDrainTest, LosesNothingToAKernelThatTakesLittle) {
  for (const std::size_t most : {1U, 7U, 1000U, 2025U, 65'536U}) {
    io_.most_bytes = most;
    const std::string sent = noise(most < 10 ? 5'000 : 300'000);
    std::mt19937 random(most);
    std::string received;
    for (std::size_t at = 0; at < sent.size();) {
      const std::size_t part = std::min<std::size_t>(random() % 9'000, sent.size() - at);
      drain_->enqueue(std::string_view(sent).substr(at, part));
      at += part;
      loop_.turn();
      received += receive_some(theirs_.get());
    }
    received += receive_all();
    EXPECT_TRUE(received == sent) << most;
    EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
  }
}

TEST_F(StreamDrainTest, WritesMoreBuffersThanFitIntoOneCall) {
  const std::string much = noise(8 << 20);
  drain_->enqueue(much);
  EXPECT_TRUE(receive_all() == much);
  EXPECT_LE(io_.most_pieces, 1024U);
}

TEST_F(StreamDrainTest, WaitsUntilTheKernelTakesMore) {
  fill();
  EXPECT_EQ(loop_.poller.watched(), 1U);
  const int sends = io_.sends;
  loop_.turn();
  EXPECT_EQ(io_.sends, sends);
  receive_all();
  EXPECT_TRUE(drain_->empty());
  EXPECT_EQ(loop_.poller.watched(), 0U);
}

TEST_F(StreamDrainTest, TriesAgainWhenTheKernelIsShortOfBuffers) {
  io_.error = ENOBUFS;
  drain_->enqueue("patience");
  loop_->wait(Duration::zero());
  io_.error = 0;
  loop_.turn();
  EXPECT_EQ(receive_some(theirs_.get()), "patience");
}

TEST_F(StreamDrainTest, WritesToAPipe) {
  std::array<int, 2> fds{};
  ASSERT_EQ(pipe2(fds.data(), O_NONBLOCK | O_CLOEXEC), 0);
  const Descriptor from(Io::system(), fds[0]);
  StreamDrain drain(*loop_, Channel::make(*loop_, Descriptor(Io::system(), fds[1])));
  const std::string much = noise(300'000);
  drain.enqueue(much);
  std::string received;
  for (int i = 0; i < 1000 && received.size() < much.size(); ++i) {
    loop_.turn();
    std::array<char, 65536> part{};
    const ssize_t count = ::read(from.get(), part.data(), part.size());
    if (count > 0) received.append(part.data(), static_cast<std::size_t>(count));
  }
  EXPECT_TRUE(received == much);
}

TEST_F(StreamDrainTest, MayBeMadeWhileItsConnectionIsUnderWay) {
  const Descriptor listening = Io::system().listen(Address::parse("0"), {});
  const int fd = Io::system().connect(Io::system().local_address(listening.get()));
  ASSERT_GE(fd, 0);
  StreamDrain drain(*loop_, Channel::make(*loop_, Descriptor(Io::system(), fd)));
  drain.enqueue("early");
  Address peer;
  Descriptor accepted;
  std::string received;
  for (int i = 0; i < 100'000 && received.size() < 5; ++i) {
    loop_.turn();
    if (!accepted) accepted = Descriptor(Io::system(), std::max(-1, Io::system().accept(listening.get(), peer)));
    if (accepted) received += receive_some(accepted.get());
  }
  EXPECT_EQ(received, "early");
}

TEST_F(StreamDrainTest, LendsMemoryInProportionToWhatWaits) {
  fill();
  const std::size_t before = loop_->buffers().lent_bytes();
  drain_->enqueue("x");
  EXPECT_LE(loop_->buffers().lent_bytes(), before + BufferPool::kLarge);
  StreamDrain idle(*loop_, channel_);
  const std::size_t now = loop_->buffers().lent_bytes();
  idle.enqueue("x");
  EXPECT_EQ(loop_->buffers().lent_bytes(), now + BufferPool::kSmall);
}

// --- in place ---

TEST_F(StreamDrainTest, TakesBytesThatAreWrittenInPlace) {
  drain_->enqueue("before ");
  for (const std::size_t size : {1U, 5'000U, 100'000U}) {
    const auto room = drain_->reserve(size);
    ASSERT_EQ(room.size(), size);
    std::fill(room.begin(), room.end(), std::byte{'r'});
    drain_->commit(size);
  }
  drain_->enqueue(" after");
  EXPECT_TRUE(receive_all() == "before " + std::string(105'001, 'r') + " after");
}

TEST_F(StreamDrainTest, SendsOnlyWhatIsCommitted) {
  const auto room = drain_->reserve(5'000);
  std::fill(room.begin(), room.end(), std::byte{'r'});
  drain_->commit(3);
  static_cast<void>(drain_->reserve(100'000));
  drain_->enqueue("abc");
  EXPECT_EQ(receive_all(), "rrrabc");
  static_cast<void>(drain_->reserve(100));
  loop_.turn();
  EXPECT_TRUE(drain_->empty());
}

// --- limits ---

TEST_F(StreamDrainTest, PausesItsSourcesWhileItsPeerDoesNotRead) {
  const Watermarks watermarks{.high = 300'000, .low = 100'000};
  connect(&watermarks);
  ScriptedSource producer(*loop_);
  drain_->bind(producer.id());
  for (int i = 0; i < 1000; ++i) producer.give([&] { drain_->enqueue(std::string(10'000, 'x')); });
  loop_.turn();
  EXPECT_TRUE(producer.paused());
  EXPECT_GT(producer.waiting(), 900U);
  EXPECT_LE(drain_->pending_bytes(), watermarks.high + 10'000);
  std::size_t received = 0;
  std::size_t most_pending = 0;
  while (received < 10'000'000) {
    received += receive_some(theirs_.get(), 30'000).size();
    loop_.turn();
    most_pending = std::max(most_pending, drain_->pending_bytes());
    ASSERT_NE(drain_->id(), kNoDrain);
  }
  EXPECT_EQ(received, 10'000'000U);
  EXPECT_LE(most_pending, watermarks.high + 10'000);
  EXPECT_FALSE(producer.paused());
}

// Goal: a drain that is written to past its hard limit ends with an error and is not grown.
TEST_F(StreamDrainTest, EndsPastItsHardLimit) {
  const Watermarks watermarks{.high = 100, .low = 10, .hard_limit = 1'000'000};
  connect(&watermarks);
  drain_->enqueue(std::string(1'000'000, 'x'));
  drain_->enqueue("x");
  drain_->enqueue("y");
  EXPECT_TRUE(drain_->reserve(1).empty());
  EXPECT_EQ(drain_->pending_bytes(), 1'000'000U);
  EXPECT_EQ(loop_->counters().dropped_bytes, 3U);
  loop_.turn();
  EXPECT_THAT(source_->failures, ElementsAre(Errc::DrainOverflow));
  EXPECT_EQ(drain_->id(), kNoDrain);
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
  EXPECT_EQ(loop_->counters().dropped_bytes, 1'000'003U);
}

TEST_F(StreamDrainTest, TakesExactlyItsHardLimit) {
  const Watermarks watermarks{.high = 100, .low = 10, .hard_limit = 500'000};
  connect(&watermarks);
  drain_->enqueue(std::string(500'000, 'x'));
  EXPECT_EQ(receive_all().size(), 500'000U);
  EXPECT_THAT(source_->failures, IsEmpty());
}

TEST_F(StreamDrainTest, EndsWhenItsPeerTakesNothingForTooLong) {
  const Watermarks watermarks{.stall_timeout = 30s};
  connect(&watermarks);
  fill();
  loop_.pass(29s);
  EXPECT_THAT(source_->failures, IsEmpty());
  loop_.pass(2s);
  EXPECT_THAT(source_->failures, ElementsAre(Errc::DrainStalled));
  EXPECT_EQ(drain_->id(), kNoDrain);
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
}

// Goal: a slow reader is no stalled one, and one that stalls after reading for long is found out in the same time.
TEST_F(StreamDrainTest, CountsFromTheLastByteTaken) {
  const Watermarks watermarks{.stall_timeout = 30s};
  connect(&watermarks);
  drain_->enqueue(std::string(10 << 20, 'x'));
  loop_.turn();
  for (int i = 0; i < 20; ++i) {
    loop_.pass(20s);
    EXPECT_GT(receive_some(theirs_.get(), 400'000).size(), 0U);
    loop_.turn();
    ASSERT_NE(drain_->id(), kNoDrain) << i;
  }
  loop_.pass(29s);
  EXPECT_NE(drain_->id(), kNoDrain);
  loop_.pass(2s);
  EXPECT_THAT(source_->failures, ElementsAre(Errc::DrainStalled));
}

TEST_F(StreamDrainTest, CountsNoTimeInWhichNothingWaits) {
  const Watermarks watermarks{.stall_timeout = 30s};
  connect(&watermarks);
  fill();
  loop_.pass(29s);
  receive_all();
  loop_.pass(1h);
  fill();
  loop_.pass(29s);
  EXPECT_NE(drain_->id(), kNoDrain);
}

TEST_F(StreamDrainTest, WaitsForEverWithoutAStallTimeout) {
  const Watermarks watermarks{.stall_timeout = Duration::zero()};
  connect(&watermarks);
  fill();
  loop_.pass(24h);
  EXPECT_NE(drain_->id(), kNoDrain);
}

// --- ends ---

TEST_F(StreamDrainTest, EndsWithTheErrorOfAFailedWrite) {
  theirs_.reset();
  drain_->enqueue("into the void");
  loop_.turn();
  ASSERT_THAT(source_->failures, SizeIs(1));
  EXPECT_EQ(source_->failures.front(), std::errc::broken_pipe);
  EXPECT_EQ(drain_->id(), kNoDrain);
  EXPECT_EQ(loop_->counters().dropped_bytes, 13U);
}

TEST_F(StreamDrainTest, DropsWhatIsEnqueuedOnceItIsClosed) {
  drain_->enqueue("lost");
  drain_->close(std::make_error_code(std::errc::permission_denied));
  EXPECT_THAT(source_->failures, ElementsAre(std::make_error_code(std::errc::permission_denied)));
  drain_->enqueue("lost, too");
  EXPECT_TRUE(drain_->reserve(10).empty());
  drain_->close(Errc::EndOfStream);
  loop_.turn();
  EXPECT_EQ(receive_some(theirs_.get()), "");
  EXPECT_EQ(loop_->counters().dropped_bytes, 23U);
  EXPECT_EQ(source_->failures.size(), 1U);
  EXPECT_EQ(drain_->fd(), -1);
}

TEST_F(StreamDrainTest, ClosesTheConnectionWhenItIsEmptyIfAskedTo) {
  fill();
  drain_->close_when_empty();
  channel_.reset();
  source_.reset();
  const std::string received = receive_all();
  EXPECT_EQ(received.size(), drain_->flushed_bytes());
  EXPECT_EQ(drain_->id(), kNoDrain);
  EXPECT_TRUE(at_end(theirs_.get()));
}

// Goal: a peer that is slow to take the last answers is not waited for without end either.
TEST_F(StreamDrainTest, GivesUpItsLastWordsWhenThePeerStalls) {
  fill();
  drain_->close_when_empty();
  loop_.pass(31s);
  EXPECT_EQ(drain_->id(), kNoDrain);
}

TEST_F(StreamDrainTest, MayBeDestroyedWithDataWaiting) {
  fill();
  drain_.reset();
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
  EXPECT_EQ(loop_.poller.watched(), 0U);
  loop_.pass(1h);
}

TEST_F(StreamDrainTest, IsFlushedAtTheEndOfTheProgram) {
  fill();
  const std::size_t pending = drain_->pending_bytes();
  ASSERT_GT(pending, 0U);
  ScriptedSource ending(*loop_);
  ending.give([] { throw CleanExit(); });
  // Whoever reads does so once the loop has begun to wait for it.
  std::string received;
  class Reader final : public Timer {
   public:
    Reader(int fd, std::string& into) : fd_(fd), into_(into) {}

   private:
    void expire() noexcept override { into_ += receive_some(fd_); }
    int fd_;
    std::string& into_;
  } reader(theirs_.get(), received);
  loop_->arm(reader, 1s);
  EXPECT_EQ(loop_->run(), 0);
  EXPECT_TRUE(drain_->empty());
  EXPECT_THAT(loop_.sink.lines, IsEmpty());
}

// Goal: over TCP what the kernel has taken may still be lost: if something lies unread when the program ends, the
// connection is reset. The peer reads some and some, on a loop that has its time from the system as the kernel has.
TEST_F(StreamDrainTest, HasArrivedOverTcpWhenTheProgramEnds) {
  LoopManager loop(std::make_unique<UvPoller>(), io_, loop_.log);
  const Descriptor listening = io_.listen(Address::parse("tcp:127.0.0.1:0"), {});
  const Descriptor theirs = connect_to(io_.local_address(listening.get()), 4096);
  std::string received;
  class Reader final : public Timer {
   public:
    Reader(LoopManager& loop, int fd, std::string& into) : loop_(loop), fd_(fd), into_(into) { loop_.arm(*this, 1ms); }

   private:
    void expire() noexcept override {
      into_ += receive_some(fd_, 20'000);
      loop_.arm(*this, 1ms);
    }
    LoopManager& loop_;
    int fd_;
    std::string& into_;
  };
  const std::string answer = noise(1 << 20);
  {
    Address peer;
    StreamDrain drain(loop, Channel::make(loop, Descriptor(io_, io_.accept(listening.get(), peer))));
    ScriptedSource ending(loop);
    const Reader reader(loop, theirs.get(), received);
    send_some(theirs.get(), "never read");
    ending.give([&] {
      drain.enqueue(answer);
      throw CleanExit();
    });
    EXPECT_EQ(loop.run(), 0);
  }
  EXPECT_THAT(loop_.sink.lines, IsEmpty());
  EXPECT_GT(received.size(), 0U) << "it ended before the peer had read anything";
  received += receive_some(theirs.get());
  EXPECT_EQ(received.size(), answer.size());
  EXPECT_TRUE(received == answer);
}

}  // namespace
}  // namespace snowfox
