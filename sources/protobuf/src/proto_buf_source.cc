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

void FramedSource::too_large(std::size_t bytes, std::size_t most) {
  throw ProtocolError(Errc::FrameTooLarge, "a frame of " + std::to_string(bytes) + " bytes was announced, at most " +
                                               std::to_string(most) + " are allowed");
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
