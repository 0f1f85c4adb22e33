#include "appservice/service_client.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <snowfox/core/error.h>
#include <snowfox/http_client/http_client_error.h>

#include "appservice/secrets.h"

namespace snowfox::appservice {
namespace {

/// What a service says about its error, in Matrix's form; else nothing.
std::string matrix_error(const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  if (!json.is_object()) return {};
  std::string text;
  for (const char* key : {"errcode", "error"}) {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_string()) continue;
    text += (text.empty() ? "" : " ") + found->get<std::string>();
  }
  return text;
}

std::optional<Duration> retry_after(const HttpClientResponse& response) {
  const auto field = response.headers.find("Retry-After");
  if (!field) return std::nullopt;
  std::uint32_t seconds = 0;
  const char* const end = field->data() + field->size();
  const auto [rest, error] = std::from_chars(field->data(), end, seconds);
  if (error != std::errc() || rest != end) return std::nullopt;  // a date: nobody sends that
  return std::chrono::seconds(seconds);
}

/// What a client's error says begins with method and URL, which whoever reads of a service knows.
std::string without_request(std::string text) {
  const std::size_t end = text.find(": ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

Answer answer_of(HttpClientResponse response) {
  Answer answer;
  answer.status = response.status;
  answer.took = response.timings.total;
  if (!response.ok()) {
    answer.kind = Answer::Kind::Status;
    answer.text = fmt::format("HTTP {}", response.status);
    if (const std::string said = matrix_error(response.body); !said.empty()) answer.text += ": " + said;
    answer.retry_after = retry_after(response);
  } else if (!nlohmann::json::accept(response.body)) {
    answer.kind = Answer::Kind::BadBody;
    answer.text = response.body.empty() ? fmt::format("HTTP {} with an empty body", response.status)
                                        : fmt::format("HTTP {} with a body that is no JSON", response.status);
  }
  answer.body = std::move(response.body);
  return answer;
}

Answer answer_of(const std::exception_ptr& error) {
  Answer answer;
  answer.kind = Answer::Kind::NoConnection;
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& failed) {
    if (failed.code() == Errc::ShuttingDown) throw;
    const std::error_code code = failed.code();
    if (code == HttpClientErrc::ConnectTimeout || code == HttpClientErrc::HeadersTimeout ||
        code == HttpClientErrc::BodyTimeout || code == HttpClientErrc::TotalTimeout) {
      answer.kind = Answer::Kind::Timeout;
    }
    answer.text = without_request(describe(error));
  }
  return answer;
}

}  // namespace

bool Answer::refusal() const noexcept {
  if (kind != Kind::Status || status < 400 || status > 499) return false;
  return status != 401 && status != 403 && status != 408 && status != 429;
}

Promise<Answer> ServiceClient::send(const Registration& service, const Transaction& transaction,
                                    const CorrelationId& id) {
  if (!service.url) return resolved(loop_, Answer{});
  HttpClientRequest request;
  request.method = "PUT";
  request.url = fmt::format("{}/_matrix/app/v1/transactions/{}", *service.url, transaction.id);
  request.headers.add("Content-Type", "application/json");
  request.body = transaction.body;
  request.correlation_id = id;
  return ask(for_transactions_, std::move(request), service);
}

Promise<Answer> ServiceClient::has_user(const Registration& service, std::string_view user_id) {
  HttpClientRequest request;
  request.url = *service.url + "/_matrix/app/v1/users/" + percent_encoded(user_id);
  return ask(for_questions_, std::move(request), service);
}

Promise<Answer> ServiceClient::has_room(const Registration& service, std::string_view alias) {
  HttpClientRequest request;
  request.url = *service.url + "/_matrix/app/v1/rooms/" + percent_encoded(alias);
  return ask(for_questions_, std::move(request), service);
}

Promise<Answer> ServiceClient::ping(const Registration& service, std::string_view transaction_id) {
  HttpClientRequest request;
  request.method = "POST";
  request.url = *service.url + "/_matrix/app/v1/ping";
  request.headers.add("Content-Type", "application/json");
  nlohmann::json body = nlohmann::json::object();
  if (!transaction_id.empty()) body["transaction_id"] = std::string(transaction_id);
  request.body = body.dump();
  // It is shown to people.
  return ask(for_questions_, std::move(request), service)
      .then([ours = service.hs_token, theirs = service.as_token](Answer answer) {
        answer.body = without_secrets(std::move(answer.body), {ours, theirs});
        return answer;
      });
}

Promise<Answer> ServiceClient::ask(HttpRequester& requester, HttpClientRequest request, const Registration& service) {
  request.headers.add("Authorization", "Bearer " + service.hs_token);
  if (options_.legacy_query_token) request.url += "?access_token=" + percent_encoded(service.hs_token);
  request.redirects = HttpClientRedirects::Only308;
  request.max_body_bytes = options_.most_response_bytes;
  request.timeouts =
      HttpClientTimeouts{.connect = options_.connect_timeout,
                         .headers = options_.response_timeout,
                         .stall = options_.body_timeout,
                         // A request's body may take as long as an answer's.
                         .total = options_.connect_timeout + options_.response_timeout + 2 * options_.body_timeout};
  return requester.send(std::move(request))
      .then([](HttpClientResponse response) -> Answer { return answer_of(std::move(response)); })
      .otherwise([](const std::exception_ptr& error) { return answer_of(error); })
      .then([ours = service.hs_token, theirs = service.as_token](Answer answer) {
        answer.text = without_secrets(std::move(answer.text), {ours, theirs});
        return answer;
      });
}

}  // namespace snowfox::appservice
