#pragma once

#include <string_view>
#include <system_error>

#include <curl/curl.h>

namespace snowfox {

/// What the client calls it that libcurl has ended a transfer with `code`, saying `words`.
std::error_code meaning_of(CURLcode code, std::string_view words) noexcept;

}  // namespace snowfox
