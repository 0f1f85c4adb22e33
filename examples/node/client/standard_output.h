#pragma once

#include <string_view>

namespace snowfox::node {

/// Writes `text` to standard output, at once. Throws std::system_error if that does not take it.
void print(std::string_view text);

}  // namespace snowfox::node
