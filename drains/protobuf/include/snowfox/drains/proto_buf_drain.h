#pragma once

#include <cstddef>
#include <string>

#include <snowfox/drains/stream_drain.h>

namespace google::protobuf {
class MessageLite;
}

namespace snowfox {

/// Sends messages, each preceded by its length: 4 bytes, most significant first. They are written straight into the
/// drain's buffers.
class ProtoBufDrain final : public StreamDrain {
 public:
  static constexpr std::size_t kHeaderBytes = 4;

  ProtoBufDrain(LoopManager& loop, ChannelRef channel, const Watermarks* watermarks = nullptr,
                std::size_t max_frame_bytes = 16U << 20);

  using StreamDrain::enqueue;
  /// Throws std::system_error(Errc::FrameTooLarge), and enqueues nothing, if `message` is longer than the limit: the
  /// other side would refuse it.
  void enqueue(const google::protobuf::MessageLite& message);

 private:
  std::size_t max_frame_bytes_;
};

}  // namespace snowfox
