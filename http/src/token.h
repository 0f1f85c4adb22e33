#pragma once

#include <algorithm>
#include <array>
#include <string_view>

namespace snowfox {

/// Of a token (RFC 9110, 5.6.2): a method, a field's name.
inline bool token_character(char c) noexcept {
  static constexpr std::array<bool, 256> kTable = [] {
    std::array<bool, 256> table{};
    for (int letter = 'a'; letter <= 'z'; ++letter) table[static_cast<unsigned>(letter)] = true;
    for (int letter = 'A'; letter <= 'Z'; ++letter) table[static_cast<unsigned>(letter)] = true;
    for (int digit = '0'; digit <= '9'; ++digit) table[static_cast<unsigned>(digit)] = true;
    for (const char other : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<unsigned char>(other)] = true;
    return table;
  }();
  return kTable[static_cast<unsigned char>(c)];
}
inline bool token(std::string_view text) noexcept {
  return !text.empty() && std::all_of(text.begin(), text.end(), token_character);
}

/// What no field's value may have: a tab is none of them.
inline bool control_character(char c) noexcept {
  return (static_cast<unsigned char>(c) < ' ' && c != '\t') || c == '\x7f';
}

/// -1 if it is none.
inline int hexadecimal_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

}  // namespace snowfox
