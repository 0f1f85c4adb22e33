#include <snowfox/sources/proto_buf_source.h>

#include <sys/socket.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/framed.h"
#include "support/manual_loop.h"
#include "support/sockets.h"
#include "test_messages.pb.h"

namespace snowfox {
namespace {

using namespace std::chrono_literals;
using test::Envelope;
using test::Impatient;
using test::Note;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

Envelope envelope(const std::string& id, std::uint32_t code = 0, const std::string& body = "") {
  Envelope message;
  message.set_correlation_id(id);
  message.set_code(code);
  message.set_body(body);
  return message;
}

/// A message of exactly `bytes` when it is serialised.
Envelope envelope_of(std::size_t bytes) {
  Envelope message = envelope("sized");
  message.set_body("x");
  while (message.ByteSizeLong() < bytes) {
    message.mutable_body()->append(std::max<std::size_t>(1, (bytes - message.ByteSizeLong()) / 2), 'x');
  }
  return message;
}

class ProtoBufSourceTest : public testing::Test {
 protected:
  using Protocol = ProtoBufProtocol<Envelope>;

  ProtoBufSourceTest() {
    protocol_.on_closed = [this](SourceId source, std::error_code why) { ends_.emplace_back(source, why); };
    protocol_.options.frame_timeout = 60s;
    connect();
  }

  /// One more connection to the same protocol; the last one made is the one that the others below are about.
  ProtoBufConnection connect(const Watermarks* watermarks = nullptr) {
    auto [ours, theirs] = make_socket_pair();
    theirs_ = std::move(theirs);
    connection_ = serve_proto_buf(*loop_, Channel::make(*loop_, std::move(ours)), protocol_, watermarks);
    return connection_;
  }
  /// The bytes, however many, that the peer sends.
  void send(std::string_view bytes) {
    do {
      bytes.remove_prefix(send_some(theirs_.get(), bytes));
      loop_.turn();
    } while (!bytes.empty() && open());
  }
  bool open() { return loop_->source(connection_.source) != nullptr; }
  std::vector<Envelope> answers() {
    std::vector<Envelope> all;
    for (const std::string& text : unframed(receive_some(theirs_.get()))) all.emplace_back().ParseFromString(text);
    return all;
  }
  /// How the connection ended, if it has.
  std::error_code end() const {
    for (const auto& [source, why] : ends_) {
      if (source == connection_.source) return why;
    }
    return {};
  }
  std::string closing_line() const { return loop_.sink.find("connection closed").fields["reason"]; }

