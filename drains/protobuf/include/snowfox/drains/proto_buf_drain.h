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
    tell(message, enqueue_message(message));
  }
  /// The same with what knows how long it is and how to write itself: a MessageView, a WireMessage.
  template <typename Message>
  requires requires(const Message& message, std::byte* to) {
    std::size_t{message.wire_size()};
    message.write_wire(to);
  }
  void enqueue(const Message& message) {
    const std::size_t size = message.wire_size();
    std::byte* const to = begin_frame(size);
    if (to == nullptr) return;
    message.write_wire(to);
    commit(kHeaderBytes + size);
    tell(message, kHeaderBytes + size);
  }

 private:
  template <typename Message>
  void tell(const Message& message, std::size_t bytes) {
    if constexpr (requires { std::string_view(message.correlation_id()); }) {
      if (bytes != 0 && !loop().lifecycle().step.empty()) tell_step(message.correlation_id(), bytes);
    }
  }
  /// Where a message of so many bytes is to be written, after its length; null if the drain takes none. `message`,
  /// which may be null, is named if it is too long.
  std::byte* begin_frame(std::size_t size, const google::protobuf::MessageLite* message = nullptr) {
    if (size > max_frame_bytes_) too_large(size, message);
    const std::span<std::byte> room = reserve(kHeaderBytes + size);
    if (room.empty()) return nullptr;
    for (std::size_t i = 0; i < kHeaderBytes; ++i) {
      room[i] = static_cast<std::byte>(size >> (8 * (kHeaderBytes - 1 - i)));
    }
    return room.data() + kHeaderBytes;
  }
  [[noreturn]] void too_large(std::size_t bytes, const google::protobuf::MessageLite* message) const;
  /// So many bytes with the length, 0 if the drain takes none.
  std::size_t enqueue_message(const google::protobuf::MessageLite& message);
  void tell_step(std::string_view correlation_id, std::size_t bytes) noexcept;
};

}  // namespace snowfox
