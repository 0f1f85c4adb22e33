#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "peers/echo_work.h"

namespace snowfox::peers {

/// A request that was sent: what its answer must be like.
struct Request {
  static constexpr std::size_t kIdBytes = 36;
  std::array<char, kIdBytes> id;
  std::uint32_t code = 0;
  std::uint64_t sent_at = 0;  ///< in nanoseconds
};

/// Makes requests, each with an id, a code and a body of its own, and tells whether an answer is the right one. Makes
/// the bytes itself, so that the one who measures is cheap beside what is measured.
class EchoRequests {
 public:
  /// `body_bytes` must not be zero.
  explicit EchoRequests(std::size_t body_bytes) : body_bytes_(body_bytes), bodies_(body_bytes + kBodies, '\0') {
    std::mt19937 random(7);
    for (char& byte : bodies_) byte = static_cast<char>(random());
    for (std::size_t i = 0; i < 256; ++i) {
      hex_[2 * i] = "0123456789abcdef"[i >> 4];
      hex_[2 * i + 1] = "0123456789abcdef"[i & 15];
    }
    Envelope message;
    message.set_correlation_id(std::string(Request::kIdBytes, '-'));
    message.set_code(kFirstCode);
    message.set_body(bodies_.substr(0, body_bytes));
    Bytes frame;
    append_frame(message, frame);
    frame_.assign(frame.data(), frame.data() + frame.size());
  }

  std::size_t frame_bytes() const noexcept { return frame_.size(); }

  /// Appends a new request to `output`, and says in `request` what it was.
  void make(Request& request, Bytes& output) {
    request.code = kFirstCode + (next_++ % kCodes);
    write_id(request.id.data());
    char* frame = output.reserve(frame_.size());
    write(request, request.code, frame);
    output.extend(frame_.size());
  }

  /// Whether `message`, a frame without its header, answers `request`.
  bool answers(const Request& request, std::span<const char> message) {
    // In practice they are byte for byte what protobuf makes of it; if not, they may still be right.
    return is_canonical(request, message) || is_equivalent(request, message);
  }
  /// Whether it has the id of `request`, if it is one.
  bool has_id_of(const Request& request, std::span<const char> message) {
    return message_.ParseFromArray(message.data(), static_cast<int>(message.size())) &&
           message_.correlation_id() == std::string_view(request.id.data(), request.id.size());
  }

 private:
  // Codes of two bytes, so that all frames have the same length, those of the answers, too.
  static constexpr std::uint32_t kFirstCode = 128;
  static constexpr std::uint32_t kCodes = 16'000;
  static constexpr std::size_t kBodies = 251;
  static constexpr std::size_t kIdAt = kHeaderBytes + 2;
  static constexpr std::size_t kCodeAt = kIdAt + Request::kIdBytes + 1;
  static constexpr std::size_t kBodyHeaderAt = kCodeAt + 2;

  const char* body(std::uint32_t code) const noexcept { return bodies_.data() + code % kBodies; }

  void write(const Request& request, std::uint32_t code, char* frame) const noexcept {
    const std::size_t body_at = frame_.size() - body_bytes_;
    std::memcpy(frame, frame_.data(), body_at);
    std::memcpy(frame + kIdAt, request.id.data(), Request::kIdBytes);
    frame[kCodeAt] = static_cast<char>((code & 0x7f) | 0x80);
    frame[kCodeAt + 1] = static_cast<char>(code >> 7);
    std::memcpy(frame + body_at, body(request.code), body_bytes_);
  }

  // 8-4-4-4-12 hexadecimal digits, as a UUID has them.
  void write_id(char* text) noexcept {
    std::array<std::uint64_t, 2> bits{random_(), random_()};
    std::array<unsigned char, 16> bytes;
    std::memcpy(bytes.data(), bits.data(), bytes.size());
    std::size_t at = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      if (i == 4 || i == 6 || i == 8 || i == 10) text[at++] = '-';
      std::memcpy(text + at, &hex_[std::size_t{2} * bytes[i]], 2);
      at += 2;
    }
  }

  bool is_canonical(const Request& request, std::span<const char> message) const noexcept {
    if (message.size() != frame_.size() - kHeaderBytes) return false;
    const char* bytes = message.data() - kHeaderBytes;  // where the frame begins, whose header is not looked at
    const std::uint32_t code = request.code + 1;
    const std::size_t body_at = frame_.size() - body_bytes_;
    return std::memcmp(message.data(), frame_.data() + kHeaderBytes, kIdAt - kHeaderBytes) == 0 &&
           std::memcmp(bytes + kIdAt, request.id.data(), Request::kIdBytes) == 0 &&
           bytes[kCodeAt - 1] == frame_[kCodeAt - 1] && bytes[kCodeAt] == static_cast<char>((code & 0x7f) | 0x80) &&
           bytes[kCodeAt + 1] == static_cast<char>(code >> 7) &&
           std::memcmp(bytes + kBodyHeaderAt, frame_.data() + kBodyHeaderAt, body_at - kBodyHeaderAt) == 0 &&
           std::memcmp(bytes + body_at, body(request.code), body_bytes_) == 0;
  }
  bool is_equivalent(const Request& request, std::span<const char> message) {
    return has_id_of(request, message) && message_.code() == request.code + 1 &&
           message_.body() == std::string_view(body(request.code), body_bytes_);
  }

  std::size_t body_bytes_;
  std::string bodies_;  // each body is a part of it that begins elsewhere
  std::vector<char> frame_;
  std::array<char, 512> hex_{};
  std::mt19937_64 random_{42};
  std::uint32_t next_ = 0;
  Envelope message_;
};

}  // namespace snowfox::peers
