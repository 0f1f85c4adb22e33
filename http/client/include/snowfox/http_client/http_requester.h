#pragma once

#include <snowfox/http_client/http_client_request.h>
#include <snowfox/http_client/http_client_response.h>
#include <snowfox/promises/promise.h>

namespace snowfox {

/// What sends requests over HTTP. A daemon is given one: an HttpClient in `main`, a ScriptedHttpRequester in tests and
/// simulations, where nothing may leave the process.
class HttpRequester {
 public:
  virtual ~HttpRequester() = default;
  HttpRequester(const HttpRequester&) = delete;
  HttpRequester& operator=(const HttpRequester&) = delete;

  /// Sends `request`, never within the call. Every response resolves the promise, whatever its status; an
  /// HttpClientError rejects it. Dropping the promise ends the exchange at once.
  virtual Promise<HttpClientResponse> send(HttpClientRequest request) = 0;

 protected:
  HttpRequester() = default;
};

}  // namespace snowfox
