#include <snowfox/drains/proto_buf_drain.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/core/error.h>

#include "support/framed.h"
#include "support/manual_loop.h"
#include "support/sockets.h"
#include "test_messages.pb.h"

namespace snowfox {
namespace {

using test::Envelope;
using test::Note;
using testing::AllOf;
using testing::HasSubstr;
using testing::ThrowsMessage;

class ProtoBufDrainTest : public testing::Test {
 protected:
  void SetUp() override { connect(16U << 20); }
  void connect(std::size_t max_frame_bytes) {
    auto [ours, theirs] = make_socket_pair();
    theirs_ = std::move(theirs);
    drain_ = std::make_unique<ProtoBufDrain>(*loop_, Channel::make(*loop_, std::move(ours)), nullptr, max_frame_bytes);
  }
  std::string sent() {
    std::string all;
    do {
      loop_.turn();
      all += receive_some(theirs_.get());
    } while (!drain_->empty());
    return all + receive_some(theirs_.get());
  }

  ManualLoop loop_;
  Descriptor theirs_;
  std::unique_ptr<ProtoBufDrain> drain_;
};

Note note_of(std::size_t bytes) {
  Note note;
  note.set_text(std::string(bytes, 'n'));
  return note;
}

TEST_F(ProtoBufDrainTest, SendsEachMessageAfterItsLength) {
  Envelope envelope;
  envelope.set_correlation_id("a");
  drain_->enqueue(envelope);
  drain_->enqueue(Note());
  drain_->enqueue("raw");
  drain_->enqueue(note_of(300));
  EXPECT_EQ(sent(), std::string("\0\0\0\x03\x0a\x01"
                                "a"
                                "\0\0\0\0raw",
                                14) +
                        framed(note_of(300)));
}

TEST_F(ProtoBufDrainTest, SendsMessagesOfEverySize) {
  std::string expected;
  for (const std::size_t size : {1U, 100U, 2'000U, 2'048U, 16'384U, 65'536U, 300'000U, 3'000'000U}) {
    drain_->enqueue(note_of(size));
    expected += framed(note_of(size));
  }
  EXPECT_TRUE(sent() == expected);
}

// Goal: what the other side would refuse is refused here, with nothing of it sent.
TEST_F(ProtoBufDrainTest, RefusesAMessageBeyondTheLimit) {
  connect(100);
  EXPECT_EQ(note_of(98).ByteSizeLong(), 100U);
  drain_->enqueue(note_of(98));
  EXPECT_THAT(
      [&] { drain_->enqueue(note_of(99)); },
      ThrowsMessage<ProtocolError>(AllOf(HasSubstr("snowfox.test.Note of 101 bytes"), HasSubstr("at most 100"))));
  drain_->enqueue(note_of(1));
  EXPECT_EQ(sent(), framed(note_of(98)) + framed(note_of(1)));
}

TEST_F(ProtoBufDrainTest, DropsMessagesOnceItIsClosed) {
  drain_->close(Errc::EndOfStream);
  drain_->enqueue(note_of(10));
  loop_.turn();
  EXPECT_EQ(receive_some(theirs_.get()), "");
  EXPECT_EQ(loop_->counters().dropped_bytes, 16U);
}

}  // namespace
}  // namespace snowfox
