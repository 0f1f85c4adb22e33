// A message looked at in place is what protobuf makes of it, and what is put together of its fields is the same
// message.
#include <snowfox/sources/message_view.h>

#include <string>
#include <vector>

#include <snowfox/drains/wire_message.h>

#include "fuzz.h"
#include "test_messages.pb.h"

using namespace snowfox;
using View = EnvelopeView<EnvelopeFields{.correlation_id = 1, .code = 2, .timeout_ms = 4}>;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view wire(reinterpret_cast<const char*>(data), size);
  BufferPool pool;
  ReceiveBuffer buffer(pool);
  buffer.append(std::as_bytes(std::span(wire.data(), wire.size())));
  View view;
  const bool whole = view.read(buffer, buffer.data());
  test::Envelope parsed;
  const bool known = parsed.ParseFromArray(data, static_cast<int>(size));
  demand(whole || !known, "what protobuf reads is refused");
  if (!known) return 0;

  demand(view.correlation_id() == parsed.correlation_id(), "another correlation id than protobuf's");
  demand(view.code() == parsed.code(), "another code than protobuf's");
  demand(view.timeout_ms() == parsed.timeout_ms(), "another timeout than protobuf's");
  const auto body = view.bytes(3);
  demand(std::string_view(body ? reinterpret_cast<const char*>(body->data()) : "", body ? body->size() : 0) ==
             parsed.body(),
         "another body than protobuf's");
  std::size_t fields = 0;
  bool strange_code = false;  // for protobuf another field, which it keeps
  std::size_t bytes = 0;
  view.for_each([&](const WireField& field) {
    ++fields;
    bytes += field.whole.size();
    strange_code = strange_code || (field.number == 2 && field.type != WireType::Varint);
    demand(field.number != 0, "a field without a number");
  });
  demand(bytes == size, "the fields are not all of the message");

  buffer.clear();
  demand(view.correlation_id() == parsed.correlation_id(), "another correlation id when the buffer is gone");
  const std::uint32_t other_code = view.code() ^ 0x155;
  const EditedMessage edited = view.with_code(other_code);
  std::string answer(edited.wire_size(), '\0');
  edited.write_wire(reinterpret_cast<std::byte*>(answer.data()));
  test::Envelope answered;
  demand(answered.ParseFromString(answer), "protobuf does not read what has another code");
  test::Envelope expected = parsed;
  expected.set_code(other_code);
  demand(answered.SerializeAsString() == expected.SerializeAsString(), "more than the code was changed");
  if (fields > WireMessage::kMostPieces / 2 || strange_code) return 0;
  WireMessage copy;
  copy.integer(2, view.code()).others(view);
  std::string written(copy.wire_size(), '\0');
  copy.write_wire(reinterpret_cast<std::byte*>(written.data()));
  test::Envelope again;
  demand(again.ParseFromString(written), "protobuf does not read what was put together");
  demand(again.SerializeAsString() == parsed.SerializeAsString(), "another message when put together");
  return 0;
}
