#include "http_client_exchange.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>

#include "http_client_engine.h"
#include "http_client_redirect.h"
#include "http_client_transfer.h"
#include "http_url.h"

namespace snowfox {
namespace {

/// Above, the server has to wait until the program has taken it.
constexpr std::size_t kMostAhead = 64U << 10;
/// So much of the body of a redirect is read to keep the connection.
constexpr std::size_t kMostOfRedirect = 64U << 10;
/// A body whose length was announced gets its memory at once, up to this: what is announced need not come.
constexpr std::size_t kMostInAdvance = 1U << 20;

bool is_idempotent(std::string_view method) noexcept {
  constexpr std::array<std::string_view, 6> kMethods{"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
  return std::find(kMethods.begin(), kMethods.end(), method) != kMethods.end();
}

std::string_view trim(std::string_view text) noexcept {
  constexpr std::string_view kBlanks = " \t";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

/// 0 if none is; nothing if what is said is no number, or two of them. libcurl is content with "1x".
std::optional<std::size_t> announced_length(const HttpClientHeaders& headers) noexcept {
  std::optional<std::size_t> length;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    const auto [name, value] = headers[i];
    if (!equal_ignoring_case(name, "Content-Length")) continue;
    std::uint64_t bytes = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), bytes);
    if (error != std::errc{} || end != value.data() + value.size() || (length && *length != bytes)) return std::nullopt;
    length = bytes;
  }
  return length.value_or(0);
}

void rethrow_if_it_ends_the_loop(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const CleanExit&) {
    throw;
  } catch (const AbortError&) {
    throw;
  } catch (...) {
    // The promise is rejected with it.
  }
}

}  // namespace

/// Knows its exchange as long as that is there.
class HttpClientExchange::Delivery final : public Event {
 public:
  explicit Delivery(HttpClientExchange& exchange) : Event(exchange.id()), exchange_(&exchange) {
    exchange.delivery_ = this;
  }
  ~Delivery() override {
    // The program took it out of the loop and did not handle it: nobody will ever settle the promise otherwise.
    if (exchange_ != nullptr) exchange_->engine_.forget(*exchange_);
  }
  void handle() override {
    if (exchange_ != nullptr) exchange_->deliver(*this);
  }
  std::string_view name() const noexcept override { return "HttpClientDelivery"; }

  /// Null once it has gone.
  HttpClientExchange* exchange() const noexcept { return exchange_; }
  void forget() noexcept { exchange_ = nullptr; }

 private:
  HttpClientExchange* exchange_;
};

HttpClientExchange::HttpClientExchange(HttpClientEngine& engine, HttpClientRequest&& given,
                                       Resolver<HttpClientResponse>&& resolver_, TimePoint since_)
    : request(std::move(given)),
      resolver(std::move(resolver_)),
      since(since_),
      engine_(engine),
      max_body_bytes_(request.max_body_bytes.value_or(request.on_body ? SIZE_MAX : engine.options().max_body_bytes)),
      streaming_(request.on_body != nullptr),
      idempotent_(is_idempotent(request.method)) {
  if (timeouts().total != Duration::max()) engine_.loop().arm(total_timer_, timeouts().total);
}

HttpClientExchange::~HttpClientExchange() {
  if (delivery_ != nullptr) delivery_->forget();
}

std::string_view HttpClientExchange::what() const noexcept {
  switch (phase) {
    case Phase::Waiting: return "a turn to send an HTTP request";
    case Phase::Connecting: return "an HTTP connection";
    case Phase::Sending: return "an HTTP server to take the request";
    case Phase::Expecting: return "an HTTP response";
    case Phase::Receiving: return "the body of an HTTP response";
    case Phase::Over: break;
  }
  return "the program to take an HTTP response";
}

TimePoint HttpClientExchange::deadline() const noexcept {
  return std::min(phase_timer_.armed() ? phase_timer_.deadline() : kNever,
                  total_timer_.armed() ? total_timer_.deadline() : kNever);
}

void HttpClientExchange::begin_phase(Phase next) noexcept {
  phase = next;
  moved_bytes_ = 0;
  Duration limit = Duration::max();
  if (phase == Phase::Expecting) limit = timeouts().headers;
  if (phase == Phase::Sending || phase == Phase::Receiving) limit = timeouts().stall;
  // Connecting is timed by libcurl, which gives each address of a host its share.
  if (limit == Duration::max() || paused) return phase_timer_.disarm();
  engine_.loop().arm(phase_timer_, limit);
}

void HttpClientExchange::moved(std::size_t bytes) noexcept {
  moved_bytes_ += bytes;
  if (moved_bytes_ >= timeouts().stall_bytes) begin_phase(phase);
}

void HttpClientExchange::phase_timed_out() noexcept {
  engine_.break_off(*this, phase == Phase::Expecting ? HttpClientErrc::HeadersTimeout : HttpClientErrc::BodyTimeout);
}

void HttpClientExchange::TotalTimer::expire() noexcept {
  exchange.engine_.break_off(exchange, HttpClientErrc::TotalTimeout);
}

// --- the response's header ---

void HttpClientExchange::begin_head(std::string_view status_line) {
  head_complete_ = false;
  follows = false;
  response.headers.clear();
  response.status = 0;
  const std::size_t blank = status_line.find(' ');
  if (blank == status_line.npos) return;
  const std::string_view digits = status_line.substr(blank + 1, 3);
  std::from_chars(digits.data(), digits.data() + digits.size(), response.status);
}

