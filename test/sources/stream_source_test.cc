#include <snowfox/sources/stream_source.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "stream_source_fixture.h"
#include "support/temporary_directory.h"

namespace snowfox {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

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
