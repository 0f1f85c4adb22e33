#pragma once

#include <concepts>
#include <cstddef>
#include <string_view>

#include <snowfox/core/loop_manager.h>
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
  template <std::derived_from<google::protobuf::MessageLite> Message>
  void enqueue(const Message& message) {
    const std::size_t bytes = enqueue_message(message);
    if constexpr (requires { std::string_view(message.correlation_id()); }) {
      if (bytes != 0 && !loop().lifecycle().step.empty()) tell_step(message.correlation_id(), bytes);
    }
  }

 private:
  /// So many bytes with the length, 0 if the drain takes none.
  std::size_t enqueue_message(const google::protobuf::MessageLite& message);
  void tell_step(std::string_view correlation_id, std::size_t bytes) noexcept;

  std::size_t max_frame_bytes_;
};

}  // namespace snowfox
