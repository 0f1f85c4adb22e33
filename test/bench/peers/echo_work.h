#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>

#include "echo.pb.h"

/// What the echo servers that SnowFox is compared with have in common. Nothing in here is SnowFox's.
namespace snowfox::peers {

using echo::Envelope;

inline constexpr std::size_t kHeaderBytes = 4;
inline constexpr std::size_t kMaxFrameBytes = 16U << 20;
/// So much is asked of the kernel at a time.
inline constexpr std::size_t kReceiveBytes = 64U << 10;
/// As SnowFox has it.
inline constexpr std::size_t kMaxCorrelationIdBytes = 39;

/// Bytes that grow at their end and are used up from their front. New room is not set to zero; memory is kept until
/// release().
class Bytes {
 public:
  Bytes() = default;
  Bytes(Bytes&& other) noexcept { swap(other); }
  Bytes& operator=(Bytes&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Bytes() { std::free(room_); }

  char* data() noexcept { return room_ + begin_; }
  const char* data() const noexcept { return room_ + begin_; }
  std::size_t size() const noexcept { return end_ - begin_; }
  bool empty() const noexcept { return begin_ == end_; }
  std::span<const char> span() const noexcept { return {data(), size()}; }
  std::size_t capacity() const noexcept { return capacity_; }

  /// Room for `bytes` more after the last one; they count when extend() says so.
  char* reserve(std::size_t bytes) {
    if (room_ == nullptr || capacity_ - end_ < bytes) make_room(bytes);
    return room_ + end_;
  }
  void extend(std::size_t bytes) noexcept { end_ += bytes; }
  void append(std::span<const char> bytes) {
    if (bytes.empty()) return;
    std::memcpy(reserve(bytes.size()), bytes.data(), bytes.size());
    extend(bytes.size());
  }
  void consume(std::size_t bytes) noexcept {
    begin_ += bytes;
    if (begin_ == end_) clear();
  }
  void clear() noexcept { begin_ = end_ = 0; }
  void release() noexcept {
    std::free(std::exchange(room_, nullptr));
    begin_ = end_ = capacity_ = 0;
  }
  void swap(Bytes& other) noexcept {
    std::swap(room_, other.room_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
    std::swap(capacity_, other.capacity_);
  }

 private:
  void make_room(std::size_t bytes) {
    if (begin_ != 0 && room_ != nullptr) {
      std::memmove(room_, room_ + begin_, size());
      end_ -= std::exchange(begin_, 0);
      if (capacity_ - end_ >= bytes) return;
    }
    const std::size_t capacity = std::max(end_ + bytes, capacity_ * 2);
    auto* room = static_cast<char*>(std::realloc(room_, capacity));
    if (room == nullptr) throw std::bad_alloc();
    room_ = room;
    capacity_ = capacity;
  }

  char* room_ = nullptr;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  std::size_t capacity_ = 0;
};

/// The length in a frame's header.
inline std::size_t frame_bytes(const char* header) noexcept {
  std::uint32_t size = 0;
  std::memcpy(&size, header, sizeof size);
  return __builtin_bswap32(size);
}

/// Whether it is what SnowFox takes for a message; `message` has been used before.
inline bool parse(std::span<const char> bytes, Envelope& message) {
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) && !message.correlation_id().empty() &&
         message.correlation_id().size() <= kMaxCorrelationIdBytes;
}

/// Appends `message` behind its length.
inline void append_frame(const Envelope& message, Bytes& output) {
  const std::size_t size = message.ByteSizeLong();
  char* place = output.reserve(kHeaderBytes + size);
  const std::uint32_t header = __builtin_bswap32(static_cast<std::uint32_t>(size));
  std::memcpy(place, &header, sizeof header);
  message.SerializeWithCachedSizesToArray(reinterpret_cast<std::uint8_t*>(place + kHeaderBytes));
  output.extend(kHeaderBytes + size);
}

inline constexpr std::size_t kMalformed = SIZE_MAX;

/// Calls `handle(message bytes)` for each whole frame that `received` begins with; it says false if the message is no
/// good. Returns how many bytes these frames have, or kMalformed.
template <typename Handle>
std::size_t for_each_frame(std::span<const char> received, Handle&& handle) {
  std::size_t taken = 0;
  while (received.size() - taken >= kHeaderBytes) {
    const std::size_t size = frame_bytes(received.data() + taken);
    if (size > kMaxFrameBytes) return kMalformed;
    if (received.size() - taken - kHeaderBytes < size) break;
    if (!handle(received.subspan(taken + kHeaderBytes, size))) return kMalformed;
    taken += kHeaderBytes + size;
  }
  return taken;
}

/// How many bytes are missing to the frame that `received` begins with, which is not whole; at least one.
inline std::size_t missing_bytes(std::span<const char> received) noexcept {
  if (received.size() < kHeaderBytes) return kHeaderBytes - received.size();
  return kHeaderBytes + frame_bytes(received.data()) - received.size();
}

/// What each server does with a message: reads it, adds one to its code, writes it.
class EchoWork {
 public:
  /// Answers the whole frames that `received` begins with. Returns how many bytes they have, or kMalformed.
  std::size_t answer(std::span<const char> received, Bytes& answers) {
    return for_each_frame(received, [&](std::span<const char> bytes) { return answer_one(bytes, answers); });
  }
  bool answer_one(std::span<const char> bytes, Bytes& answers) {
    if (!parse(bytes, message_)) return false;
    message_.set_code(message_.code() + 1);
    append_frame(message_, answers);
    return true;
  }

