#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <optional>
#include <span>
#include <string_view>

#include <snowfox/core/buffer.h>

namespace google::protobuf {
class MessageLite;
}

namespace snowfox {

/// How a field is laid out (https://protobuf.dev/programming-guides/encoding/#structure). Groups, which are no longer
/// made, are stepped over.
enum class WireType : std::uint8_t { Varint = 0, Fixed64 = 1, Bytes = 2, Group = 3, EndGroup = 4, Fixed32 = 5 };

/// One field of a message, where it lies.
struct WireField {
  std::uint32_t number = 0;
  WireType type = WireType::Varint;
  std::uint64_t value = 0;           ///< of a Varint, Fixed64 or Fixed32
  std::span<const std::byte> bytes;  ///< of Bytes, and of a Group what is between its tags
  std::span<const std::byte> whole;  ///< with its tag
};

/// Takes the next field from the front of `bytes`, which must not be empty. False, and `bytes` is of no more use, if
/// they begin with none.
inline bool next_wire_field(std::span<const std::byte>& bytes, WireField& field) noexcept;

/// Whether `text` is what a protobuf `string` may hold, which is UTF-8 (https://www.rfc-editor.org/rfc/rfc3629).
inline bool valid_utf8(std::string_view text) noexcept;

/// A protobuf message that is looked at where it was received: nothing is copied, and parsed is only what is asked for.
/// So a program that passes messages on need not know what is in them, and what it does not know it passes on, too.
///
/// Fields are asked for by their number in the .proto file; of a field that occurs more than once the last counts, as
/// in protobuf's own parser. All views into the message are valid as long as it is there and nothing is done to it.
class MessageView {
 public:
  MessageView() = default;
  MessageView(const MessageView&) = delete;
  MessageView& operator=(const MessageView&) = delete;

  /// The message as it came. It need not be a message of any type, but is one on the wire.
  std::span<const std::byte> wire() const noexcept { return received_.bytes(); }

  /// Of an integer, a bool or an enum; nothing if it has no such field of this number. What is declared as sint32 or
  /// sint64 comes zigzag-encoded, as it is, and a double or float as its bits.
  std::optional<std::uint64_t> integer(std::uint32_t number) const noexcept;
  /// Of a string; nothing also if it is not UTF-8.
  std::optional<std::string_view> text(std::uint32_t number) const noexcept;
  /// Of bytes or a string or a message.
  std::optional<std::span<const std::byte>> bytes(std::uint32_t number) const noexcept;
  /// Reads the message field of this number, and no other, into `message`, which must be of its type. False if there is
  /// none. Throws ProtocolError if it cannot be read.
  bool parse(std::uint32_t number, google::protobuf::MessageLite& message) const;

  /// Calls `function(const WireField&)` with each field in the order in which they came.
  template <typename Function>
  void for_each(Function&& function) const {
    std::span<const std::byte> rest = wire();
    WireField field;
    while (!rest.empty() && next_wire_field(rest, field)) function(field);
  }

  // --- for who sends it on ---

  std::size_t wire_size() const noexcept { return wire().size(); }
  void write_wire(std::byte* to) const noexcept {
    if (!wire().empty()) std::memcpy(to, wire().data(), wire().size());
  }

  // --- for the source ---

  /// From now on it is the message in `bytes`, which lie in `buffer`. If they are moved or given away while it looks at
  /// them, it takes a copy with it.
  void borrow(ReceiveBuffer& buffer, std::span<const std::byte> bytes) noexcept { buffer.lend(bytes, received_); }
  /// There was no memory for that copy.
  bool lost() const noexcept { return received_.lost(); }
  void Clear() noexcept { received_.reset(); }

 private:
  /// The last field of this number that is laid out in one of these ways.
  std::optional<WireField> find(std::uint32_t number, std::initializer_list<WireType> types) const noexcept;

  BorrowedBytes received_;
};

/// Which fields of a message say what the message is about; 0 for what it does not have.
struct EnvelopeFields {
  std::uint32_t correlation_id = 1;
  std::uint32_t code = 2;
  std::uint32_t timeout_ms = 0;
};

/// A MessageView that knows its envelope: what ProtoBufProtocol and who handles it need to know where it belongs. Used
/// in place of a generated class:
///
///     using Envelope = EnvelopeView<EnvelopeFields{.correlation_id = 1, .code = 2}>;
///     ProtoBufProtocol<Envelope> protocol([](MessageEvent<Envelope>& request) {
///       WireMessage answer;
///       request.answer(answer.integer(2, request.message().code() + 1).others(request.message()));
///     });
template <EnvelopeFields Fields>
class EnvelopeView final : public MessageView {
 public:
  std::string_view correlation_id() const noexcept {
    if (wire().empty()) return {};  // lost, or cleared
    return {reinterpret_cast<const char*>(wire().data()) + id_begin_, id_size_};
  }
  std::uint32_t code() const noexcept { return code_; }
  std::uint64_t timeout_ms() const noexcept { return timeout_ms_; }

