#include "appservice/admin.h"

#include <arpa/inet.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include <snowfox/core/error.h>
#include <snowfox/http/http_json.h>
#include <snowfox/promises/sleep.h>

#include "appservice/api.h"
#include "appservice/status_page.h"

namespace snowfox::appservice {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kComponent = "admin";
constexpr std::string_view kRoot = "/_snowfox/appservice/v1";
/// No service or store is waited for any longer.
constexpr Duration kPatience = 30s;
constexpr std::size_t kMostParked = 100;
/// What is asked has no body.
constexpr std::size_t kMostBodyBytes = 1024;

const std::array<HttpField, 3> kFields{{
    {"Cache-Control", "no-store"},
    {"X-Content-Type-Options", "nosniff"},
    {"Cross-Origin-Resource-Policy", "same-origin"},
}};

void answer_shown(HttpResponder& responder, int status, const nlohmann::json& value) {
  answer_json(responder, status, value, std::span<const HttpField>(kFields));
}

/// What a number in the query says; `usual` if it is not there. Nothing: it is none, or more than `most`.
std::optional<std::size_t> number(const HttpRequest& request, std::string_view name, std::size_t usual,
                                  std::size_t most) {
  const auto text = request.query_value(name);
  if (!text) return usual;
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || text->empty() || value > most) return std::nullopt;
  return value;
}

/// Nothing: it was answered.
std::optional<OverviewQuery> query_of(HttpEvent& event) {
  const HttpRequest& request = event.request();
  const auto limit = number(request, "limit", OverviewQuery::kUsualLimit, OverviewQuery::kMostLimit);
  const auto offset = number(request, "offset", 0, Registrations::kMostServices);
  if (!limit || !offset) {
    answer_error(event.responder(), 400, "M_INVALID_PARAM", "limit: expected 0 to 1000, offset: expected 0 to 10000");
    return std::nullopt;
  }
  return OverviewQuery{.service = request.query_value("service").value_or(""),
                       .match = request.query_value("match").value_or(""),
                       .limit = *limit,
                       .offset = *offset};
}

std::string make_nonce() {
  std::array<unsigned char, 16> random{};
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    throw std::system_error(errno, std::system_category(), "getrandom");
  }
  std::string text;
  for (const unsigned char byte : random) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string page_with(std::string_view nonce) {
  constexpr std::string_view kMark = "{{nonce}}";
  std::string text(kStatusPage);
  for (std::size_t at = 0; (at = text.find(kMark, at)) != std::string::npos;) text.replace(at, kMark.size(), nonce);
  return text;
}

/// What has gone wrong with the store.
void answer_trouble(HttpResponder& responder, LoopManager& loop, const std::exception_ptr& error) {
  loop.log().warning(kComponent, "the store did not do what was asked for by hand", {{"error", describe(error)}},
                     responder.correlation_id());
  answer_error(responder, 503, "M_UNKNOWN", "the store does not do that at the moment: " + describe(error),
               {{"Retry-After", "5"}});
}

}  // namespace

bool known_host(std::string_view host, const std::vector<std::string>& names) noexcept {
  if (host.starts_with('[')) {
    const std::size_t end = host.find(']');
    if (end == std::string_view::npos) return false;
    const std::string_view port = host.substr(end + 1);
    std::array<char, INET6_ADDRSTRLEN> text{};
    in6_addr ignored{};
    if (end - 1 >= text.size() || !(port.empty() || port.starts_with(':'))) return false;
    host.substr(1, end - 1).copy(text.data(), text.size());
    return inet_pton(AF_INET6, text.data(), &ignored) == 1;
  }
  const std::string_view name = host.substr(0, host.find(':'));
  if (same_token(name, "localhost")) return true;
  if (std::any_of(names.begin(), names.end(), [&](const std::string& known) { return same_token(known, name); })) {
    return true;
  }
  std::array<char, INET_ADDRSTRLEN> text{};
  in_addr ignored{};
  if (name.size() >= text.size()) return false;
  name.copy(text.data(), text.size());
  return inet_pton(AF_INET, text.data(), &ignored) == 1;
}