 private:
  Envelope message_;
};

/// Cuts a stream into frames for those who read into a buffer that all connections share: keeps what is not a whole
/// frame yet.
class Unframed {
 public:
  /// Where to read to, and how much. `shared` has room for 2 * kReceiveBytes: what is kept goes in front of what comes,
  /// so that a frame lies in one piece; only a large one is put together in memory of its own.
  std::span<char> room(char* shared) {
    in_shared_ = kept_.size() <= kReceiveBytes;
    if (in_shared_) {
      if (!kept_.empty()) std::memcpy(shared, kept_.data(), kept_.size());
      return {shared + kept_.size(), kReceiveBytes};
    }
    const std::size_t bytes = std::max(kReceiveBytes, missing_bytes(kept_.span()));
    return {kept_.reserve(bytes), bytes};
  }
  /// All that is there after `count` bytes have come to where room() said.
  std::span<const char> received(const char* shared, std::size_t count) {
    if (in_shared_) return {shared, kept_.size() + count};
    kept_.extend(count);
    return kept_.span();
  }
  /// Of `all`, which received() gave, so many were used.
  void used(std::span<const char> all, std::size_t count) {
    if (!in_shared_) {
      kept_.consume(count);
      if (kept_.empty()) kept_.release();
      return;
    }
    kept_.clear();
    if (count == all.size()) {
      kept_.release();
    } else {
      kept_.append(all.subspan(count));
    }
  }

 private:
  Bytes kept_;
  bool in_shared_ = true;
};

/// The same for those whose library wants the buffer before it waits: each connection has its own.
class OwnInput {
 public:
  /// Where to read to, and how much.
  std::span<char> room() {
    const std::size_t left = kReceiveBytes - std::min(kReceiveBytes, bytes_.size());
    const std::size_t bytes = std::max(left, missing_bytes(bytes_.span()));
    return {bytes_.reserve(bytes), bytes};
  }
  /// All that is there after `count` bytes have come to where room() said.
  std::span<const char> received(std::size_t count) {
    bytes_.extend(count);
    return bytes_.span();
  }
  /// Of what received() gave, so many were used.
  void used(std::size_t count) {
    bytes_.consume(count);
    if (bytes_.empty() && bytes_.capacity() > kReceiveBytes) bytes_.release();
  }

 private:
  Bytes bytes_;
};

}  // namespace snowfox::peers
