#pragma once

#include <string>
#include <string_view>

namespace snowfox {

/// `text` in quotes, as JSON has it; bytes that are no ASCII are passed on as they are.
std::string json_text(std::string_view text);

}  // namespace snowfox
