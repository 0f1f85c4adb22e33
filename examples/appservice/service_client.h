#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <snowfox/core/clock.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/http_client/http_requester.h>
#include <snowfox/promises/promise.h>

#include "appservice/registration.h"
#include "appservice/transaction.h"

namespace snowfox::appservice {

struct ServiceClientOptions {
  Duration connect_timeout = std::chrono::seconds(10);
  /// From when the request was sent until the answer's header is complete.
  Duration response_timeout = std::chrono::seconds(60);
  /// How long a body may stand still, and how long all of the answer's may take.
  Duration body_timeout = std::chrono::seconds(30);
  std::size_t most_response_bytes = 1U << 20;
  /// Says the token also as `?access_token=`, for services from before Matrix 1.4.
  bool legacy_query_token = false;
};

/// How a service has answered, or not.
struct Answer {
  enum class Kind : std::uint8_t {
    Ok,       ///< 2xx with JSON
    Status,   ///< any other
    BadBody,  ///< 2xx with a body that is no JSON
    NoConnection,
    Timeout,
  };
  Kind kind = Kind::Ok;
  int status = 0;
  std::string text{};  ///< for people: what went wrong
  std::string body{};
  /// As its `Retry-After` asks for, if it does.
  std::optional<Duration> retry_after{};
  Duration took{};

  bool ok() const noexcept { return kind == Kind::Ok; }
  /// The answer speaks against what was sent, rather than against how the service is at the moment: a status of 4xx
  /// that has to do neither with its load (408, 429) nor with who is asking (401, 403).
  bool refusal() const noexcept;
};

/// What a homeserver asks of an application service over HTTP, as in the Application Service API of Matrix
/// (https://spec.matrix.org/v1.9/application-service-api/). No promise of it is rejected but by the end of the loop.
class ServiceClient {
 public:
  /// All must outlive it. What is asked in passing, pings and queries, goes by another requester than transactions, so
  /// that those never wait for it.
  ServiceClient(LoopManager& loop, HttpRequester& for_transactions, HttpRequester& for_questions,
                const ServiceClientOptions& options) noexcept
      : loop_(loop), for_transactions_(for_transactions), for_questions_(for_questions), options_(options) {}
  /// All by one.
  ServiceClient(LoopManager& loop, HttpRequester& requester, const ServiceClientOptions& options) noexcept
      : ServiceClient(loop, requester, requester, options) {}

  void set_options(const ServiceClientOptions& options) noexcept { options_ = options; }

  /// A service without a URL has it, as if it had said so.
  Promise<Answer> send(const Registration& service, const Transaction& transaction, const CorrelationId& id);
  /// 404 is Status. The service must have a URL.
  Promise<Answer> has_user(const Registration& service, std::string_view user_id);
  Promise<Answer> has_room(const Registration& service, std::string_view alias);
  /// What is in the answer's body is cut short and without the service's tokens, as in its text.
  Promise<Answer> ping(const Registration& service, std::string_view transaction_id);

 private:
  Promise<Answer> ask(HttpRequester& requester, HttpClientRequest request, const Registration& service);

  LoopManager& loop_;
  HttpRequester& for_transactions_;
  HttpRequester& for_questions_;
  ServiceClientOptions options_;
};

}  // namespace snowfox::appservice
