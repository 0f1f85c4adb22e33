#pragma once

#include <string_view>

namespace snowfox {

/// `HTTP/1.1 200 OK`, with its end. `status` must be from 100 to 599.
std::string_view status_line(int status) noexcept;

}  // namespace snowfox
