#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string_view>

namespace snowfox {

/// A protobuf message that is put together from fields, by their numbers in the .proto file, and written straight into
/// a drain: without a generated class, and with what others have sent as it is.
///
///     drain.enqueue(WireMessage().text(1, id).integer(2, code).bytes(3, body));
///
/// Texts and bytes are borrowed until it is enqueued. A field belongs in it once, unless it is repeated. What protobuf
/// would leave out because it is zero or empty is written.
class WireMessage {
 public:
  /// So many fields at most; what others() adds in one piece counts as one.
  static constexpr std::size_t kMostPieces = 24;

  WireMessage() = default;
  WireMessage(const WireMessage&) = delete;
  WireMessage& operator=(const WireMessage&) = delete;

  // All of them throw std::length_error if it has kMostPieces fields.

  /// An integer, a bool, an enum. A sint32 or sint64 is to be zigzag-encoded by who calls.
  WireMessage& integer(std::uint32_t number, std::uint64_t value) {
    std::byte* const begin = own_.data() + own_bytes_;
    std::byte* end = put_varint(put_varint(begin, std::uint64_t{number} << 3), value);
    return add(number, {begin, end}, {});
  }
  WireMessage& bytes(std::uint32_t number, std::span<const std::byte> value) {
    std::byte* const begin = own_.data() + own_bytes_;
    std::byte* end = put_varint(put_varint(begin, std::uint64_t{number} << 3 | 2), value.size());
    return add(number, {begin, end}, value);
  }
  /// Must be UTF-8.
  WireMessage& text(std::uint32_t number, std::string_view value) {
    return bytes(number, std::as_bytes(std::span(value.data(), value.size())));
  }
  /// All fields of `message`, a MessageView, whose numbers this one does not have.
  template <typename View>
  WireMessage& others(const View& message) {
    const std::size_t mine = pieces_;
    message.for_each([&](const auto& field) {
      for (std::size_t i = 0; i < mine; ++i) {
        if (all_[i].number == field.number) return;
      }
      if (pieces_ > mine && all_[pieces_ - 1].ends_at(field.whole.data())) {
        std::span<const std::byte>& last = all_[pieces_ - 1].borrowed;
        last = {last.data(), last.size() + field.whole.size()};
        size_ += field.whole.size();
      } else {
        add(0, {}, field.whole);
      }
    });
    return *this;
  }

  std::size_t wire_size() const noexcept { return size_; }
  void write_wire(std::byte* to) const noexcept {
    for (std::size_t i = 0; i < pieces_; ++i) {
      for (const std::span<const std::byte> part : {all_[i].head, all_[i].borrowed}) {
        if (!part.empty()) std::memcpy(to, part.data(), part.size());
        to += part.size();
      }
    }
  }

 private:
  struct Piece {
    std::span<const std::byte> head;      // its tag and length, or its tag and value, in own_
    std::span<const std::byte> borrowed;  // then this
    std::uint32_t number;

    bool ends_at(const std::byte* place) const noexcept { return borrowed.data() + borrowed.size() == place; }
  };
  static constexpr std::size_t kLongestHead = 5 + 10;

  static std::byte* put_varint(std::byte* at, std::uint64_t value) noexcept {
    for (; value >= 0x80; value >>= 7) *at++ = static_cast<std::byte>(value | 0x80);
    *at++ = static_cast<std::byte>(value);
    return at;
  }
  WireMessage& add(std::uint32_t number, std::span<const std::byte> head, std::span<const std::byte> borrowed) {
    if (pieces_ == kMostPieces) throw std::length_error("a WireMessage has no room for more fields");
    all_[pieces_++] = {head, borrowed, number};
    own_bytes_ += head.size();
    size_ += head.size() + borrowed.size();
    return *this;
  }

  std::size_t size_ = 0;
  std::size_t pieces_ = 0;
  std::size_t own_bytes_ = 0;
  std::array<Piece, kMostPieces> all_;
  std::array<std::byte, (kMostPieces + 1) * kLongestHead> own_;
};

}  // namespace snowfox