Admin::Admin(LoopManager& loop, HttpProtocol& protocol, Scheduler& scheduler, Store& store, Metrics& metrics,
             OverviewFacts facts)
    : loop_(loop),
      scheduler_(scheduler),
      overview_(loop, scheduler, store, std::move(facts)),
      watchers_(loop, overview_) {
  route(protocol, "/", &Admin::page);
  route(protocol, std::string(kRoot) + "/services", &Admin::services);
  route(protocol, std::string(kRoot) + "/watch", &Admin::watch);
  route_service(protocol, "GET", "/parked", &Admin::parked);
  route_service(protocol, "POST", "/pause", &Admin::pause);
  route_service(protocol, "POST", "/resume", &Admin::resume);
  route_service(protocol, "POST", "/retry", &Admin::retry);
  route_service(protocol, "POST", "/ping", &Admin::ping);
  route_service(protocol, "POST", "/parked/{txn:digits}/requeue", &Admin::requeue);
  add_metrics(metrics, loop, scheduler, store, overview_.facts());
}

// --- who may ask ---

bool Admin::host_is_known(HttpEvent& event) const {
  if (known_host(event.request().host(), hosts_)) return true;
  answer_error(
      event.responder(), 403, "M_FORBIDDEN",
      "this daemon is asked by its IP address, as localhost or by one of admin_hosts in its configuration, not "
      "by any other name: that may be another site's");
  return false;
}

void Admin::route(HttpProtocol& protocol, std::string_view pattern, Handler handler) {
  protocol.router.add("GET", pattern, [this, handler](HttpEvent& event) {
    if (host_is_known(event)) (this->*handler)(event);
  });
}

void Admin::route_service(HttpProtocol& protocol, std::string_view method, std::string_view pattern, Action action) {
  const auto handle = [this, action, changes = method == "POST"](HttpEvent& event) {
    if (!host_is_known(event)) return;
    if (changes && event.request().field("X-SnowFox-Admin") != "1") {
      answer_error(event.responder(), 403, "M_FORBIDDEN",
                   "what changes something must have the header field X-SnowFox-Admin: 1");
      return;
    }
    Delivery* const delivery = scheduler_.find(*event.request().parameter("id"));
    if (delivery == nullptr) {
      answer_error(event.responder(), 404, "M_NOT_FOUND", "no service of that id is registered");
      return;
    }
    (this->*action)(event, *delivery);
  };
  protocol.router.add(method, std::string(kRoot) + "/services/{id}" + std::string(pattern), handle,
                      {.max_body_bytes = kMostBodyBytes});
}

// --- looking ---

void Admin::page(HttpEvent& event) {
  const std::string nonce = make_nonce();
  const std::string policy = "default-src 'none'; script-src 'nonce-" + nonce + "'; style-src 'nonce-" + nonce +
                             "'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
                             "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";
  event.answer({.content_type = "text/html; charset=utf-8",
                .body = page_with(nonce),
                .fields = {{"Content-Security-Policy", policy},
                           {"X-Content-Type-Options", "nosniff"},
                           {"X-Frame-Options", "DENY"},
                           {"Referrer-Policy", "no-referrer"},
                           {"Cross-Origin-Opener-Policy", "same-origin"},
                           {"Cross-Origin-Resource-Policy", "same-origin"},
                           {"Cache-Control", "no-store"}}});
}

void Admin::services(HttpEvent& event) {
  const auto query = query_of(event);
  if (!query) return;
  if (!query->service.empty() && scheduler_.find(query->service) == nullptr) {
    answer_error(event.responder(), 404, "M_NOT_FOUND", "no service of that id is registered");
    return;
  }
  overview_.take();
  event.answer({.content_type = "application/json",
                .body = overview_.text(*query),
                .fields = std::span<const HttpField>(kFields)});
}

