#pragma once

#include <algorithm>
#include <array>
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
bool next_wire_field(std::span<const std::byte>& bytes, WireField& field) noexcept;

/// Whether `text` is what a protobuf `string` may hold, which is UTF-8 (https://www.rfc-editor.org/rfc/rfc3629).
bool valid_utf8(std::string_view text) noexcept;

// --- inline, for each message goes through these ---

namespace detail {
// These read from `at` on and tell where they stopped: null if what they look for is not there.

struct Varint {
  std::uint64_t value;
  const std::byte* next;
};
struct Field {
  WireField field;
  const std::byte* next;
};

/// A varint of more than two bytes.
Varint long_varint(const std::byte* at, const std::byte* end) noexcept;
/// A field whose tag ends at `at` and that is neither Varint nor Bytes.
Field rare_field(const std::byte* begin, const std::byte* at, const std::byte* end, std::uint32_t number, WireType type,
                 unsigned depth) noexcept;
bool valid_long_utf8(std::string_view text) noexcept;

inline Varint varint(const std::byte* at, const std::byte* end) noexcept {
  constexpr std::uint64_t kMore = 0x80;
  if (end - at < 2) return long_varint(at, end);
  const auto first = std::to_integer<std::uint64_t>(at[0]);
  if (first < kMore) return {first, at + 1};
  const auto second = std::to_integer<std::uint64_t>(at[1]);
  if (second < kMore) return {first - kMore + (second << 7), at + 2};
  return long_varint(at, end);
}
inline std::byte* put_varint(std::byte* at, std::uint64_t value) noexcept {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<std::byte>(value | 0x80);
  *at++ = static_cast<std::byte>(value);
  return at;
}
/// How many bytes the field at `at` has that is of type Bytes, with a tag and a length of one byte each; -1 if it is
/// none.
inline std::ptrdiff_t short_bytes(const std::byte* at, const std::byte* end) noexcept {
  const auto tag = std::to_integer<unsigned>(*at);
  if ((tag & 0x87) != 2 || tag < 8 || end - at < 2) return -1;
  const auto size = std::to_integer<std::ptrdiff_t>(at[1]);
  return size < 0x80 && size <= end - at - 2 ? size : -1;
}

/// One field; `depth` groups are around it.
inline Field field(const std::byte* const begin, const std::byte* end, unsigned depth = 0) noexcept {
  // A tag has five bytes at most, and what is in them beyond 32 bits is ignored: protobuf does so.
  constexpr std::ptrdiff_t kLongestTag = 5;
  const auto [tag, at] = varint(begin, end);
  const std::uint32_t number = static_cast<std::uint32_t>(tag) >> 3;
  const auto type = static_cast<WireType>(tag & 7);
  if (at == nullptr || at - begin > kLongestTag || number == 0) return {{}, nullptr};
  // Most fields are of these two kinds.
  if (type == WireType::Bytes) {
    const auto [size, content] = varint(at, end);
    if (content == nullptr || size > static_cast<std::size_t>(end - content)) return {{}, nullptr};
    const std::byte* const next = content + size;
    return {{number, type, 0, {content, next}, {begin, next}}, next};
  }
  if (type == WireType::Varint) {
    const auto [value, next] = varint(at, end);
    return {{number, type, value, {}, {begin, next}}, next};
  }
  return rare_field(begin, at, end, number, type, depth);
}
/// The same, not inline.
Field any_field(const std::byte* at, const std::byte* end) noexcept;
}  // namespace detail

inline bool next_wire_field(std::span<const std::byte>& bytes, WireField& field) noexcept {
  const std::byte* const end = bytes.data() + bytes.size();
  const detail::Field found = detail::field(bytes.data(), end);
  if (found.next == nullptr) return false;
  field = found.field;
  bytes = {found.next, end};
  return true;
}

inline bool valid_utf8(std::string_view text) noexcept {
  constexpr std::uint64_t kNotAscii = 0x8080'8080'8080'8080;
  // Sixteen at a time, the last ones perhaps twice.
  std::array<std::uint64_t, 2> some{};
  std::uint64_t all = 0;
  if (text.size() >= sizeof some) {
    const char* const last = text.data() + text.size() - sizeof some;
    for (const char* at = text.data(); at < last; at += sizeof some) {
      std::memcpy(&some, at, sizeof some);
      all |= some[0] | some[1];
    }
    std::memcpy(&some, last, sizeof some);
    all |= some[0] | some[1];
  } else {
    for (const char byte : text) all |= static_cast<std::uint64_t>(static_cast<unsigned char>(byte));
  }
  return (all & kNotAscii) == 0 || detail::valid_long_utf8(text);
}

/// A protobuf message that is looked at where it was received: nothing is copied, and parsed is only what is asked for.
/// So a program that passes messages on need not know what is in them, and what it does not know it passes on, too.
///
/// Fields are asked for by their number in the .proto file; of a field that occurs more than once the last counts, as
/// in protobuf's own parser. All views into the message are valid as long as it is there and nothing is done to it.
class MessageView {
 public:
  MessageView() = default;
  /// The other is empty then.
  MessageView(MessageView&&) noexcept = default;
  MessageView& operator=(MessageView&&) noexcept = default;

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

/// A message that goes on as it came but for one field; borrowed of a MessageView, and to be enqueued while that is
/// there.
class EditedMessage {
 public:
  std::size_t wire_size() const noexcept { return whole_.size() - (end_ - begin_) + field_size_; }
  void write_wire(std::byte* to) const noexcept {
    if (!whole_.empty() && field_size_ == end_ - begin_) {
      std::memcpy(to, whole_.data(), whole_.size());
      put(to + begin_);
      return;
    }
    std::copy_n(whole_.data(), begin_, to);
    put(to + begin_);
    std::copy(whole_.begin() + static_cast<std::ptrdiff_t>(end_), whole_.end(), to + begin_ + field_size_);
  }
  std::string_view correlation_id() const noexcept { return correlation_id_; }

