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

  WireMessage() noexcept {}  // = default would clear it all where it is made by {}
  WireMessage(const WireMessage&) = delete;
  WireMessage& operator=(const WireMessage&) = delete;

  // All of them throw std::length_error if it has kMostPieces fields.

  /// An integer, a bool, an enum. A sint32 or sint64 is to be zigzag-encoded by who calls.
  WireMessage& integer(std::uint32_t number, std::uint64_t value) {
    begin_field(number);
    add_head(std::uint64_t{number} << 3, value);
    return *this;
  }
  WireMessage& bytes(std::uint32_t number, std::span<const std::byte> value) {
    begin_field(number);
    add_head(std::uint64_t{number} << 3 | 2, value.size());
    add(value.data(), value.size());
    return *this;
  }
  /// Must be UTF-8.
  WireMessage& text(std::uint32_t number, std::string_view value) {
    return bytes(number, std::as_bytes(std::span(value.data(), value.size())));
  }
  /// All fields of `message`, a MessageView, whose numbers this one does not have.
  template <typename View>
  WireMessage& others(const View& message) {
    const std::size_t mine = fields_;
    const std::byte* end = nullptr;  // of what was added last
    message.for_each([&](const auto& field) {
      for (std::size_t i = 0; i < mine; ++i) {
        if (numbers_[i] == field.number) return;
      }
      if (field.whole.data() == end) {
        parts_[part_count_ - 1].size += field.whole.size();
        size_ += field.whole.size();
      } else {
        begin_field(0);
        add(field.whole.data(), field.whole.size());
      }
      end = field.whole.data() + field.whole.size();
    });
    return *this;
  }

  std::size_t wire_size() const noexcept { return size_; }
  void write_wire(std::byte* to) const noexcept {
    for (std::size_t i = 0; i < part_count_; ++i) {
      std::memcpy(to, parts_[i].data, parts_[i].size);
      to += parts_[i].size;
    }
  }

 private:
  struct Part {
    const std::byte* data;
    std::size_t size;
  };
  static constexpr std::size_t kLongestHead = 5 + 10;

  void begin_field(std::uint32_t number) {
    if (fields_ == kMostPieces) throw std::length_error("a WireMessage has no room for more fields");
    numbers_[fields_++] = number;
  }
  void add(const std::byte* data, std::size_t size) noexcept {
    if (size == 0) return;
    parts_[part_count_++] = {data, size};
    size_ += size;
  }
  /// A tag and what comes right after it, its value or its length.
  void add_head(std::uint64_t tag, std::uint64_t value) noexcept {
    std::byte* const begin = own_.data() + own_bytes_;
    std::byte* const end = put_varint(put_varint(begin, tag), value);
    own_bytes_ += static_cast<std::size_t>(end - begin);
    add(begin, static_cast<std::size_t>(end - begin));
  }
  static std::byte* put_varint(std::byte* at, std::uint64_t value) noexcept {
    for (; value >= 0x80; value >>= 7) *at++ = static_cast<std::byte>(value | 0x80);
    *at++ = static_cast<std::byte>(value);
    return at;
  }

  std::size_t size_ = 0;
  std::size_t fields_ = 0;
  std::size_t part_count_ = 0;
  std::size_t own_bytes_ = 0;
  // Written before they are read, and too much to be cleared for each message.
  std::array<std::uint32_t, kMostPieces> numbers_;
  std::array<Part, 2 * kMostPieces> parts_;
  std::array<std::byte, kMostPieces * kLongestHead> own_;
};

}  // namespace snowfox
