#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace snowfox {

/// Tells contents apart: FNV-1a with 64 bits. No protection against who makes two of the same hash on purpose.
class ContentHash {
 public:
  /// Adds `part`. Parts are told apart: "ab" and "c" are another content than "a" and "bc".
  ContentHash& add(std::string_view part) noexcept;
  /// 16 hexadecimal digits.
  std::string str() const;

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325;
};

}  // namespace snowfox
