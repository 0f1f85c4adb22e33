#include "http_client_redirect.h"

#include <curl/curl.h>

#include <memory>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include "http_url.h"

namespace snowfox {

namespace {

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
    for (const std::string_view name : {"Authorization", "Cookie", "Proxy-Authorization", "Host"}) {
      request.headers.remove(name);
    }
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
