#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace snowfox {

/// One key of a keyboard.
struct Key {
  std::size_t size = 0;  ///< how many bytes the terminal sent for it
  std::string command;   ///< what a LineEditor is told instead; empty for a key that means nothing
};

namespace keys {

// Commands that no key has: the editor binds them for itself.
inline constexpr char kRedraw = '\x1c';
inline constexpr char kDelete = '\x1d';

}  // namespace keys

/// The first key of what was `typed`, or nothing as long as it is incomplete. Keys that terminals name differently
/// become one command, so that libedit is never given a sequence it does not know: it would take the rest of it for
/// text.
std::optional<Key> next_key(std::string_view typed);

}  // namespace snowfox
