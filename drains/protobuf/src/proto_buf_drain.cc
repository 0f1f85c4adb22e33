#include <snowfox/drains/proto_buf_drain.h>

#include <google/protobuf/message_lite.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include <snowfox/core/error.h>

namespace snowfox {

ProtoBufDrain::ProtoBufDrain(LoopManager& loop, ChannelRef channel, const Watermarks* watermarks,
                             std::size_t max_frame_bytes)
    : StreamDrain(loop, std::move(channel), watermarks) {
  // Its length is to fit into the header.
  max_frame_bytes_ = static_cast<std::uint32_t>(std::min<std::size_t>(max_frame_bytes, UINT32_MAX));
}

std::size_t ProtoBufDrain::enqueue_message(const google::protobuf::MessageLite& message) {
  const std::size_t size = message.ByteSizeLong();
  std::byte* const to = begin_frame(size, &message);
  if (to == nullptr) return 0;
  message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(to));
  commit(kHeaderBytes + size);
  return kHeaderBytes + size;
}

void ProtoBufDrain::too_large(std::size_t bytes, const google::protobuf::MessageLite* message) const {
  throw ProtocolError(Errc::FrameTooLarge, "a " + (message != nullptr ? message->GetTypeName() : "message") + " of " +
                                               std::to_string(bytes) + " bytes, at most " +
                                               std::to_string(max_frame_bytes_) + " are allowed");
}

void ProtoBufDrain::tell_step(std::string_view correlation_id, std::size_t bytes) noexcept {
  if (const auto id = CorrelationId::parse(correlation_id)) added_message(*id, bytes);
}

}  // namespace snowfox