bool HttpClientExchange::take_header_line(std::string_view line) {
  sent = true;
  header_bytes_ += line.size() + 2;
  if (header_bytes_ > engine_.options().max_header_bytes) {
    set_problem(HttpClientErrc::TooLarge, "its header");
    return false;
  }
  if (line.starts_with("HTTP/")) {
    begin_head(line);
  } else if (line.empty()) {
    return head_complete_ || end_head();
  } else if (head_complete_) {
    // A trailer: it came after the body, and nobody waits for it.
  } else if (line.front() == ' ' || line.front() == '\t') {
    response.headers.continue_last(trim(line));
  } else if (const std::size_t colon = line.find(':'); colon != line.npos) {
    response.headers.add(trim(line.substr(0, colon)), trim(line.substr(colon + 1)));
  }
  return true;
}

bool HttpClientExchange::end_head() {
  // After "100 Continue" and the like comes another one.
  if (response.status / 100 == 1) return true;
  const std::optional<std::size_t> length = announced_length(response.headers);
  if (!length) {
    set_problem(HttpClientErrc::BadResponse, "its length is no number");
    return false;
  }
  head_complete_ = true;
  body_bytes_ = 0;
  follows = follows_redirect(request, response);
  begin_phase(Phase::Receiving);
  if (!streaming_ && !follows) response.body.reserve(std::min({*length, max_body_bytes_, kMostInAdvance}));
  return true;
}

// --- the response's body ---

bool HttpClientExchange::must_pause() const noexcept { return streaming_ && !follows && piece_.size() >= kMostAhead; }

bool HttpClientExchange::take_body(std::string_view bytes) {
  body_bytes_ += bytes.size();
  moved(bytes.size());
  if (follows) {
    cut = body_bytes_ > kMostOfRedirect;
    return !cut;
  }
  if (body_bytes_ > max_body_bytes_) {
    set_problem(HttpClientErrc::TooLarge, "its body");
    return false;
  }
  engine_.count_body(bytes.size());
  if (!streaming_) {
    response.body.append(bytes);
    return true;
  }
  piece_.append(bytes);
  engine_.deliver_if_possible(*this);
  return true;
}

// --- its end ---

std::exception_ptr http_client_problem(const HttpClientRequest& request, std::error_code code, std::string_view detail,
                                       bool sent) noexcept {
  try {
    std::string text = request.method + " " + url_for_people(request.url);
    if (!detail.empty()) text.append(": ").append(detail);
    return std::make_exception_ptr(HttpClientError(code, text, sent));
  } catch (...) {
    return make_error(code);
  }
}

std::exception_ptr HttpClientExchange::make_problem(std::error_code code, std::string_view detail) const noexcept {
  return http_client_problem(request, code, detail, sent);
}

void HttpClientExchange::set_problem(std::error_code code, std::string_view detail) {
  if (problem == nullptr) problem = make_problem(code, detail);
}

void HttpClientExchange::end(std::exception_ptr error) noexcept {
  problem = std::move(error);
  phase_timer_.disarm();
  total_timer_.disarm();
  phase = Phase::Over;
  // Nobody is interested in pieces of what has failed.
  if (problem != nullptr) {
    piece_.clear();
    // It may hold the promise, and so this exchange, and stays until that is settled.
    flow_waits_ = false;
  }
}

// --- what the program is given ---

bool HttpClientExchange::deliverable() const noexcept {
  return delivery_ == nullptr && !flow_waits_ && (phase == Phase::Over || !piece_.empty());
}

EventRef HttpClientExchange::make_delivery() { return std::make_unique<Delivery>(*this); }

void HttpClientExchange::deliver(Delivery& delivery) {
  if (!piece_.empty()) {
    give_body(delivery);
  } else {
    settle();
  }
}

void HttpClientExchange::give_body(Delivery& delivery) {
  // The function may drop the promise, and so this exchange: what it uses meanwhile is in here.
  const HttpClientRequest::OnBody on_body = std::move(request.on_body);
  HttpClientResponse head = std::move(response);
  std::string piece = std::move(piece_);
  Promise<void> flow;
  std::exception_ptr error;
  try {
    flow = on_body(head, piece);
  } catch (...) {
    error = std::current_exception();
  }
  if (delivery.exchange() == nullptr) {
    if (error != nullptr) std::rethrow_exception(error);
    return;
  }
  delivery.forget();
  delivery_ = nullptr;
  if (error != nullptr) {
    engine_.break_off(*this, error);
    rethrow_if_it_ends_the_loop(error);
    return;
  }
  request.on_body = on_body;
  response = std::move(head);
  piece.clear();
  piece_ = std::move(piece);
  if (flow.valid()) {
    flow_waits_ = true;
    flow_ = std::move(flow).then([this] { flow_settled(nullptr); }).otherwise([this](std::exception_ptr why) {
      flow_settled(std::move(why));
    });
    return;
  }
  engine_.go_on(*this);
}

void HttpClientExchange::flow_settled(std::exception_ptr error) {
  if (!std::exchange(flow_waits_, false)) return;
  if (error != nullptr) return engine_.break_off(*this, std::move(error));
  engine_.go_on(*this);
}

void HttpClientExchange::settle() { engine_.settle(*this); }

}  // namespace snowfox
