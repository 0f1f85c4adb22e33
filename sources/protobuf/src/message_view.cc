#include <snowfox/sources/message_view.h>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/message_lite.h>

#include <string>

#include <snowfox/core/error.h>

namespace snowfox {

detail::Varint detail::long_varint(const std::byte* at, const std::byte* end) noexcept {
  constexpr unsigned kBits = 64;
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < kBits && at != end; shift += 7) {
    const auto byte = std::to_integer<std::uint64_t>(*at++);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) return {value, at};
  }
  return {0, nullptr};
}

detail::Field detail::rare_field(const std::byte* begin, const std::byte* at, const std::byte* end,
                                 std::uint32_t number, WireType type, unsigned depth) noexcept {
  constexpr Field kNone{{}, nullptr};
  // As deep as protobuf goes into messages.
  constexpr unsigned kDeepest = 100;
  const auto fixed = [&](std::size_t bytes) -> Field {
    if (static_cast<std::size_t>(end - at) < bytes) return kNone;
    std::uint64_t value = 0;
    for (std::size_t i = bytes; i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(at[i]);
    return {{number, type, value, {}, {begin, at + bytes}}, at + bytes};
  };
  switch (type) {
    case WireType::Fixed32: return fixed(sizeof(std::uint32_t));
    case WireType::Fixed64: return fixed(sizeof(std::uint64_t));
    case WireType::EndGroup: return depth == 0 ? kNone : Field{{number, type, 0, {}, {begin, at}}, at};
    case WireType::Group: break;
    default: return kNone;
  }
  if (depth == kDeepest) return kNone;
  for (const std::byte* inner_at = at;;) {
    const auto [inner, next] = field(inner_at, end, depth + 1);
    if (next == nullptr) return kNone;
    if (inner.type == WireType::EndGroup) {
      if (inner.number != number) return kNone;
      return {{number, type, 0, {at, inner_at}, {begin, next}}, next};
    }
    inner_at = next;
  }
}

detail::Field detail::any_field(const std::byte* at, const std::byte* end) noexcept { return field(at, end); }

bool detail::valid_long_utf8(std::string_view text) noexcept {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(text[at]); };
  for (std::size_t at = 0; at < text.size();) {
    const unsigned char first = byte(at);
    if (first < 0x80) {
      ++at;
      continue;
    }
    // Neither longer than need be, nor half of a pair of UTF-16, nor beyond U+10FFFF: the second byte tells.
    std::size_t more = 0;
    unsigned char least = 0x80;
    unsigned char most = 0xbf;
    if (first >= 0xc2 && first <= 0xdf) {
      more = 1;
    } else if (first >= 0xe0 && first <= 0xef) {
      more = 2;
      if (first == 0xe0) least = 0xa0;
      if (first == 0xed) most = 0x9f;
    } else if (first >= 0xf0 && first <= 0xf4) {
      more = 3;
      if (first == 0xf0) least = 0x90;
      if (first == 0xf4) most = 0x8f;
    } else {
      return false;
    }
    if (text.size() - at <= more || byte(at + 1) < least || byte(at + 1) > most) return false;
    for (std::size_t i = 2; i <= more; ++i) {
      if ((byte(at + i) & 0xc0) != 0x80) return false;
    }
    at += more + 1;
  }
  return true;
}

std::optional<WireField> MessageView::find(std::uint32_t number, std::initializer_list<WireType> types) const noexcept {
  std::optional<WireField> last;
  for_each([&](const WireField& field) {
    if (field.number == number && std::find(types.begin(), types.end(), field.type) != types.end()) last = field;
  });
  return last;
}

std::optional<std::uint64_t> MessageView::integer(std::uint32_t number) const noexcept {
  const auto field = find(number, {WireType::Varint, WireType::Fixed32, WireType::Fixed64});
  return field ? std::optional(field->value) : std::nullopt;
}

std::optional<std::span<const std::byte>> MessageView::bytes(std::uint32_t number) const noexcept {
  const auto field = find(number, {WireType::Bytes});
  return field ? std::optional(field->bytes) : std::nullopt;
}

std::optional<std::string_view> MessageView::text(std::uint32_t number) const noexcept {
  const auto found = bytes(number);
  if (!found) return std::nullopt;
  const std::string_view text(reinterpret_cast<const char*>(found->data()), found->size());
  return valid_utf8(text) ? std::optional(text) : std::nullopt;
}

bool MessageView::parse(std::uint32_t number, google::protobuf::MessageLite& message) const {
  bool found = false;
  message.Clear();
  for_each([&](const WireField& field) {
    if (field.number != number || field.type != WireType::Bytes) return;
    found = true;
    google::protobuf::io::CodedInputStream input(reinterpret_cast<const std::uint8_t*>(field.bytes.data()),
                                                 static_cast<int>(field.bytes.size()));
    if (message.MergeFromCodedStream(&input) && input.ConsumedEntireMessage()) return;
    throw ProtocolError(Errc::BadFrame, "field " + std::to_string(number) + " is no " + message.GetTypeName());
  });
  return found;
}

}  // namespace snowfox
