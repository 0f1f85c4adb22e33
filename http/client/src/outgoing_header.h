#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <curl/curl.h>

#include <snowfox/http_client/http_client_request.h>

namespace snowfox {

/// What of `request` would make a header that says something else than what was meant: line ends in a field, a method
/// that is no word. Empty if nothing does.
std::string_view unfit_for_sending(const HttpClientRequest& request) noexcept;

/// The header fields of a request, in libcurl's form, in memory that is used again for the next one.
class OutgoingHeader {
 public:
  /// `span` is what this request is called in its trace.
  void assign(const HttpClientRequest& request, std::uint64_t span);
  /// Valid until the next assign().
  curl_slist* list() noexcept { return nodes_.empty() ? nullptr : nodes_.data(); }

 private:
  void add(std::string_view name, std::string_view value);
  void suppress(std::string_view name);
  void add_correlation(const HttpClientRequest& request, std::uint64_t span);

  std::string text_;  // lines, each ended by a null byte
  std::vector<std::size_t> lines_;
  std::vector<curl_slist> nodes_;
};

}  // namespace snowfox