 private:
  template <EnvelopeFields Fields>
  friend class EnvelopeView;

  static constexpr std::size_t kLongestField = 5 + 10;

  /// `whole` without its bytes from `begin` to `end`, where now the integer `number` is.
  EditedMessage(std::span<const std::byte> whole, std::size_t begin, std::size_t end, std::uint32_t number,
                std::uint64_t value, std::string_view correlation_id) noexcept
      : whole_(whole), begin_(begin), end_(end), correlation_id_(correlation_id) {
    std::byte* const field = field_.data();
    std::byte* const field_end = detail::put_varint(detail::put_varint(field, std::uint64_t{number} << 3), value);
    field_size_ = static_cast<std::size_t>(field_end - field);
  }
  void put(std::byte* to) const noexcept {
    for (std::size_t i = 0; i < field_size_; ++i) to[i] = field_[i];
  }

  std::span<const std::byte> whole_;
  std::size_t begin_;
  std::size_t end_;
  std::string_view correlation_id_;
  std::size_t field_size_;
  std::array<std::byte, kLongestField> field_;
};

/// A MessageView that knows its envelope: what ProtoBufProtocol and who handles it need to know where it belongs. Used
/// in place of a generated class:
///
///     using Envelope = EnvelopeView<EnvelopeFields{.correlation_id = 1, .code = 2}>;
///     ProtoBufProtocol<Envelope> protocol([](MessageEvent<Envelope>& request) {
///       request.answer(request.message().with_code(request.message().code() + 1));
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

  /// The same message with another code, and else as it came.
  EditedMessage with_code(std::uint32_t code) const noexcept requires(Fields.code != 0) {
    if (wire().empty()) return {{}, 0, 0, Fields.code, code, {}};  // lost, or cleared
    return {wire(), code_begin_, code_end_, Fields.code, code, correlation_id()};
  }

  /// Walks over all fields, once. False if they are none.
  bool read(ReceiveBuffer& buffer, std::span<const std::byte> bytes) noexcept {
    borrow(buffer, bytes);
    const std::byte* const begin = bytes.data();
    const std::byte* const end = begin + bytes.size();
    std::string_view id;
    std::uint32_t code = 0;
    std::size_t codes = 0;
    const std::byte* code_begin = end;
    const std::byte* code_end = end;
    std::uint64_t timeout_ms = 0;
    const auto found_code = [&](std::uint64_t value, const std::byte* from, const std::byte* to) {
      code = static_cast<std::uint32_t>(value);
      ++codes;
      code_begin = from;
      code_end = to;
    };
    for (const std::byte* at = begin; at != end;) {
      // Short fields with low numbers, as most are; then all there are.
      const auto tag = std::to_integer<std::uint32_t>(*at);
      if (const std::ptrdiff_t size = detail::short_bytes(at, end); size >= 0) {
        if (tag == kIdTag) {
          id = {reinterpret_cast<const char*>(at + 2), static_cast<std::size_t>(size)};
          if (!valid_utf8(id)) return false;
        }
        at += 2 + size;
      } else if (kCodeTag != 0 && tag == kCodeTag) {
        const auto [value, next] = detail::varint(at + 1, end);
        if (next == nullptr) return false;
        found_code(value, at, next);
        at = next;
      } else {
        const auto [field, next] = detail::any_field(at, end);
        if (next == nullptr) return false;
        // One of another type is another field, as it is for protobuf.
        if (field.number == Fields.correlation_id && field.type == WireType::Bytes) {
          id = {reinterpret_cast<const char*>(field.bytes.data()), field.bytes.size()};
          if (!valid_utf8(id)) return false;
        } else if (field.number == Fields.code && field.type == WireType::Varint) {
          found_code(field.value, at, next);
        } else if (field.number == Fields.timeout_ms && field.type == WireType::Varint) {
          timeout_ms = field.value;
        }
        at = next;
      }
    }
    // One that has no code, or several, gets one more at its end: it is the last that counts.
    if (codes > 1) code_begin = code_end = end;
    id_begin_ = id.empty() ? 0 : static_cast<std::uint32_t>(reinterpret_cast<const std::byte*>(id.data()) - begin);
    id_size_ = static_cast<std::uint32_t>(id.size());
    code_ = code;
    code_begin_ = static_cast<std::uint32_t>(code_begin - begin);
    code_end_ = static_cast<std::uint32_t>(code_end - begin);
    timeout_ms_ = timeout_ms;
    return true;
  }

 private:
  /// Of one byte; 0 if it has more.
  static constexpr std::uint32_t kIdTag = Fields.correlation_id < 16 ? Fields.correlation_id << 3 | 2 : 0;
  static constexpr std::uint32_t kCodeTag = Fields.code < 16 ? Fields.code << 3 : 0;

  // Written by read().
  std::uint32_t id_begin_ = 0;
  std::uint32_t id_size_ = 0;
  std::uint32_t code_ = 0;
  std::uint32_t code_begin_ = 0;  // what with_code() takes out
  std::uint32_t code_end_ = 0;
  std::uint64_t timeout_ms_ = 0;
};

}  // namespace snowfox