  ManualLoop loop_;
  std::function<void(MessageEvent<Envelope>&)> handle_;
  Protocol protocol_{[this](MessageEvent<Envelope>& event) {
    messages_.push_back(event.message());
    if (handle_) handle_(event);
  }};
  Descriptor theirs_;
  ProtoBufConnection connection_{};
  std::vector<Envelope> messages_;
  std::vector<std::pair<SourceId, std::error_code>> ends_;
};

// --- messages ---

TEST_F(ProtoBufSourceTest, AnswersWhereTheQuestionCameFrom) {
  handle_ = [&](MessageEvent<Envelope>& event) {
    EXPECT_EQ(event.correlation_id().text(), event.message().correlation_id());
    EXPECT_EQ(event.source_id(), connection_.source);
    EXPECT_EQ(event.drain_id(), connection_.drain);
    event.message().set_code(event.message().code() + 1);
    EXPECT_TRUE(event.answer(event.message()));
  };
  send(framed(envelope("first", 7, "body")) + framed(envelope("second", 8)));
  const std::vector<Envelope> received = answers();
  ASSERT_THAT(received, SizeIs(2));
  EXPECT_EQ(received[0].correlation_id(), "first");
  EXPECT_EQ(received[0].code(), 8U);
  EXPECT_EQ(received[0].body(), "body");
  EXPECT_EQ(received[1].code(), 9U);
}

TEST_F(ProtoBufSourceTest, StartsEachMessageEmpty) {
  send(framed(envelope("first", 7, "body")));
  send(framed(envelope("second")));
  EXPECT_EQ(messages_.back().code(), 0U);
  EXPECT_EQ(messages_.back().body(), "");
}

TEST_F(ProtoBufSourceTest, LetsAMessageBeKept) {
  std::vector<Protocol::MessageRef> kept;
  handle_ = [&](MessageEvent<Envelope>& event) { kept.push_back(event.take_message()); };
  for (int i = 0; i < 200; ++i) send(framed(envelope("id", static_cast<std::uint32_t>(i))));
  for (std::size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(kept[i]->code(), i);
  kept.clear();
  send(framed(envelope("id", 7)));
  EXPECT_EQ(kept.back()->code(), 7U);
}

TEST_F(ProtoBufSourceTest, SaysThatAnAnswerComesTooLate) {
  EventRef kept;
  std::vector<bool> answered;
  handle_ = [&](MessageEvent<Envelope>& event) { answered.push_back(event.answer(envelope("late"))); };
  send_some(theirs_.get(), framed(envelope("id")));
  kept = loop_->wait(0ns);
  loop_->remove(connection_.source);
  loop_->remove(connection_.drain);
  loop_.turn();
  loop_->dispatch(std::move(kept));
  EXPECT_THAT(answered, ElementsAre(false));
}

// Goal: who has asked, closed its side and waits gets the answer, though that comes much later.
TEST_F(ProtoBufSourceTest, AnswersLaterAPeerThatHasClosedItsOwnSide) {
  std::vector<DrainLease> leases;
  handle_ = [&](MessageEvent<Envelope>& event) { leases.push_back(event.answer_later()); };
  send_some(theirs_.get(), framed(envelope("id")));
  ::shutdown(theirs_.get(), SHUT_WR);
  loop_.pass(1h);
  EXPECT_EQ(end(), Errc::EndOfStream);
  ASSERT_THAT(leases, SizeIs(1));
  dynamic_cast<ProtoBufDrain&>(*leases.front().drain()).enqueue(envelope("answer"));
  leases.clear();
  loop_.turn();
  EXPECT_THAT(answers(), SizeIs(1));
  EXPECT_TRUE(at_end(theirs_.get()));
  EXPECT_EQ(loop_->drain_count(), 0U);
}

TEST_F(ProtoBufSourceTest, HandsOnMessagesThatBelongToNoChain) {
  std::vector<std::string> texts;
  ProtoBufProtocol<Note> protocol([&](MessageEvent<Note>& event) {
    EXPECT_TRUE(event.correlation_id().empty());
    texts.push_back(event.message().text());
  });
  auto [ours, theirs] = make_socket_pair();
  connect_proto_buf(*loop_, Channel::make(*loop_, std::move(ours)), protocol);
  Note note;
  note.set_text("hello");
  send_some(theirs.get(), framed(note) + framed(Note()));
  loop_.turn();
  EXPECT_THAT(texts, ElementsAre("hello", ""));
}

// --- frames ---

// Goal: the messages are those of the bytes, however the bytes come. All ways to cut two frames.
TEST_F(ProtoBufSourceTest, FindsTheSameMessagesInEverySplit) {
  const std::string text = framed(envelope("a")) + framed(envelope("b"));
  ASSERT_EQ(text.size(), 14U);
  for (unsigned split = 0; split < 1U << (text.size() - 1); ++split) {
    messages_.clear();
    auto& source = loop_->add(std::make_unique<ProtoBufSource<Envelope>>(*loop_, nullptr, protocol_, kNoDrain));
    std::size_t begin = 0;
    for (unsigned at = 1; at <= text.size(); ++at) {
      if (at != text.size() && (split >> (at - 1) & 1) == 0) continue;
      source.feed(std::as_bytes(std::span(text).subspan(begin, at - begin)));
      loop_.turn();
      begin = at;
    }
    ASSERT_THAT(messages_, SizeIs(2)) << split;
    ASSERT_EQ(messages_[0].correlation_id() + messages_[1].correlation_id(), "ab") << split;
    loop_->remove(source.id());
  }
}

TEST_F(ProtoBufSourceTest, FindsTheSameMessagesInRandomSplitsOfMuch) {
  std::mt19937 random(31);
  for (int round = 0; round < 5; ++round) {
    connect();
    messages_.clear();
    std::vector<std::string> sent;
    std::string text;
    while (text.size() < 2'000'000) {
      const std::size_t most = std::array<std::size_t, 4>{4, 1'000, 70'000, 500'000}[random() % 4];
      sent.push_back(envelope("id-" + std::to_string(sent.size()), static_cast<std::uint32_t>(random()),
                              std::string(random() % most, 'b'))
                         .SerializeAsString());
      text += framed(std::string_view(sent.back()));
    }
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t most = std::array<std::size_t, 3>{5, 3'000, 200'000}[random() % 3];
      begin += send_some(theirs_.get(), std::string_view(text).substr(begin, 1 + random() % most));
      loop_.turn();
    }
    ASSERT_EQ(messages_.size(), sent.size());
    for (std::size_t i = 0; i < sent.size(); ++i) ASSERT_TRUE(messages_[i].SerializeAsString() == sent[i]) << i;
    EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
  }
}

TEST_F(ProtoBufSourceTest, TakesAFrameOfExactlyTheLimit) {
  protocol_.options.max_frame_bytes = 1000;
  send(framed(envelope_of(1000)));
  EXPECT_THAT(messages_, SizeIs(1));
  EXPECT_TRUE(open());
  send(framed(envelope_of(1001)));
  EXPECT_THAT(messages_, SizeIs(1));
  EXPECT_EQ(end(), Errc::FrameTooLarge);
  EXPECT_TRUE(at_end(theirs_.get()));
  EXPECT_THAT(closing_line(), AllOf(HasSubstr("1001 bytes"), HasSubstr("at most 1000")));
}

// Goal: a frame that is too long is refused when it is announced, not when it has been read.
TEST_F(ProtoBufSourceTest, RefusesALongFrameByItsLengthAlone) {
  for (const std::string_view length :
       {std::string_view("\x01\x00\x00\x01", 4), std::string_view("\xff\xff\xff\xff", 4),
        std::string_view("\x80\x00\x00\x00", 4)}) {
    ends_.clear();
    connect();
    send(length.substr(0, 3));
    EXPECT_TRUE(open());
    send(length.substr(3));
    EXPECT_EQ(end(), Errc::FrameTooLarge);
  }
}

TEST_F(ProtoBufSourceTest, TakesAFrameOfSixteenMebibytes) {
  const std::string frame = framed(envelope_of(16U << 20));
  send(frame);
  ASSERT_THAT(messages_, SizeIs(1));
  EXPECT_EQ(messages_.front().ByteSizeLong(), 16U << 20);
  EXPECT_TRUE(open());
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
}

// Goal: announcing costs the announcer as much as us. Five hundred peers announce 16 MiB each and send nothing more.
TEST_F(ProtoBufSourceTest, LendsLittleForWhatIsOnlyAnnounced) {
  std::vector<Descriptor> peers;
  for (int i = 0; i < 500; ++i) {
    connect();
    send(std::string_view("\x01\x00\x00\x00", 4));
    peers.push_back(std::move(theirs_));
  }
  EXPECT_EQ(loop_->source_count(), 500U);
  EXPECT_LE(loop_->buffers().lent_bytes(), 500 * BufferPool::kSmall);
  ends_.clear();
  loop_.pass(61s);
  EXPECT_EQ(loop_->source_count(), 0U) << "nor does it last for ever";
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
  EXPECT_THAT(ends_, SizeIs(500));
  EXPECT_THAT(ends_, Each(Pair(testing::_, make_error_code(Errc::FrameTimeout))));
}

TEST_F(ProtoBufSourceTest, EndsAConnectionThatSendsAByteASecond) {
  const std::string frame = framed(envelope("id", 1, std::string(1000, 'x')));
  int seconds = 0;
  for (; open() && seconds < 200; ++seconds) {
    send_some(theirs_.get(), std::string_view(frame).substr(static_cast<std::size_t>(seconds), 1));
    loop_.pass(1s);
  }
  EXPECT_GE(seconds, 60);
  EXPECT_LE(seconds, 62);
  EXPECT_EQ(end(), Errc::FrameTimeout);
  EXPECT_THAT(messages_, IsEmpty());
}

TEST_F(ProtoBufSourceTest, TellsThatAFrameWasCutShort) {
  const std::string frame = framed(envelope("id", 1, "body"));
  for (std::size_t cut = 0; cut <= frame.size(); ++cut) {
    ends_.clear();
    messages_.clear();
    connect();
    send_some(theirs_.get(), std::string_view(frame).substr(0, cut));
    theirs_.reset();
    loop_.turn();
    const bool whole = cut == 0 || cut == frame.size();
    EXPECT_EQ(end(), whole ? Errc::EndOfStream : Errc::TruncatedFrame) << cut;
    EXPECT_EQ(messages_.size(), cut == frame.size() ? 1U : 0U);
  }
}

// --- nonsense ---

TEST_F(ProtoBufSourceTest, EndsOnlyTheConnectionWhoseFrameIsNoMessage) {
  const Descriptor sound = std::move(theirs_);
  const SourceId sound_source = connection_.source;
  connect();
  send(framed(std::string_view("\x0a\xff", 2)));
  EXPECT_THAT(ends_, ElementsAre(Pair(connection_.source, make_error_code(Errc::BadFrame))));
  EXPECT_THAT(closing_line(), HasSubstr("a frame of 2 bytes is no snowfox.test.Envelope"));
  send_some(sound.get(), framed(envelope("id")));
  loop_.turn();
  EXPECT_THAT(messages_, SizeIs(1));
  EXPECT_NE(loop_->source(sound_source), nullptr);
}

TEST_F(ProtoBufSourceTest, RefusesTextThatIsNoUtf8) {
  send(framed(std::string_view("\x0a\x02\xc3\x28", 4)));
  EXPECT_EQ(end(), Errc::BadFrame);
}

TEST_F(ProtoBufSourceTest, HandlesWhatCameBeforeNonsense) {
  send(framed(envelope("one")) + framed(envelope("two")) + framed(std::string_view("\xff", 1)) +
       framed(envelope("three")));
  EXPECT_THAT(messages_, SizeIs(2));
  EXPECT_EQ(end(), Errc::BadFrame);
}

// Goal: no bytes whatever do more than end their own connection. Noise, noise in frames, and damaged messages.
TEST_F(ProtoBufSourceTest, SurvivesAnyBytes) {
  const Descriptor sound = std::move(theirs_);
  std::mt19937 random(77);
  const auto noise = [&](std::size_t most) {
    std::string text(random() % most, '\0');
    for (char& c : text) c = static_cast<char>(random());
    return text;
  };
  for (int round = 0; round < 1500; ++round) {
    connect();
    std::string text;
    for (int i = 0; i < 5; ++i) {
      std::string frame = framed(envelope("id", static_cast<std::uint32_t>(random()), noise(100)));
      switch (random() % 4) {
        case 0: frame = noise(50); break;
        case 1: frame = framed(std::string_view(noise(50))); break;
        case 2: frame[random() % frame.size()] ^= static_cast<char>(1 << random() % 8); break;
        case 3: break;
      }
      text += frame;
    }
    send_some(theirs_.get(), text);
    loop_.turn();
    theirs_.reset();
    loop_.turn();
    ASSERT_FALSE(open());
  }
  messages_.clear();
  send_some(sound.get(), framed(envelope("still served")));
  loop_.turn();
  EXPECT_THAT(messages_, SizeIs(1));
  EXPECT_EQ(loop_->source_count(), 1U);
  EXPECT_EQ(loop_->drain_count(), 1U);
  EXPECT_EQ(loop_->buffers().lent_bytes(), 0U);
}

TEST_F(ProtoBufSourceTest, EndsAConnectionWhoseMessageHasNoUsableId) {
  for (const std::string& id : {std::string(), std::string(40, 'i'), std::string(5000, 'i')}) {
    ends_.clear();
    loop_.sink.lines.clear();
    connect();
    send(framed(envelope(std::string(39, 'i'))) + framed(envelope(id)) + framed(envelope("after")));
    EXPECT_EQ(end(), Errc::BadFrame);
    EXPECT_THAT(closing_line(), AllOf(HasSubstr("correlation_id"), HasSubstr("expected 1 to 39"),
                                      HasSubstr(id.empty() ? "missing" : std::to_string(id.size()) + " bytes")));
  }
  EXPECT_THAT(messages_, SizeIs(3));
}

TEST_F(ProtoBufSourceTest, LetsTheProtocolAnswerAMessageWithoutAUsableId) {
  protocol_.on_refused = [&](const Envelope& message, std::string_view reason, ProtoBufDrain* drain) {
    drain->enqueue(envelope("refused", message.code(), std::string(reason)));
    return message.code() != 3;
  };
  send(framed(envelope("", 1)) + framed(envelope("fine")) + framed(envelope(std::string(40, 'i'), 2)));
  EXPECT_TRUE(open());
  EXPECT_THAT(messages_, SizeIs(1));
  const std::vector<Envelope> received = answers();
  ASSERT_THAT(received, SizeIs(2));
  EXPECT_THAT(received[0].body(), HasSubstr("missing"));
  EXPECT_THAT(received[1].body(), HasSubstr("40 bytes"));
  send(framed(envelope("", 3)) + framed(envelope("after")));
  EXPECT_EQ(end(), Errc::BadFrame);
}

TEST_F(ProtoBufSourceTest, TellsTheProtocolOfAnErrorInItsHandler) {
  handle_ = [](MessageEvent<Envelope>& event) {
    throw std::runtime_error("cannot do " + event.message().correlation_id());
  };
  send(framed(envelope("that")));
  EXPECT_EQ(loop_.sink.find("event not handled").fields["error"], "cannot do that");
  EXPECT_EQ(loop_.sink.find("event not handled").correlation_id, "that");
  protocol_.on_error = [](MessageEvent<Envelope>& event, const std::exception_ptr& error) {
    event.answer(envelope(event.message().correlation_id(), 500, describe(error)));
  };
  send(framed(envelope("this")));
  const std::vector<Envelope> received = answers();
  ASSERT_THAT(received, SizeIs(1));
  EXPECT_EQ(received.front().body(), "cannot do this");
  EXPECT_TRUE(open());
}

// --- deadlines ---

TEST_F(ProtoBufSourceTest, DoesNotBeginWhatItsSenderHasGivenUp) {
  protocol_.on_error = [](MessageEvent<Envelope>& event, const std::exception_ptr& error) {
    event.answer(envelope("late", 504, describe(error)));
  };
  handle_ = [&](MessageEvent<Envelope>& event) {
    if (event.message().code() == 1) loop_.poller.advance(100ms);
  };
  Envelope slow = envelope("slow", 1);
  Envelope hurried = envelope("hurried", 2);
  hurried.set_timeout_ms(100);
  Envelope patient = envelope("patient", 3);
  patient.set_timeout_ms(UINT64_MAX);
  // Both deadlines are known before the slow one begins.
  send_some(theirs_.get(), framed(hurried) + framed(patient));
  EventRef first = loop_->wait(0ns);
  EventRef second = loop_->wait(0ns);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->deadline(), loop_->now() + 100ms);
  EXPECT_GT(second->deadline(), loop_->now() + 24h * 365);
  send(framed(slow));
  loop_->dispatch(std::move(first));
  loop_->dispatch(std::move(second));
  loop_.turn();
  ASSERT_THAT(messages_, SizeIs(2));
  EXPECT_EQ(messages_.back().code(), 3U);
  const std::vector<Envelope> received = answers();
  ASSERT_THAT(received, SizeIs(1));
  EXPECT_THAT(received.front().body(), HasSubstr("deadline exceeded"));
}

TEST_F(ProtoBufSourceTest, TakesADeadlineOfASignedType) {
  std::vector<TimePoint> deadlines;
  ProtoBufProtocol<Impatient> protocol([&](MessageEvent<Impatient>& event) { deadlines.push_back(event.deadline()); });
  auto [ours, theirs] = make_socket_pair();
  connect_proto_buf(*loop_, Channel::make(*loop_, std::move(ours)), protocol);
  for (const std::int32_t timeout : {0, 50, -1}) {
    Impatient message;
    message.set_correlation_id("id");
    message.set_timeout_ms(timeout);
    send_some(theirs.get(), framed(message));
  }
  loop_.turn();
  EXPECT_THAT(deadlines, ElementsAre(kNever, loop_->now() + 50ms, kNever));
}

// --- peers that do not read ---

// Goal: a client that never reads is not read from either; memory stays within the watermarks; when it reads it gets
// all.
TEST_F(ProtoBufSourceTest, ReadsNoRequestsWhileItsAnswersAreNotRead) {
  const Watermarks watermarks{.high = 128 << 10, .low = 32 << 10};
  const Descriptor other = std::move(theirs_);
  connect(&watermarks);
  handle_ = [](MessageEvent<Envelope>& event) { event.answer(event.message()); };
  const std::string request = framed(envelope("id", 1, std::string(1000, 'r')));
  std::string pending;
  std::size_t sent = 0;
  std::size_t most_lent = 0;
  for (int i = 0; i < 3000; ++i) {
    if (pending.empty()) pending = request;
    const std::size_t taken = send_some(theirs_.get(), pending);
    pending.erase(0, taken);
    sent += taken;
    if (i % 100 == 0) {
      send_some(other.get(), framed(envelope("other")));
      loop_.turn();
      EXPECT_FALSE(receive_some(other.get()).empty());
    }
    loop_.turn();
    most_lent = std::max(most_lent, loop_->buffers().lent_bytes());
  }
  EXPECT_TRUE(loop_->source(connection_.source)->paused());
  EXPECT_LE(most_lent, watermarks.high + 4 * BufferPool::kLarge);
  while (!pending.empty()) {
    const std::size_t taken = send_some(theirs_.get(), pending);
    pending.erase(0, taken);
    sent += taken;
    receive_some(theirs_.get());
    loop_.turn();
  }
  for (int i = 0; i < 10'000 && !loop_->drain(connection_.drain)->empty(); ++i) {
    receive_some(theirs_.get());
    loop_.turn();
  }
  EXPECT_FALSE(loop_->source(connection_.source)->paused());
  EXPECT_EQ(loop_->drain(connection_.drain)->pending_bytes(), 0U);
  const auto answered =
      std::count_if(messages_.begin(), messages_.end(), [](const Envelope& message) { return message.code() == 1; });
  EXPECT_EQ(static_cast<std::size_t>(answered) * request.size(), sent);
}

// Goal: the side that asks reads on, however much it has to send, or two sides would wait for each other.
TEST_F(ProtoBufSourceTest, ReadsAnswersHoweverMuchIsToBeSent) {
  const Watermarks watermarks{.high = 1000, .low = 100};
  auto [ours, theirs] = make_socket_pair();
  const auto client = connect_proto_buf(*loop_, Channel::make(*loop_, std::move(ours)), protocol_, &watermarks);
  loop_->fetch<ProtoBufDrain>(client.drain)->enqueue(envelope("id", 1, std::string(2 << 20, 'x')));
  loop_.turn();
  EXPECT_TRUE(loop_->drain(client.drain)->congested());
  send_some(theirs.get(), framed(envelope("answer")));
  loop_.turn();
  EXPECT_THAT(messages_, SizeIs(1));
}

TEST_F(ProtoBufSourceTest, EndsAConnectionThatTakesNothingForTooLong) {
  handle_ = [](MessageEvent<Envelope>& event) { event.answer(envelope_of(4 << 20)); };
  send(framed(envelope("id")));
  loop_.pass(31s);
  EXPECT_EQ(end(), Errc::DrainStalled);
  EXPECT_EQ(loop_->source_count(), 0U);
  EXPECT_EQ(loop_->drain_count(), 0U);
}

}  // namespace
}  // namespace snowfox
