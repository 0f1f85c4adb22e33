#include <snowfox/http_client/http_client_error.h>

namespace snowfox {
namespace {

class HttpClientCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "http client"; }
  std::string message(int value) const override {
    switch (static_cast<HttpClientErrc>(value)) {
      case HttpClientErrc::BadRequest: return "the request cannot be sent";
      case HttpClientErrc::CouldNotResolve: return "the host's name could not be looked up";
      case HttpClientErrc::CouldNotConnect: return "could not connect";
      case HttpClientErrc::ConnectTimeout: return "could not connect in time";
      case HttpClientErrc::HeadersTimeout: return "the response did not begin in time";
      case HttpClientErrc::BodyTimeout: return "the body stood still for too long";
      case HttpClientErrc::TotalTimeout: return "it took too long in all";
      case HttpClientErrc::TooLarge: return "the response is larger than allowed";
      case HttpClientErrc::TlsFailed: return "no trustworthy TLS connection";
      case HttpClientErrc::ConnectionReset: return "the connection ended before the response did";
      case HttpClientErrc::BadResponse: return "the response is not HTTP";
      case HttpClientErrc::RedirectRefused: return "a redirect that is not followed";
      case HttpClientErrc::Failed: return "failed";
    }
    return "unknown";
  }
};

}  // namespace

const std::error_category& http_client_category() noexcept {
  static const HttpClientCategory category;
  return category;
}

std::error_code make_error_code(HttpClientErrc code) noexcept {
  return {static_cast<int>(code), http_client_category()};
}

}  // namespace snowfox