  /// Walks over all fields, once. False if they are none.
  bool read(ReceiveBuffer& buffer, std::span<const std::byte> bytes) noexcept {
    const std::byte* const begin = bytes.data();
    borrow(buffer, bytes);
    id_begin_ = id_size_ = code_ = 0;
    timeout_ms_ = 0;
    WireField field;
    while (!bytes.empty()) {
      if (!next_wire_field(bytes, field)) return false;
      // One of another type is another field, as it is for protobuf.
      if (field.number == Fields.correlation_id && field.type == WireType::Bytes) {
        id_begin_ = static_cast<std::uint32_t>(field.bytes.data() - begin);
        id_size_ = static_cast<std::uint32_t>(field.bytes.size());
        if (!valid_utf8({reinterpret_cast<const char*>(field.bytes.data()), id_size_})) return false;
      } else if (field.number == Fields.code && field.type == WireType::Varint) {
        code_ = static_cast<std::uint32_t>(field.value);
      } else if (field.number == Fields.timeout_ms && field.type == WireType::Varint) {
        timeout_ms_ = field.value;
      }
    }
    return true;
  }

 private:
  std::uint32_t id_begin_ = 0;
  std::uint32_t id_size_ = 0;
  std::uint32_t code_ = 0;
  std::uint64_t timeout_ms_ = 0;
};

// --- inline, for each message goes through these ---

namespace detail {
// These read from `at` on and give where they stopped, or null if what they look for is not there.

/// A varint of more than a byte.
const std::byte* long_varint(const std::byte* at, const std::byte* end, std::uint64_t& value) noexcept;
/// What is left of a group after its first tag; leaves in `field` what is in it.
const std::byte* group(const std::byte* at, const std::byte* end, WireField& field, unsigned depth) noexcept;
bool valid_long_utf8(std::string_view text) noexcept;

inline const std::byte* varint(const std::byte* at, const std::byte* end, std::uint64_t& value) noexcept {
  if (at == end || (*at & std::byte{0x80}) != std::byte{0}) return long_varint(at, end, value);
  value = std::to_integer<std::uint64_t>(*at);
  return at + 1;
}
template <typename Integer>
const std::byte* fixed(const std::byte* at, const std::byte* end, std::uint64_t& value) noexcept {
  if (static_cast<std::size_t>(end - at) < sizeof(Integer)) return nullptr;
  value = 0;
  for (std::size_t i = sizeof(Integer); i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(at[i]);
  return at + sizeof(Integer);
}
inline const std::byte* tag(const std::byte* at, const std::byte* end, WireField& field) noexcept {
  // Of five bytes at most, and what is in them beyond 32 bits is ignored: protobuf does so.
  constexpr std::ptrdiff_t kLongest = 5;
  std::uint64_t tag = 0;
  const std::byte* const after = varint(at, end, tag);
  field.number = static_cast<std::uint32_t>(tag) >> 3;
  field.type = static_cast<WireType>(tag & 7);
  return after == nullptr || after - at > kLongest || field.number == 0 ? nullptr : after;
}
/// What comes after a tag.
inline const std::byte* value(const std::byte* at, const std::byte* end, WireField& field, unsigned depth) noexcept {
  switch (field.type) {
    case WireType::Varint: return varint(at, end, field.value);
    case WireType::Bytes: {
      std::uint64_t size = 0;
      at = varint(at, end, size);
      if (at == nullptr || size > static_cast<std::size_t>(end - at)) return nullptr;
      field.bytes = {at, static_cast<std::size_t>(size)};
      return at + size;
    }
    case WireType::Fixed32: return fixed<std::uint32_t>(at, end, field.value);
    case WireType::Fixed64: return fixed<std::uint64_t>(at, end, field.value);
    case WireType::Group: return group(at, end, field, depth + 1);
    default: return nullptr;
  }
}
}  // namespace detail

inline bool next_wire_field(std::span<const std::byte>& bytes, WireField& field) noexcept {
  const std::byte* const begin = bytes.data();
  const std::byte* const end = begin + bytes.size();
  const std::byte* at = detail::tag(begin, end, field);
  if (at != nullptr) at = detail::value(at, end, field, 0);
  if (at == nullptr) return false;
  field.whole = {begin, at};
  bytes = {at, end};
  return true;
}

inline bool valid_utf8(std::string_view text) noexcept {
  constexpr std::uint64_t kNotAscii = 0x8080'8080'8080'8080;
  std::uint64_t all = 0;
  std::size_t at = 0;
  for (std::uint64_t eight = 0; at + sizeof eight <= text.size(); at += sizeof eight) {
    std::memcpy(&eight, text.data() + at, sizeof eight);
    all |= eight;
  }
  for (; at < text.size(); ++at) all |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[at]));
  return (all & kNotAscii) == 0 || detail::valid_long_utf8(text);
}

}  // namespace snowfox
