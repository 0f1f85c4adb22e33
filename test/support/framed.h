#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace snowfox {

/// `message` as it goes over the wire: after its length.
inline std::string framed(std::string_view message) {
  const auto size = static_cast<std::uint32_t>(message.size());
  std::string frame;
  for (const int shift : {24, 16, 8, 0}) frame.push_back(static_cast<char>(size >> shift));
  return frame.append(message);
}
template <typename Message>
requires requires(const Message& message) { message.SerializeAsString(); }
std::string framed(const Message& message) { return framed(std::string_view(message.SerializeAsString())); }

/// The messages in `bytes`, which hold whole frames only, for all that can be told.
inline std::vector<std::string> unframed(std::string_view bytes) {
  std::vector<std::string> messages;
  while (bytes.size() >= 4) {
    std::uint32_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(bytes[static_cast<std::size_t>(i)]);
    bytes.remove_prefix(4);
    messages.emplace_back(bytes.substr(0, size));
    bytes.remove_prefix(std::min<std::size_t>(size, bytes.size()));
  }
  return messages;
}

}  // namespace snowfox
