#pragma once

#include <cctype>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace snowfox {

/// The number of bytes of the UTF-8 character that `text` begins with (RFC 3629); 0 if it begins with none.
inline std::size_t utf8_character(std::string_view text) noexcept {
  const auto byte = [&](std::size_t at) { return static_cast<std::uint32_t>(static_cast<unsigned char>(text[at])); };
  const std::uint32_t lead = byte(0);
  const std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
  if (length == 0 || length > text.size()) return 0;
  std::uint32_t point = length == 1 ? lead : lead & (0xffU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if (byte(i) >> 6 != 2) return 0;
    point = point << 6 | (byte(i) & 0x3f);
  }
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = point >= 0xd800 && point < 0xe000;
  return point < kLeast[length] || point > 0x10ffff || surrogate ? 0 : length;
}

inline bool is_utf8(std::string_view text) noexcept {
  while (!text.empty()) {
    const std::size_t length = utf8_character(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

/// Reads JSON as RFC 8259 spells it and says only whether it is some.
class JsonReader {
 public:
  explicit JsonReader(std::string_view text) noexcept : left_(text) {}

  bool document() { return is_utf8(left_) && value() && (space(), left_.empty()); }

 private:
  void space() {
    while (!left_.empty() && std::string_view(" \t\r\n").find(left_.front()) != std::string_view::npos) next();
  }
  void next() { left_.remove_prefix(1); }
  bool take(std::string_view text) {
    if (!left_.starts_with(text)) return false;
    left_.remove_prefix(text.size());
    return true;
  }
  bool digits() {
    const std::size_t before = left_.size();
    while (!left_.empty() && std::isdigit(static_cast<unsigned char>(left_.front())) != 0) next();
    return left_.size() != before;
  }

  bool value() {
    space();
    if (left_.empty()) return false;
    if (left_.front() == '{') return list('{', '}', true);
    if (left_.front() == '[') return list('[', ']', false);
    if (left_.front() == '"') return string();
    return take("true") || take("false") || take("null") || number();
  }
  bool list(char open, char close, bool named) {
    take({&open, 1});
    space();
    if (take({&close, 1})) return true;
    do {
      space();
      if (named && (!string() || (space(), !take(":")))) return false;
      if (!value()) return false;
      space();
    } while (take(","));
    return take({&close, 1});
  }
  bool string() {
    if (!take("\"")) return false;
    while (!left_.empty() && left_.front() != '"') {
      if (static_cast<unsigned char>(left_.front()) < 0x20) return false;
      const bool escape = left_.front() == '\\';
      next();
      if (!escape) continue;
      if (take("u")) {
        for (int i = 0; i < 4; ++i, next()) {
          if (left_.empty() || std::isxdigit(static_cast<unsigned char>(left_.front())) == 0) return false;
        }
      } else if (left_.empty() || std::string_view("\"\\/bfnrt").find(left_.front()) == std::string_view::npos) {
        return false;
      } else {
        next();
      }
    }
    return take("\"");
  }
  bool number() {
    take("-");
    if (!take("0") && !digits()) return false;
    if (take(".") && !digits()) return false;
    if (take("e") || take("E")) {
      if (!take("+")) take("-");
      return digits();
    }
    return true;
  }

  std::string_view left_;
};

inline bool is_json(std::string_view text) { return JsonReader(text).document(); }

}  // namespace snowfox
