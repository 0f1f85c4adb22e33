#pragma once

#include <string>
#include <system_error>

namespace snowfox {

/// Why an exchange over HTTP has no response. Errc::LimitReached (too many wait already) and Errc::ShuttingDown come
/// beside these.
enum class HttpClientErrc {
  BadRequest = 1,   ///< it could not be sent as it is: its URL, its method, a header field
  CouldNotResolve,  ///< the host's name is not known, or who should know does not answer
  CouldNotConnect,  ///< nobody listens, or there is no way there
  ConnectTimeout,   ///< name, connection and TLS together took longer than HttpClientTimeouts::connect
  HeadersTimeout,   ///< the response's header was not complete in time
  BodyTimeout,      ///< request or response stood still, or nearly so, in the middle of the body
  TotalTimeout,     ///< the whole took too long
  TooLarge,         ///< the response's header or body is larger than allowed, perhaps only when decompressed
  TlsFailed,        ///< no TLS with that server, or a certificate that does not convince
  ConnectionReset,  ///< the connection ended before the response did
  BadResponse,      ///< what came is not HTTP, or not decodable
  RedirectRefused,  ///< to a place where the client does not go, or one time too many
  Failed,           ///< anything else: the text tells
};

const std::error_category& http_client_category() noexcept;
std::error_code make_error_code(HttpClientErrc code) noexcept;

/// What a promise of a response is rejected with. Its text names method and URL, without what may be secret in there:
/// the query and credentials.
class HttpClientError : public std::system_error {
 public:
  HttpClientError(std::error_code code, const std::string& what, bool may_have_arrived = false)
      : std::system_error(code, what), may_have_arrived_(may_have_arrived) {}

  /// At least a part of the request was sent, so the server may have acted on it. False: it has surely not, and to send
  /// it once more can do nothing twice.
  bool may_have_arrived() const noexcept { return may_have_arrived_; }

 private:
  bool may_have_arrived_;
};

}  // namespace snowfox

template <>
struct std::is_error_code_enum<snowfox::HttpClientErrc> : std::true_type {};
