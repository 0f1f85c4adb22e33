#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <snowfox/core/clock.h>
#include <snowfox/http/http_protocol.h>
#include <snowfox/promises/promise.h>

#include "appservice/intake.h"
#include "appservice/interest.h"
#include "appservice/scheduler.h"
#include "appservice/service_client.h"

namespace snowfox::appservice {

/// `{"errcode":…,"error":…}`, as Matrix has its errors
/// (https://spec.matrix.org/v1.9/client-server-api/#standard-error-response).
bool answer_error(HttpResponder& responder, int status, std::string_view code, std::string_view error,
                  HttpFields fields = {});

/// The same text for whoever answers otherwise.
HttpErrorBody matrix_error(std::string_view code, std::string_view error);
/// … and for what the server refuses by itself: see HttpProtocol::error_body.
HttpErrorBody matrix_error_body(int status, std::string_view reason);

/// What came of a ping, to whoever has asked for it; `took` is how long it took
/// (https://spec.matrix.org/v1.9/application-service-api/#post_matrixclientv1appserviceappserviceidping).
bool answer_ping(HttpResponder& responder, const Answer& answer, Duration took, HttpFields fields = {});

/// What homeservers and services ask of us over HTTP:
///
/// - `POST /_snowfox/appservice/v1/events`: takes events in; 200 with their ids when they are durable.
/// - `POST /_matrix/client/v1/appservice/{id}/ping`: asks the service, on its own behalf, whether it hears us.
/// - `GET /_snowfox/appservice/v1/users/{userId}`, `…/rooms/{alias}`: whether one of the services to whose namespaces
/// it
///   belongs knows of it.
///
/// Whoever submits or asks for users and rooms must say the submit token, if there is one.
class Api {
 public:
  /// All must outlive it. Adds its routes to `protocol`.
  Api(LoopManager& loop, HttpProtocol& protocol, Intake& intake, Scheduler& scheduler, ServiceClient& client,
      Rooms& rooms);
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  /// Empty: none is asked for.
  void set_submit_token(std::string token) { submit_token_ = std::move(token); }

 private:
  enum class Asked { User, Room };
  void submit(HttpEvent& event);
  void ping(HttpEvent& event);
  void query(HttpEvent& event, Asked what);
  Promise<Answer> ask(const Delivery& service, Asked what, const std::string& name);
  Task<> ask_services(HttpResponder responder, Asked what, std::string name, std::vector<std::string> services);
  std::optional<HttpDenial> stranger(const HttpRequest& request) const;
  bool started(HttpEvent& event) const;

  LoopManager& loop_;
  Intake& intake_;
  Scheduler& scheduler_;
  ServiceClient& client_;
  Rooms& rooms_;
  std::string submit_token_;
};

}  // namespace snowfox::appservice
