#pragma once

#include <string>
#include <string_view>

#include <snowfox/core/clock.h>

namespace snowfox::node {

/// Reads `500ms`, `10s`, `2m` or `1h`. Throws std::invalid_argument, saying what is wrong, otherwise.
Duration parse_duration(std::string_view text);

/// As parse_duration reads it, in the largest unit that fits: `10s`, `1500ms`.
std::string to_text(Duration duration);

}  // namespace snowfox::node
