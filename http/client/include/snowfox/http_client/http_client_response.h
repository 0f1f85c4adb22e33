#pragma once

#include <string>

#include <snowfox/core/clock.h>
#include <snowfox/http_client/http_client_headers.h>

namespace snowfox {

/// How long it took from the send() until …; of the last request, if redirects were followed. Zero where it did not
/// come to that.
struct HttpClientTimings {
  Duration started{};     ///< … it had its turn: before, it waited for a connection
  Duration resolved{};    ///< … the name was known
  Duration connected{};   ///< … the connection stood
  Duration encrypted{};   ///< … TLS was agreed on
  Duration first_byte{};  ///< … the response began
  Duration total{};       ///< … it was complete
};

/// What a server has answered, whatever its status: 404 and 500 are responses, too.
struct HttpClientResponse {
  int status = 0;
  HttpClientHeaders headers{};
  std::string body{};
  HttpClientTimings timings{};
  /// Over a connection that was open already.
  bool reused = false;
  /// 11 or 20.
  int http_version = 0;
  unsigned redirects = 0;
  /// Where it came from, if redirects were followed.
  std::string url{};

  bool ok() const noexcept { return status >= 200 && status < 300; }
};

}  // namespace snowfox
