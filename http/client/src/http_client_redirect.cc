#include "http_client_redirect.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "http_url.h"

namespace snowfox {
namespace {

/// What says how and what, and not who: any server may see it. All else may be a secret, whatever its name.
constexpr std::array<std::string_view, 20> kHarmless{"Accept",
                                                     "Accept-Charset",
                                                     "Accept-Encoding",
                                                     "Accept-Language",
                                                     "Cache-Control",
                                                     "Content-Encoding",
                                                     "Content-Language",
                                                     "Content-Type",
                                                     "Expect",
                                                     "If-Match",
                                                     "If-Modified-Since",
                                                     "If-None-Match",
                                                     "If-Range",
                                                     "If-Unmodified-Since",
                                                     "Pragma",
                                                     "Range",
                                                     "traceparent",
                                                     "User-Agent",
                                                     "X-Correlation-Id",
                                                     "X-Request-Id"};

void keep_harmless(HttpClientHeaders& headers) {
  HttpClientHeaders kept;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const auto [name, value] = headers[i];
    const auto same = [name = name](std::string_view harmless) { return equal_ignoring_case(name, harmless); };
    if (std::any_of(kHarmless.begin(), kHarmless.end(), same)) kept.add(name, value);
  }
  headers = std::move(kept);
}

struct FreeUrl {
  void operator()(CURLU* url) const noexcept { curl_url_cleanup(url); }
};
struct FreeText {
  void operator()(char* text) const noexcept { curl_free(text); }
};

/// `location` as seen from `base`; empty if that is nothing.
std::string resolve(const std::string& base, const std::string& location) {
  const std::unique_ptr<CURLU, FreeUrl> url(curl_url());
  if (url == nullptr) throw std::bad_alloc();
  constexpr unsigned kOther = CURLU_NON_SUPPORT_SCHEME;
  if (curl_url_set(url.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK) return {};
  if (curl_url_set(url.get(), CURLUPART_URL, location.c_str(), kOther) != CURLUE_OK) return {};
  char* text = nullptr;
  if (curl_url_get(url.get(), CURLUPART_URL, &text, 0) != CURLUE_OK) return {};
  const std::unique_ptr<char, FreeText> owner(text);
  return text;
}

}  // namespace

bool follows_redirect(const HttpClientRequest& request, const HttpClientResponse& response) noexcept {
  if (request.redirects == HttpClientRedirects::None || !response.headers.contains("Location")) return false;
  if (request.redirects == HttpClientRedirects::Only308) return response.status == 308;
  switch (response.status) {
    case 301:
    case 302:
    case 303:
    case 307:
    case 308: return true;
    default: return false;
  }
}

std::string_view redirect(HttpClientRequest& request, const HttpClientResponse& response) {
  const int status = response.status;
  std::string target = resolve(request.url, std::string(response.headers.find("Location").value_or("")));
  const std::optional<HttpUrl> from = HttpUrl::parse(request.url);
  const std::optional<HttpUrl> to = HttpUrl::parse(target);
  if (!to) return "to what is no URL of http or https";
  if (from->encrypted && !to->encrypted) return "from https to http";
  if (from->origin != to->origin) {
    if (!request.unix_socket.empty()) return "from a Unix socket to another host";
    keep_harmless(request.headers);
  }
  // As all browsers do: https://www.rfc-editor.org/rfc/rfc9110#section-15.4
  const bool becomes_get = status == 303 ? request.method != "HEAD" && request.method != "GET"
                                         : (status == 301 || status == 302) && request.method == "POST";
  if (becomes_get) {
    request.method = "GET";
    request.body = {};
    for (const std::string_view name : {"Content-Type", "Content-Encoding", "Content-Language", "Expect"}) {
      request.headers.remove(name);
    }
  }
  request.url = std::move(target);
  return {};
}

}  // namespace snowfox
