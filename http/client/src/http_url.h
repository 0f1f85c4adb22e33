#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace snowfox {

/// What of a URL the client has to know itself; the rest is libcurl's.
struct HttpUrl {
  std::string origin;  ///< scheme, host and port in one spelling: "http://example.org:80"
  std::string host;    ///< in small letters; an IPv6 address without its brackets
  bool encrypted = false;
  /// The host is looked up, being neither an address nor `localhost`.
  bool has_name = false;

  /// Nothing unless `url` is http or https, has a host and no credentials, and is of visible ASCII throughout.
  static std::optional<HttpUrl> parse(std::string_view url);
};

/// `url` for error texts: without query, fragment and credentials, of bounded length.
std::string url_for_people(std::string_view url);

}  // namespace snowfox
