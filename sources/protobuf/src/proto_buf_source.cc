#include <snowfox/sources/proto_buf_source.h>

#include <google/protobuf/message_lite.h>

#if defined(__SANITIZE_ADDRESS__)
#define SNOWFOX_LEAK_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SNOWFOX_LEAK_SANITIZER 1
#endif
#endif
#ifdef SNOWFOX_LEAK_SANITIZER
#include <sanitizer/lsan_interface.h>
#endif

namespace snowfox {

EventRef FramedSource::parse_frame(ReceiveBuffer& received) {
  constexpr std::size_t kHeader = ProtoBufDrain::kHeaderBytes;
  // They are gone once a message has closed the connection.
  const std::size_t max_frame_bytes = static_cast<const ProtoBufOptions&>(options()).max_frame_bytes;
  for (;;) {
    const std::span<const std::byte> bytes = received.data();
    if (bytes.size() < kHeader) return nullptr;
    const auto byte = [&](std::size_t at) { return std::to_integer<std::size_t>(bytes[at]); };
    const std::size_t size = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
    if (size > max_frame_bytes) {
      throw ProtocolError(Errc::FrameTooLarge, "a frame of " + std::to_string(size) + " bytes was announced, at most " +
                                                   std::to_string(max_frame_bytes) + " are allowed");
    }
    if (bytes.size() < kHeader + size) {
      received.need(kHeader + size);
      return nullptr;
    }
    received.need(0);
    EventRef event = parse_message(bytes.subspan(kHeader, size), received);
    received.consume(kHeader + size);
    if (event != nullptr) return event;
  }
}

void throw_no_message(std::size_t bytes) {
  throw ProtocolError(Errc::BadFrame, "a frame of " + std::to_string(bytes) + " bytes is no message");
}

void parse_proto_buf(std::span<const std::byte> bytes, google::protobuf::MessageLite& message) {
  if (message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  throw ProtocolError(Errc::BadFrame,
                      "a frame of " + std::to_string(bytes.size()) + " bytes is no " + message.GetTypeName());
}

void lose_message([[maybe_unused]] const google::protobuf::MessageLite* message) noexcept {
#ifdef SNOWFOX_LEAK_SANITIZER
  __lsan_ignore_object(message);
#endif
}

}  // namespace snowfox
