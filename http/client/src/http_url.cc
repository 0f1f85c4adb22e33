#include "http_url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>

#include <snowfox/http_client/http_client_headers.h>

namespace snowfox {
namespace {

constexpr std::size_t kMostForPeople = 200;

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// A backslash is no character of a URL, but some take it for a slash.
bool allowed(char c) noexcept { return c > ' ' && c < '\x7f' && c != '\\'; }

bool is_address(const std::string& host) noexcept {
  std::array<std::byte, 16> address;
  return inet_pton(AF_INET, host.c_str(), address.data()) == 1 ||
         inet_pton(AF_INET6, host.c_str(), address.data()) == 1;
}

/// Takes `:PORT` from the end of `authority`, if there is one. 0: it is none.
unsigned take_port(std::string_view& authority, unsigned otherwise) noexcept {
  const std::size_t colon = authority.rfind(':');
  const std::size_t bracket = authority.rfind(']');
  if (colon == authority.npos || (bracket != authority.npos && bracket > colon)) return otherwise;
  const std::string_view digits = authority.substr(colon + 1);
  authority = authority.substr(0, colon);
  if (digits.empty()) return otherwise;
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  return error == std::errc{} && end == digits.data() + digits.size() ? port : 0;
}

}  // namespace

std::optional<HttpUrl> HttpUrl::parse(std::string_view url) {
  if (!std::all_of(url.begin(), url.end(), allowed)) return std::nullopt;
  constexpr std::string_view kBetween = "://";
  const std::size_t scheme_end = url.find(kBetween);
  if (scheme_end == url.npos) return std::nullopt;
  HttpUrl result;
  result.encrypted = equal_ignoring_case(url.substr(0, scheme_end), "https");
  if (!result.encrypted && !equal_ignoring_case(url.substr(0, scheme_end), "http")) return std::nullopt;

  std::string_view authority = url.substr(scheme_end + kBetween.size());
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (authority.find('@') != authority.npos) return std::nullopt;
  const unsigned port = take_port(authority, result.encrypted ? 443 : 80);
  if (port == 0 || authority.empty()) return std::nullopt;

  result.host.resize(authority.size());
  std::transform(authority.begin(), authority.end(), result.host.begin(), lower);
  result.origin.append(result.encrypted ? "https://" : "http://").append(result.host);
  result.origin.append(":").append(std::to_string(port));
  if (result.host.front() == '[') {
    if (result.host.size() < 3 || result.host.back() != ']') return std::nullopt;
    result.host = result.host.substr(1, result.host.size() - 2);
  }
  result.has_name = result.host != "localhost" && !result.host.ends_with(".localhost") && !is_address(result.host);
  return result;
}

std::string url_for_people(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  std::string result;
  // Where the authority ends is not clear in a URL that is not well-formed, so nothing before any @ is shown.
  if (const std::size_t at = url.rfind('@'); at != url.npos) {
    const std::size_t scheme_end = url.find("://");
    if (scheme_end < at) result = url.substr(0, scheme_end + 3);
    url = url.substr(at + 1);
  }
  result += url;
  if (result.size() > kMostForPeople) result.replace(kMostForPeople, result.npos, "...");
  return result;
}

}  // namespace snowfox
