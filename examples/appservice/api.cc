#include "appservice/api.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include <snowfox/core/error.h>
#include <snowfox/http/http_json.h>

namespace snowfox::appservice {
namespace {

constexpr std::string_view kComponent = "api";
constexpr std::string_view kSubmitPath = "/_snowfox/appservice/v1/events";
/// What a ping may say.
constexpr std::size_t kMostPingBytes = 16U << 10;

/// `Authorization: Bearer …`, else `?access_token=` if that is allowed.
std::optional<std::string> token_of(const HttpRequest& request, bool in_query) {
  constexpr std::string_view kBearer = "Bearer ";
  if (const auto field = request.field("Authorization")) {
    if (field->size() < kBearer.size() || !same_token(field->substr(0, kBearer.size() - 1), "Bearer")) return "";
    return std::string(field->substr(kBearer.size()));
  }
  return in_query ? request.query_value("access_token") : std::nullopt;
}

void refuse_submission(HttpResponder& responder, const std::exception_ptr& error, LoopManager& loop) {
  try {
    std::rethrow_exception(error);
  } catch (const ClientEventError& wrong) {
    switch (wrong.kind()) {
      case ClientEventError::Kind::NotJson: answer_error(responder, 400, "M_NOT_JSON", wrong.what()); return;
      case ClientEventError::Kind::BadJson: answer_error(responder, 400, "M_BAD_JSON", wrong.what()); return;
      case ClientEventError::Kind::TooLarge: answer_error(responder, 413, "M_TOO_LARGE", wrong.what()); return;
    }
  } catch (const std::system_error& failed) {
    if (failed.code() == Errc::LimitReached) {
      answer_error(responder, 429, "M_LIMIT_EXCEEDED", "too much is waiting to be stored", {{"Retry-After", "1"}});
      return;
    }
  } catch (const std::exception&) {
  }
  loop.log().warning(kComponent, "events could not be stored", {{"error", describe(error)}},
                     responder.correlation_id());
  answer_error(responder, 503, "M_UNKNOWN", "the events cannot be stored at the moment", {{"Retry-After", "5"}});
}

/// What a submission is answered. Ids are plain but for what somebody makes up; to have the whole made by a library
/// costs as much as all else about a short answer.
std::string accepted_body(const std::vector<std::string>& ids) {
  const auto special = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\'; };
  std::string body = R"({"event_ids":[)";
  for (const std::string& id : ids) {
    if (body.back() != '[') body += ',';
    if (std::none_of(id.begin(), id.end(), special)) {
      body.append(1, '"').append(id).append(1, '"');
    } else {
      body += nlohmann::json(id).dump();
    }
  }
  return body += "]}";
}

/// Some services have their errors with a status of 200: matrix-appservice 2.0.0 does for an alias that it does not
/// know.
bool is_error(const std::string& body) {
  const auto json = nlohmann::json::parse(body, nullptr, false);
  return json.is_object() && json.contains("errcode");
}

/// What a ping's body says, empty if nothing. Nothing: it is wrong, and that was answered.
std::optional<std::string> ping_transaction_id(HttpEvent& event) {
  const std::string_view text = event.request().body();
  if (text.empty()) return "";
  nlohmann::json body;
  try {
    body = parse_json(text);
  } catch (const JsonError& error) {
    answer_error(event.responder(), 400, "M_NOT_JSON", error.what());
    return std::nullopt;
  }
  if (!body.is_object()) {
    answer_error(event.responder(), 400, "M_BAD_JSON", "expected an object");
    return std::nullopt;
  }
  const auto given = body.find("transaction_id");
  if (given == body.end()) return "";
  if (!given->is_string()) {
    answer_error(event.responder(), 400, "M_BAD_JSON", "transaction_id: expected a string");
    return std::nullopt;
  }
  return given->get<std::string>();
}

}  // namespace

HttpErrorBody matrix_error(std::string_view code, std::string_view error) {
  return {"application/json", nlohmann::json{{"errcode", code}, {"error", error}}.dump()};
}

bool answer_error(HttpResponder& responder, int status, std::string_view code, std::string_view error,
                  HttpFields fields) {
  return answer_json(responder, status, {{"errcode", code}, {"error", error}}, fields);
}

bool answer_ping(HttpResponder& responder, const Answer& answer, Duration took, HttpFields fields) {
  switch (answer.kind) {
    case Answer::Kind::Status:
      return answer_json(responder, 502,
                         {{"errcode", "M_BAD_STATUS"},
                          {"error", "the service has answered " + answer.text},
                          {"status", answer.status},
                          {"body", answer.body}},
                         fields);
    case Answer::Kind::NoConnection: return answer_error(responder, 502, "M_CONNECTION_FAILED", answer.text, fields);
    case Answer::Kind::Timeout: return answer_error(responder, 504, "M_CONNECTION_TIMEOUT", answer.text, fields);
    case Answer::Kind::Ok:
    case Answer::Kind::BadBody: break;  // it hears us, which is all that was asked
  }
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(took);
  return answer_json(responder, 200, {{"duration_ms", milliseconds.count()}}, fields);
}

HttpErrorBody matrix_error_body(int status, std::string_view reason) {
  std::string_view code = "M_UNKNOWN";
  if (status == 404 || status == 405) code = "M_UNRECOGNIZED";
  if (status == 413) code = "M_TOO_LARGE";
  return matrix_error(code, reason);
}

Api::Api(LoopManager& loop, HttpProtocol& protocol, Intake& intake, Scheduler& scheduler, ServiceClient& client,
         Rooms& rooms)
    : loop_(loop), intake_(intake), scheduler_(scheduler), client_(client), rooms_(rooms) {
  const HttpRouteOptions of_homeserver{.deny = [this](const HttpRequest& request) { return stranger(request); }};
  protocol.router.add(
      "POST", kSubmitPath, [this](HttpEvent& event) { submit(event); }, of_homeserver);
  protocol.router.add("POST", "/_matrix/client/v1/appservice/{id}/ping", [this](HttpEvent& event) { ping(event); },
                      {.max_body_bytes = kMostPingBytes});
  protocol.router.add(
      "GET", "/_snowfox/appservice/v1/users/{user}", [this](HttpEvent& event) { query(event, Asked::User); },
      of_homeserver);
  protocol.router.add(
      "GET", "/_snowfox/appservice/v1/rooms/{alias}", [this](HttpEvent& event) { query(event, Asked::Room); },
      of_homeserver);
}

// --- events ---

void Api::submit(HttpEvent& event) {
  const CorrelationId id = event.responder().correlation_id();
  // A request that is kept moves out of its connection's buffer, and what body() gave stays behind.
  const auto text = std::make_shared<const std::string>(event.request().body());
  const auto responder = std::make_shared<HttpResponder>(event.take_responder());
  intake_.submit(*text, text, id)
      .then([responder](const std::vector<std::string>& ids) {
        responder->answer({.content_type = "application/json", .body = accepted_body(ids)});
      })
      .otherwise([responder, this](const std::exception_ptr& error) { refuse_submission(*responder, error, loop_); })
      .detach();
}

/// What is said to one who may not submit anything.
std::optional<HttpDenial> Api::stranger(const HttpRequest& request) const {
  if (submit_token_.empty()) return std::nullopt;
  const auto token = token_of(request, false);
  if (token && same_secret(*token, submit_token_)) return std::nullopt;
  HttpErrorBody said = token ? matrix_error("M_FORBIDDEN", "that is not the submit token")
                             : matrix_error("M_MISSING_TOKEN", "the submit token is missing: Authorization: Bearer …");
  return HttpDenial{token ? 403 : 401, std::move(said.content_type), std::move(said.body)};
}

/// Submissions wait until it is known who the services are; other requests are refused.
bool Api::started(HttpEvent& event) const {
  if (scheduler_.started()) return true;
  answer_error(event.responder(), 503, "M_UNKNOWN", "the store was not read yet", {{"Retry-After", "2"}});
  return false;
}

// --- pings ---

void Api::ping(HttpEvent& event) {
  if (!started(event)) return;
  HttpResponder& now = event.responder();
  const auto token = token_of(event.request(), true);
  if (!token) return static_cast<void>(answer_error(now, 401, "M_MISSING_TOKEN", "the as_token is missing"));
  const auto whose = scheduler_.registrations().find_by_token(*token);
  if (!whose) return static_cast<void>(answer_error(now, 403, "M_FORBIDDEN", "that is no service's as_token"));
  Delivery& delivery = scheduler_.at(*whose);
  if (delivery.registration().id != *event.request().parameter("id")) {
    return static_cast<void>(answer_error(now, 403, "M_FORBIDDEN", "that is another service's as_token"));
  }
  const auto transaction_id = ping_transaction_id(event);
  if (!transaction_id) return;
  if (!delivery.registration().url) {
    return static_cast<void>(answer_error(now, 400, "M_URL_NOT_SET", "the service's registration has no url"));
  }
  const auto responder = std::make_shared<HttpResponder>(event.take_responder());
  delivery.ping(*transaction_id)
      .then([responder, begun = loop_.now(), this](const Answer& answer) {
        answer_ping(*responder, answer, loop_.now() - begun);
      })
      .detach();
}

// --- users and rooms ---

void Api::query(HttpEvent& event, Asked what) {
  if (!started(event)) return;
  std::string name(*event.request().parameter(what == Asked::User ? "user" : "alias"));
  const Interest& interest = rooms_.interest();
  const SharedServiceSet set = what == Asked::User ? interest.users(name) : interest.aliases(name);
  std::vector<std::string> services;
  for (const ServiceIndex service : set->list()) {
    if (interest.registrations()[service].url) services.push_back(interest.registrations()[service].id);
  }
  ask_services(event.take_responder(), what, std::move(name), std::move(services)).detach(loop_);
}

Promise<Answer> Api::ask(const Delivery& service, Asked what, const std::string& name) {
  return what == Asked::User ? client_.has_user(service.registration(), name)
                             : client_.has_room(service.registration(), name);
}

Task<> Api::ask_services(HttpResponder responder, Asked what, std::string name, std::vector<std::string> services) {
  for (const std::string& id : services) {
    Delivery* const service = scheduler_.find(id);
    if (service == nullptr || !service->registration().url) continue;
    Promise<Answer> asked = ask(*service, what, name);
    const Answer answer = co_await std::move(asked);
    if (answer.ok()) {
      if (is_error(answer.body)) continue;
      answer_json(responder, 200, {{"exists", true}, {"service", id}});
      co_return;
    }
    if (answer.status != 404) {
      loop_.log().warning(kComponent, "a service did not say whether it knows a name: taken for no",
                          {{"service", id}, {"name", name}, {"error", answer.text}}, responder.correlation_id());
    }
  }
  answer_error(responder, 404, "M_NOT_FOUND", "no service knows of it");
}

}  // namespace snowfox::appservice