void Admin::watch(HttpEvent& event) {
  if (event.request().method() == "HEAD") {
    event.answer({.content_type = "text/event-stream"});
    return;
  }
  auto query = query_of(event);
  if (!query || watchers_.add(event.responder(), std::move(*query))) return;
  answer_error(event.responder(), 503, "M_LIMIT_EXCEEDED", "too many are watching already, or the daemon is ending",
               {{"Retry-After", "10"}});
}

void Admin::parked(HttpEvent& event, Delivery& delivery) {
  const auto responder = std::make_shared<HttpResponder>(event.take_responder());
  with_deadline(delivery.parked(kMostParked), kPatience)
      .then([responder, &delivery](const std::vector<ParkedTransaction>& transactions) {
        nlohmann::json list = nlohmann::json::array();
        for (const ParkedTransaction& one : transactions) {
          list.push_back({{"id", one.id},
                          {"events", one.events},
                          {"reason", one.reason},
                          {"created", one.created},
                          {"failures", one.failures}});
        }
        answer_shown(*responder, 200,
                     {{"service", delivery.registration().id},
                      {"number", delivery.status().parked},
                      {"parked", std::move(list)}});
      })
      .otherwise([responder, this](const std::exception_ptr& error) { answer_trouble(*responder, loop_, error); })
      .detach();
}

// --- telling ---

void Admin::answer_service(HttpResponder& responder, const Delivery& delivery) const {
  answer_shown(responder, 200, overview_.service(delivery));
}

/// What the service is like when that is durable.
void Admin::answer_when(HttpEvent& event, Delivery& delivery, Promise<void> done) {
  const auto responder = std::make_shared<HttpResponder>(event.take_responder());
  with_deadline(std::move(done), kPatience)
      .then([responder, &delivery, this] { answer_service(*responder, delivery); })
      .otherwise([responder, this](const std::exception_ptr& error) { answer_trouble(*responder, loop_, error); })
      .detach();
}

void Admin::pause(HttpEvent& event, Delivery& delivery) { answer_when(event, delivery, delivery.pause()); }
void Admin::resume(HttpEvent& event, Delivery& delivery) { answer_when(event, delivery, delivery.resume()); }

void Admin::retry(HttpEvent& event, Delivery& delivery) {
  const DeliveryStatus status = delivery.status();
  if (!status.next_retry) {
    answer_error(event.responder(), 409, "M_BAD_STATE",
                 "nothing waits to be sent again: the service is " + std::string(status.doing));
    return;
  }
  delivery.retry_now();
  answer_service(event.responder(), delivery);
}

void Admin::ping(HttpEvent& event, Delivery& delivery) {
  if (!delivery.registration().url) {
    answer_error(event.responder(), 400, "M_URL_NOT_SET", "the service's registration has no url");
    return;
  }
  const auto responder = std::make_shared<HttpResponder>(event.take_responder());
  delivery.ping("")
      .then([responder, begun = loop_.now(), this](const Answer& answer) {
        answer_ping(*responder, answer, loop_.now() - begun, std::span<const HttpField>(kFields));
      })
      .detach();
}

void Admin::requeue(HttpEvent& event, Delivery& delivery) {
  const std::string_view digits = *event.request().parameter("txn");
  TransactionId transaction = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), transaction);
  const auto responder = std::make_shared<HttpResponder>(event.take_responder());
  if (error != std::errc()) {
    answer_error(*responder, 404, "M_NOT_FOUND", "no transaction of that id is parked");
    return;
  }
  with_deadline(delivery.requeue(transaction), kPatience)
      .then([responder, &delivery, this](bool found) {
        if (found) return answer_service(*responder, delivery);
        answer_error(*responder, 404, "M_NOT_FOUND", "no transaction of that id is parked");
      })
      .otherwise([responder, this](const std::exception_ptr& failed) { answer_trouble(*responder, loop_, failed); })
      .detach();
}

