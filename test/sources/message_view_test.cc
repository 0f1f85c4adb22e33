#include <snowfox/sources/message_view.h>

#include <sys/socket.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <snowfox/drains/wire_message.h>
#include <snowfox/sources/proto_buf_source.h>

#include "support/framed.h"
#include "support/manual_loop.h"
#include "support/sockets.h"
#include "test_messages.pb.h"

namespace snowfox {
namespace {

using test::Envelope;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

using View = EnvelopeView<EnvelopeFields{.correlation_id = 1, .code = 2, .timeout_ms = 4}>;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}
std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Envelope envelope(const std::string& id, std::uint32_t code, const std::string& body) {
  Envelope message;
  message.set_correlation_id(id);
  message.set_code(code);
  message.set_body(body);
  return message;
}

/// A message that lies in a buffer, as one that was received does.
class Received {
 public:
  explicit Received(std::string_view bytes) {
    buffer.append(bytes_of(bytes));
    whole = view.read(buffer, buffer.data());
  }
  BufferPool pool;
  ReceiveBuffer buffer{pool};
  View view;
  bool whole = false;
};

TEST(MessageViewTest, KnowsItsEnvelope) {
  Envelope message = envelope("client-7/42", 300, "body");
  message.set_timeout_ms(std::uint64_t{1} << 40);
  const Received received(message.SerializeAsString());
  ASSERT_TRUE(received.whole);
  EXPECT_EQ(received.view.correlation_id(), "client-7/42");
  EXPECT_EQ(received.view.code(), 300U);
  EXPECT_EQ(received.view.timeout_ms(), std::uint64_t{1} << 40);
  EXPECT_EQ(received.view.text(3), "body");
  EXPECT_EQ(received.view.integer(2), 300U);
  EXPECT_EQ(received.view.integer(3), std::nullopt);
  EXPECT_EQ(received.view.text(2), std::nullopt);
  EXPECT_EQ(received.view.bytes(9), std::nullopt);
}

TEST(MessageViewTest, HasNothingOfAnEmptyMessage) {
  const Received received("");
  EXPECT_TRUE(received.whole);
  EXPECT_EQ(received.view.correlation_id(), "");
  EXPECT_EQ(received.view.code(), 0U);
  EXPECT_THAT(received.view.wire(), IsEmpty());
}

TEST(MessageViewTest, GoesByTheLastOfAField) {
  const Received received(envelope("first", 1, "a").SerializeAsString() +
                          envelope("second", 2, "b").SerializeAsString());
  EXPECT_EQ(received.view.correlation_id(), "second");
  EXPECT_EQ(received.view.code(), 2U);
  EXPECT_EQ(received.view.text(3), "b");
}

TEST(MessageViewTest, KnowsFieldsOfEveryLayout) {
  using namespace std::string_literals;
  // 5: fixed32, 6: fixed64, 7: a group with a field and another group in it, 8: bytes
  const std::string message =
      "\x2d\x01\x02\x03\x04"s + "\x31\x01\x02\x03\x04\x05\x06\x07\x08"s + "\x3b\x08\x01\x43\x44\x3c"s + "\x42\x01z"s;
  const Received received(message);
  ASSERT_TRUE(received.whole);
  EXPECT_EQ(received.view.integer(5), 0x04030201U);
  EXPECT_EQ(received.view.integer(6), 0x0807060504030201U);
  EXPECT_EQ(received.view.text(8), "z");
  std::vector<std::string> all;
  std::vector<std::uint32_t> numbers;
  received.view.for_each([&](const WireField& field) {
    numbers.push_back(field.number);
    all.push_back(text_of(field.whole));
  });
  EXPECT_THAT(numbers, ElementsAre(5, 6, 7, 8));
  EXPECT_EQ(all[2], "\x3b\x08\x01\x43\x44\x3c");
}

TEST(MessageViewTest, RefusesWhatIsNoMessage) {
  using namespace std::string_literals;
  for (const std::string& nonsense : {"\x08"s, "\x08\x80"s,
                                      "\x0a\x05"
                                      "abc"s,
                                      "\x2d\x01\x02"s, "\x31\x01"s, "\x00\x01"s, "\x0e"s, "\x0c"s, "\x3b"s, "\x3b\x44"s,
                                      "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s,
                                      "\x0a\xff\xff\xff\xff\x0f"
                                      "a"s,
                                      std::string(300, '\x3b')}) {
    const Received received(nonsense);
    EXPECT_FALSE(received.whole) << testing::PrintToString(nonsense);
  }
}

TEST(MessageViewTest, RefusesACorrelationIdThatIsNoText) {
  EXPECT_FALSE(Received("\x0a\x02\xc3(").whole);
  EXPECT_TRUE(Received("\x0a\x02\xc3\xa9").whole);
}

TEST(MessageViewTest, KnowsUtf8) {
  for (const std::string_view text : {"", "plain", "12345678", "\xc3\xa9", "12345678\xe2\x82\xac", "\xf0\x9f\xa6\x8a",
                                      "\xed\x9f\xbf", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(valid_utf8(text)) << text;
  }
  for (const std::string_view text :
       {"\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80", "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80", "12345678\xff", "\xe2\x82", "\xe2(\xa1"}) {
    EXPECT_FALSE(valid_utf8(text)) << testing::PrintToString(text);
  }
}

TEST(MessageViewTest, ParsesThePayloadAlone) {
  test::Note note;
  note.set_text("hello");
  Envelope message = envelope("id", 1, note.SerializeAsString());
  const Received received(message.SerializeAsString());
  test::Note parsed;
  EXPECT_TRUE(received.view.parse(3, parsed));
  EXPECT_EQ(parsed.text(), "hello");
  EXPECT_FALSE(received.view.parse(9, parsed));
  EXPECT_EQ(parsed.text(), "");
  const Received nonsense(envelope("id", 1, "\x08").SerializeAsString());
  EXPECT_THROW(nonsense.view.parse(3, parsed), ProtocolError);
}

// --- where the bytes lie ---

TEST(MessageViewTest, KeepsItsBytesWhenTheBufferMovesThem) {
  Received received(envelope("kept", 7, std::string(1000, 'x')).SerializeAsString());
  const auto* where = received.view.wire().data();
  received.buffer.consume(received.buffer.data().size());
  EXPECT_EQ(received.view.wire().data(), where) << "copied for nothing";
  received.buffer.clear();
  EXPECT_NE(received.view.wire().data(), where);
  EXPECT_EQ(received.view.correlation_id(), "kept");
  EXPECT_EQ(received.view.text(3), std::string(1000, 'x'));
}

// --- what is sent ---

/// What protobuf makes of it.
Envelope parsed(const EditedMessage& message) {
  std::string wire(message.wire_size(), '\0');
  message.write_wire(reinterpret_cast<std::byte*>(wire.data()));
  Envelope envelope;
  EXPECT_TRUE(envelope.ParseFromString(wire));
  return envelope;
}

// Goal: whatever the message was like, with another code it is the same message with that code.
TEST(EditedMessageTest, HasAnotherCodeAndElseWhatItHad) {
  const std::string unknown = "\xa2\x06\x03new";  // field 100
  const std::string code = "\x10\x07";
  const std::string fixed_code = "\x15\x01\x02\x03\x04";  // of another type: for protobuf another field
  const std::string id = "\x0a\x02id";
  const std::string body =
      "\x1a\x04"
      "body";
  for (const std::string& wire : {id + code + body, body + unknown + code + id, id + body, code + id + code + body,
                                  id + fixed_code + body, id + fixed_code + code + body, code}) {
    for (const std::uint32_t to : {0U, 8U, 200U, 0xffff'ffffU}) {
      const Received received(wire);
      ASSERT_TRUE(received.whole);
      Envelope expected;
      ASSERT_TRUE(expected.ParseFromString(wire));
      expected.set_code(to);
      const EditedMessage edited = received.view.with_code(to);
      EXPECT_EQ(parsed(edited).SerializeAsString(), expected.SerializeAsString()) << to;
      EXPECT_EQ(edited.correlation_id(), expected.correlation_id());
    }
  }
}

TEST(EditedMessageTest, IsNoLongerThanItMustBe) {
  EXPECT_EQ(Received(envelope("id", 7, "body").SerializeAsString()).view.with_code(8).wire_size(),
            envelope("id", 8, "body").ByteSizeLong());
}

TEST(EditedMessageTest, OfNoMessageIsTheCodeAlone) {
  View none;
  EXPECT_EQ(parsed(none.with_code(7)).SerializeAsString(), envelope("", 7, "").SerializeAsString());
}

TEST(MessageViewTest, MovesWithWhatItLooksAt) {
  Received received(envelope("id", 7, "body").SerializeAsString());
  View moved = std::move(received.view);
  EXPECT_EQ(moved.text(3), "body");
  EXPECT_THAT(received.view.wire(), IsEmpty());
  received.buffer.clear();  // whoever looks at it has a copy now
  EXPECT_EQ(moved.correlation_id(), "id");
  EXPECT_EQ(moved.code(), 7U);
  EXPECT_EQ(moved.text(3), "body");
  View again;
  again = std::move(moved);
  EXPECT_EQ(again.text(3), "body");
}

TEST(WireMessageTest, IsWhatProtobufReads) {
  const std::string body(300, 'b');
  WireMessage message;
  message.text(1, "an id").integer(2, 300).bytes(3, bytes_of(body));
  std::string wire(message.wire_size(), '\0');
  message.write_wire(reinterpret_cast<std::byte*>(wire.data()));
  Envelope read;
  ASSERT_TRUE(read.ParseFromString(wire));
  EXPECT_EQ(read.SerializeAsString(), envelope("an id", 300, body).SerializeAsString());
}

// Goal: a program that passes messages on loses no field that it does not know.
TEST(WireMessageTest, TakesWhatItDoesNotHaveFromAnother) {
  using namespace std::string_literals;
  Envelope message = envelope("an id", 7, "body");
  message.set_timeout_ms(9);
  const Received received("\xa2\x06\x03new"s + message.SerializeAsString() + "\xa8\x06\x05"s);
  WireMessage answer;
  answer.integer(2, 8).text(1, "another").others(received.view);
  std::string wire(answer.wire_size(), '\0');
  answer.write_wire(reinterpret_cast<std::byte*>(wire.data()));
  EXPECT_EQ(wire,
            "\x10\x08\x0a\x07"
            "another"s +
                "\xa2\x06\x03new\x1a\x04"
                "body\x20\x09\xa8\x06\x05"s);
}

TEST(WireMessageTest, RefusesMoreThanItHasRoomFor) {
  WireMessage message;
  for (std::uint32_t i = 1; i <= WireMessage::kMostPieces; ++i) message.integer(i, UINT64_MAX);
  EXPECT_THROW(message.integer(99, 1), std::length_error);
  EXPECT_EQ(message.wire_size(), 15 * 11 + 9 * 12);
}

// --- over a connection ---

class EnvelopeViewTest : public testing::Test {
 protected:
  EnvelopeViewTest() {
    protocol_.on_closed = [this](SourceId, std::error_code why) { end_ = why; };
    auto [ours, theirs] = make_socket_pair();
    theirs_ = std::move(theirs);
    connection_ = serve_proto_buf(*loop_, Channel::make(*loop_, std::move(ours)), protocol_);
  }
  void send(std::string_view bytes) { ASSERT_EQ(send_some(theirs_.get(), bytes), bytes.size()); }
  std::vector<std::string> answers() {
    std::vector<std::string> all;
    for (const std::string& text : unframed(receive_some(theirs_.get()))) {
      Envelope message;
      EXPECT_TRUE(message.ParseFromString(text));
      all.push_back(message.correlation_id() + " " + std::to_string(message.code()) + " " + message.body());
    }
    return all;
  }

  ManualLoop loop_;
  ProtoBufProtocol<View> protocol_{[](MessageEvent<View>& request) {
    EXPECT_EQ(request.correlation_id().text(), request.message().correlation_id());
    request.answer(request.message().with_code(request.message().code() + 1));
  }};
  Descriptor theirs_;
  ProtoBufConnection connection_{};
  std::error_code end_;
};

TEST_F(EnvelopeViewTest, AnswersWithoutParsing) {
  send(framed(envelope("first", 7, "body")) + framed(envelope("second", 8, std::string(5000, 'x'))));
  loop_.turn();
  EXPECT_THAT(answers(), ElementsAre("first 8 body", "second 9 " + std::string(5000, 'x')));
}

TEST_F(EnvelopeViewTest, PassesMessagesOnAsTheyCame) {
  protocol_.on_message = [](MessageEvent<View>& request) { request.answer(request.message()); };
  send(framed(envelope("first", 7, "body")));
  loop_.turn();
  EXPECT_THAT(answers(), ElementsAre("first 7 body"));
}

TEST_F(EnvelopeViewTest, ClosesTheConnectionThatSendsNoMessage) {
  send(framed(std::string_view("\x0a\x7f")));
  loop_.turn();
  EXPECT_EQ(end_, Errc::BadFrame);
}

TEST_F(EnvelopeViewTest, RefusesAMessageWithoutACorrelationId) {
  send(framed(envelope("", 7, "body")));
  loop_.turn();
  EXPECT_EQ(end_, Errc::BadFrame);
}

// Goal: an event may be kept, and its message with it, whatever its connection receives meanwhile or comes to.
TEST_F(EnvelopeViewTest, MayBeKept) {
  send(framed(envelope("first", 1, "one")) + framed(envelope("second", 2, "two")));
  EventRef first = loop_->wait(Duration::zero());
  EventRef second = loop_->wait(Duration::zero());
  ASSERT_NE(second, nullptr);
  send(framed(envelope("third", 3, std::string(100'000, 'x'))));
  EventRef third;
  while (third == nullptr) third = loop_->wait(Duration::zero());
  theirs_.reset();
  while (EventRef last = loop_->wait(Duration::zero())) loop_->dispatch(std::move(last));
  for (const auto& [event, id, body] :
       {std::tuple(&first, "first", std::string("one")), std::tuple(&second, "second", std::string("two")),
        std::tuple(&third, "third", std::string(100'000, 'x'))}) {
    auto& message = static_cast<MessageEvent<View>&>(**event).message();
    EXPECT_EQ(message.correlation_id(), id);
    EXPECT_EQ(message.text(3), body);
  }
}

TEST_F(EnvelopeViewTest, MayBeTakenOutOfItsEvent) {
  ProtoBufProtocol<View>::MessageRef taken;
  protocol_.on_message = [&](MessageEvent<View>& request) { taken = request.take_message(); };
  send(framed(envelope("first", 1, "one")));
  loop_.turn();
  loop_->remove(connection_.source);
  loop_.turn();
  EXPECT_EQ(taken->text(3), "one");
}

}  // namespace
}  // namespace snowfox
