#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

namespace snowfox::appservice {

/// As one segment of a path, or a value of a query: all but what RFC 3986 calls unreserved is escaped.
std::string percent_encoded(std::string_view text);

/// `text`, which comes from outside, with dots for the secrets that it repeats, as they are or percent-encoded; not
/// more than people read.
std::string without_secrets(std::string text, std::initializer_list<std::string_view> secrets);

}  // namespace snowfox::appservice
