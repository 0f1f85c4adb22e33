#include "keys.h"

#include <algorithm>

namespace snowfox {
namespace {

constexpr char kEscape = '\x1b';
constexpr char kQuote = '\x16';  // Ctrl-V: the next character is text, whatever it is
constexpr std::size_t kMaxSequence = 32;

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

/// The bytes of a UTF-8 character that begins with `first`; 1 for what begins none.
std::size_t character_size(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte >= 0xF0 && byte < 0xF8 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
}

std::optional<Key> character(std::string_view typed) {
  if (typed.empty()) return std::nullopt;
  const std::size_t size = character_size(typed[0]);
  for (std::size_t i = 1; i < size; ++i) {
    if (i == typed.size()) return std::nullopt;
    if (!is_continuation(typed[i])) return Key{i, {}};
  }
  if (size == 1 && static_cast<unsigned char>(typed[0]) >= 0x80) return Key{1, {}};
  return Key{size, std::string(typed.substr(0, size))};
}

std::string arrow(char final, bool by_word) {
  switch (final) {
    case 'A': return "\x10";  // Ctrl-P
    case 'B': return "\x0e";  // Ctrl-N
    case 'C':
      return by_word ? "\x1b"
                       "f"
                     : "\x06";  // Ctrl-F
    case 'D':
      return by_word ? "\x1b"
                       "b"
                     : "\x02";  // Ctrl-B
    case 'H': return "\x01";    // Ctrl-A
    case 'F': return "\x05";    // Ctrl-E
    default: return {};
  }
}

/// ESC [ parameters final, as in ECMA-48.
std::optional<Key> control_sequence(std::string_view typed) {
  if (typed.size() >= 3 && typed[2] == '[') {  // a function key of the Linux console
    if (typed.size() < 4) return std::nullopt;
    return Key{4, {}};
  }
  std::size_t at = 2;
  while (at < typed.size() && typed[at] >= 0x20 && typed[at] <= 0x3F && at < kMaxSequence) ++at;
  if (at == typed.size() && at < kMaxSequence) return std::nullopt;
  const std::string_view parameters = typed.substr(2, at - 2);
  const std::size_t size = std::min(at + 1, typed.size());
  const char final = typed[size - 1];
  if (final != '~') return Key{size, arrow(final, parameters.find(';') != std::string_view::npos)};
  if (parameters == "1" || parameters == "7") return Key{size, arrow('H', false)};
  if (parameters == "4" || parameters == "8") return Key{size, arrow('F', false)};
  if (parameters == "3") return Key{size, std::string(1, keys::kDelete)};
  return Key{size, {}};
}

std::optional<Key> escaped(std::string_view typed) {
  if (typed.size() < 2) return std::nullopt;
  if (typed[1] == '[') return control_sequence(typed);
  if (typed[1] == 'O') {
    if (typed.size() < 3) return std::nullopt;
    return Key{3, arrow(typed[2], false)};
  }
  if (typed[1] == kEscape) return Key{1, {}};
  constexpr std::string_view kKnown = "bBcCdDfFlLnNpPuUwW\b\x7f";
  if (kKnown.find(typed[1]) != std::string_view::npos) return Key{2, std::string(typed.substr(0, 2))};
  const auto rest = character(typed.substr(1));
  if (!rest) return std::nullopt;
  return Key{1 + rest->size, {}};
}

}  // namespace

std::optional<Key> next_key(std::string_view typed) {
  if (typed.empty()) return std::nullopt;
  switch (typed[0]) {
    case kEscape: return escaped(typed);
    case kQuote: {
      const auto quoted = character(typed.substr(1));
      if (!quoted) return std::nullopt;
      constexpr std::string_view kNeverText("\0\r\n", 3);
      const bool text = !quoted->command.empty() && kNeverText.find(quoted->command[0]) == std::string_view::npos;
      return Key{1 + quoted->size, text ? kQuote + quoted->command : std::string()};
    }
    case '\x18':  // Ctrl-X: begins what libedit would wait for
    case keys::kRedraw:
    case keys::kDelete: return Key{1, {}};
    default: return character(typed);
  }
}

}  // namespace snowfox
