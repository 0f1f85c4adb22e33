#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <snowfox/core/clock.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/http_client/http_client_headers.h>
#include <snowfox/http_client/http_client_response.h>
#include <snowfox/promises/promise.h>

namespace snowfox {

/// How long each part of an exchange may take. Duration::max(): for ever. Those of a second and more may come some
/// milliseconds late.
struct HttpClientTimeouts {
  /// From when it is begun until it can be sent: the name looked up, connected, TLS agreed on.
  Duration connect = std::chrono::seconds(10);
  /// From when the request was sent until the response's header is complete.
  Duration headers = std::chrono::seconds(60);
  /// In so long at least `stall_bytes` of a body have to move: of the request's, if it is too large to be sent at once,
  /// and of the response's. The time in which the program itself lets wait does not count.
  Duration stall = std::chrono::seconds(30);
  std::size_t stall_bytes = 1;
  /// From send() to the end, with all redirects, and the wait for a connection.
  Duration total = std::chrono::minutes(5);
};

/// Which redirects are followed. Those that are not are responses like any other.
///
/// To another origin (scheme, host and port) only those header fields go along that say nothing of who asks: Accept,
/// Accept-Charset, -Encoding and -Language, Cache-Control and Pragma, Content-Type, -Encoding and -Language, Expect,
/// the If-…, Range, User-Agent, traceparent, X-Correlation-Id and X-Request-Id. All others stay, be they Authorization,
/// Cookie or of the program's own: nothing in its name tells whether it is a secret. But the body goes wherever 307 and
/// 308 send it (301 and 302, too, unless the method is POST), and the client's certificate is shown to each server that
/// asks for one: a request that has those for one server only follows none.
enum class HttpClientRedirects : std::uint8_t {
  None,
  Only308,  ///< 308 Permanent Redirect, by which nothing of the request changes
  Follow,   ///< 301, 302, 303, 307, 308
};

/// The body of a request: bytes of its own, or bytes that several requests share, none of which copies them.
class HttpClientBody {
 public:
  HttpClientBody() = default;
  HttpClientBody(std::string bytes) : own_(std::move(bytes)) {}                              // NOLINT: meant to convert
  HttpClientBody(const char* text) : own_(text) {}                                           // NOLINT
  HttpClientBody(std::shared_ptr<const std::string> shared) : shared_(std::move(shared)) {}  // NOLINT

  std::string_view bytes() const noexcept { return shared_ != nullptr ? *shared_ : own_; }
  bool empty() const noexcept { return bytes().empty(); }

 private:
  std::string own_;
  std::shared_ptr<const std::string> shared_;
};

struct HttpClientRequest {
  std::string method = "GET";
  /// `http://` or `https://`, in ASCII without spaces, and without credentials: those belong into a header field.
  std::string url{};
  /// Content-Length and Transfer-Encoding are the client's own to say.
  HttpClientHeaders headers{};
  HttpClientBody body{};

  /// Goes along as `X-Correlation-Id`, and as `traceparent` if it is a trace id (32 hexadecimal digits) or a UUID;
  /// unless `headers` has those. None: one is made. One that has spaces or control characters is not sent.
  CorrelationId correlation_id{};
  /// Those of the client's options unless set.
  std::optional<HttpClientTimeouts> timeouts{};
  HttpClientRedirects redirects = HttpClientRedirects::None;
  unsigned most_redirects = 5;
  /// Says that the body may come compressed (gzip, deflate), and decompresses it. Off: a compressed body is given as it
  /// came.
  bool decompress = false;
  /// The Unix socket to connect to in place of the URL's host.
  std::string unix_socket{};
  /// Of the response, decompressed. Unset: HttpClientOptions::max_body_bytes, or no limit with `on_body`.
  std::optional<std::size_t> max_body_bytes{};

  /// Takes the response's body piece by piece as it comes; the response at the end has none. `head` is the response so
  /// far: status and header fields. Called by the loop as an event of its own. Where a promise is returned, the next
  /// piece comes when that is settled, and meanwhile the client reads no more than some 100 KiB ahead, so the server
  /// has to wait, too; return `{}` to go on at once. What it throws, and a rejected promise, end the exchange with that
  /// error. Bodies of redirects that are followed are not given.
  using OnBody = std::function<Promise<void>(const HttpClientResponse& head, std::string_view bytes)>;
  OnBody on_body{};
};

}  // namespace snowfox