// --- metrics ---

void add_metrics(Metrics& metrics, LoopManager& loop, Scheduler& scheduler, const Store& store,
                 const OverviewFacts& facts) {
  const auto each = [&scheduler](auto value) {
    return [&scheduler, value](Metrics::Samples& samples) {
      for (std::size_t i = 0; i < scheduler.size(); ++i) {
        const Delivery& delivery = scheduler.at(i);
        samples.add(static_cast<double>(value(delivery.status())), {{"service", delivery.registration().id}});
      }
    };
  };
  // As Synapse has them.
  metrics.counters_from("synapse_appservice_api_sent_transactions", "Transactions that services have taken.",
                        each([](const DeliveryStatus& status) { return status.sent_transactions; }));
  metrics.counters_from("synapse_appservice_api_failed_transactions", "Attempts at transactions that have failed.",
                        each([](const DeliveryStatus& status) { return status.failed_transactions; }));
  metrics.counters_from("synapse_appservice_api_sent_events", "Events that services have taken.",
                        each([](const DeliveryStatus& status) { return status.sent_events; }));
  metrics.gauges_from("snowfox_appservice_up", "1 if the service takes what it is sent.",
                      each([](const DeliveryStatus& status) { return status.up ? 1 : 0; }));
  metrics.gauges_from("snowfox_appservice_paused", "1 if the service is paused by hand.",
                      each([](const DeliveryStatus& status) { return status.paused ? 1 : 0; }));
  metrics.gauges_from("snowfox_appservice_backlog_events", "Events that wait, or are on their way.",
                      each([](const DeliveryStatus& status) { return status.backlog; }));
  metrics.gauges_from("snowfox_appservice_parked_transactions", "Transactions put aside, as they failed too often.",
                      each([](const DeliveryStatus& status) { return status.parked; }));
  metrics.gauges_from(
      "snowfox_appservice_lag_seconds",
      "Age of the oldest event that waits; 0 if none does. Absent if that is not known: of what has waited "
      "for a paused service since before the start.",
      [&loop, &scheduler](Metrics::Samples& samples) {
        for (std::size_t i = 0; i < scheduler.size(); ++i) {
          const Delivery& delivery = scheduler.at(i);
          const DeliveryStatus status = delivery.status();
          if (status.backlog > 0 && !status.oldest) continue;
          const Milliseconds now = wall_milliseconds(loop);
          const std::chrono::milliseconds age(std::max<Milliseconds>(0, now - status.oldest.value_or(now)));
          samples.add(std::chrono::duration<double>(age).count(), {{"service", delivery.registration().id}});
        }
      });
  metrics.gauge_from("snowfox_appservice_store_trouble", "1 if the store cannot be written to at the moment.",
                     [&store] { return store.trouble().empty() ? 0 : 1; });
  metrics.gauge_from("snowfox_appservice_store_backlog_bytes", "Bytes that are written and not committed yet.",
                     [&store] { return static_cast<double>(store.backlog_bytes()); });
  const nlohmann::json intake_now = facts.intake();
  for (auto one = intake_now.begin(); one != intake_now.end(); ++one) {
    const std::string& name = one.key();
    const auto value = [intake = facts.intake, key = name] {
      const nlohmann::json numbers = intake();
      const auto found = numbers.find(key);
      return found != numbers.end() && found->is_number() ? found->get<double>() : 0;
    };
    if (name.ends_with("_total")) {
      metrics.counter_from("snowfox_appservice_intake_" + name, "See docs/appservice-admin.md.", value);
    } else {
      metrics.gauge_from("snowfox_appservice_intake_" + name, "See docs/appservice-admin.md.", value);
    }
  }
}

}  // namespace snowfox::appservice
