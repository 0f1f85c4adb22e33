#pragma once

#include <string_view>

namespace snowfox::appservice {

/// status_page.html; CMake makes the source of it. `{{nonce}}` stands where a nonce of its Content-Security-Policy is
/// to be.
extern const std::string_view kStatusPage;

}  // namespace snowfox::appservice
