#include "http_client_engine.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <new>
#include <optional>
#include <random>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/type_name.h>

#include "curl_errors.h"
#include "http_client_redirect.h"
#include "outgoing_header.h"

namespace snowfox {
namespace {

using Phase = HttpClientExchange::Phase;

/// In one turn libcurl is called for what it has to do at once at most so often: then others have theirs.
constexpr int kMostRounds = 16;
/// Libcurl looks through its kept connections at most once a second.
constexpr Duration kSweepAfter = std::chrono::milliseconds(1100);
constexpr std::size_t kMostIdleTransfers = 64;

void initialise_libcurl() {
  static const CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (code != CURLE_OK) throw std::system_error(make_error_code(HttpClientErrc::Failed), "initialise libcurl");
}

void check_readable(const std::string& file) {
  if (!file.empty() && access(file.c_str(), R_OK) != 0) {
    throw std::system_error(errno, std::system_category(), "read " + file);
  }
}

std::uint64_t random_number() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

/// A step of SplitMix64: numbers that do not repeat and do not look like a count.
std::uint64_t mixed(std::uint64_t number) noexcept {
  number = (number ^ number >> 30) * 0xbf58476d1ce4e5b9;
  number = (number ^ number >> 27) * 0x94d049bb133111eb;
  return number ^ number >> 31;
}

bool is_timeout(const std::error_code& code) noexcept {
  return code == HttpClientErrc::ConnectTimeout || code == HttpClientErrc::HeadersTimeout ||
         code == HttpClientErrc::BodyTimeout || code == HttpClientErrc::TotalTimeout;
}

}  // namespace

// The timer may expire in the turn in which it is armed again.
void HttpClientEngine::CurlTimer::expire() noexcept {
  engine.action_due_ = true;
  engine.ready();
}

HttpClientEngine::HttpClientEngine(LoopManager& loop, HttpClientOptions options)
    : EventSource(loop),
      options_(std::move(options)),
      sockets_(loop.poller(), *this),
      last_span_(random_number()),
      on_audit_(loop.lifecycle().audit.add([this](Audit& audit) {
        const HttpClientCounters& n = counters_;
        audit.expect(n.sent == n.answered + n.failed + n.cancelled + under_way_, [&] {
          return "an HTTP client has taken " + std::to_string(n.sent) + " requests; " +
                 std::to_string(n.answered + n.failed + n.cancelled) + " have ended and it has " +
                 std::to_string(under_way_);
        });
        audit.expect(n.connections_opened == n.connections_closed + sockets_.connections(),
                     "an HTTP client has lost count of its connections");
      })),
      on_explain_(loop.lifecycle().explain.add([this](Explanation& explanation) {
        for (auto* member = exchanges_.empty() ? nullptr : &exchanges_.front(); member != nullptr;
             member = exchanges_.after(*member)) {
          const HttpClientExchange& exchange = member->exchange;
          if (!explanation.is_about(exchange.id())) continue;
          explanation.add({exchange.id(), exchange.what(), exchange.since, exchange.deadline()});
        }
      })) {
  initialise_libcurl();
  check_readable(options_.tls.ca_file);
  check_readable(options_.tls.ca_directory);
  check_readable(options_.tls.certificate);
  check_readable(options_.tls.key);
  multi_.reset(curl_multi_init());
  if (multi_ == nullptr) throw std::bad_alloc();
  curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETFUNCTION, &on_socket);
  curl_multi_setopt(multi_.get(), CURLMOPT_SOCKETDATA, this);
  curl_multi_setopt(multi_.get(), CURLMOPT_TIMERFUNCTION, &on_timer);
  curl_multi_setopt(multi_.get(), CURLMOPT_TIMERDATA, this);
  curl_multi_setopt(multi_.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(options_.most_in_all));
  transfers_.reserve(kMostIdleTransfers);
  transfers_.push_back(std::make_unique<HttpClientTransfer>(*this));
  set_background(true);
}

HttpClientEngine::~HttpClientEngine() {
  reject_all();
  if (sweeping_) curl_multi_remove_handle(multi_.get(), sweeper_->handle());
  sweeper_.reset();
  transfers_.clear();
  // Its connections are closed now, of which the sockets are told.
  multi_.reset();
}

std::string HttpClientEngine::name() const {
  return "http client, " + std::to_string(under_way_) + " under way, " + std::to_string(hosts_.waiting()) +
         " of them waiting";
}

// --- from the program ---

Promise<HttpClientResponse> HttpClientEngine::send(HttpClientRequest&& request) {
  if (request.correlation_id.empty()) request.correlation_id = loop().ids().next();
  if (!request.timeouts) request.timeouts = options_.timeouts;
  const std::optional<HttpUrl> url = HttpUrl::parse(request.url);
  if (!url) return refuse(request, HttpClientErrc::BadRequest, "its URL");
  const std::string_view unfit = unfit_for_sending(request);
  if (!unfit.empty()) return refuse(request, HttpClientErrc::BadRequest, unfit);
  if (loop().stopping()) return refuse(request, Errc::ShuttingDown, {});

  const TimePoint now = loop().now();
  HttpClientHost& host = hosts_.find(request, *url);
  const bool at_once = hosts_.has_room(host, now);
  if (!at_once && hosts_.full()) return refuse(request, Errc::LimitReached, {});

  auto [promise, resolver] = make_promise<HttpClientResponse>(loop(), request.correlation_id);
  auto exchange = std::make_unique<HttpClientExchange>(*this, std::move(request), std::move(resolver), now);
  exchange->resolver.on_cancel([this, it = exchange.get()] { cancel(*it); });
  exchange->host = &host;
  exchanges_.push_back(exchange->member);
  HttpClientExchange& sent = *exchange.release();
  ++under_way_;
  ++counters_.sent;
  set_background(false);
  tell(sent.id(), StepKind::Kept);
  if (at_once) {
    hosts_.begin(sent, now);
    start(sent);
  } else {
    hosts_.wait(sent);
  }
  return std::move(promise);
}

Promise<HttpClientResponse> HttpClientEngine::refuse(const HttpClientRequest& request, std::error_code code,
                                                     std::string_view detail) {
  ++counters_.refused;
  return rejected<HttpClientResponse>(loop(), http_client_problem(request, code, detail, false),
                                      request.correlation_id);
}

void HttpClientEngine::cancel(HttpClientExchange& exchange) noexcept {
  ++counters_.cancelled;
  tell(exchange.id(), StepKind::Abandoned);
  remove(exchange);
}

void HttpClientEngine::forget(HttpClientExchange& exchange) noexcept {
  ++counters_.failed;
  remove(exchange);
}

void HttpClientEngine::tell(const CorrelationId& id, StepKind kind) noexcept {
  if (loop().lifecycle().step.empty()) return;
  // A copy: whoever is told may drop the promise, and the exchange with its id.
  loop().lifecycle().step({.id = CorrelationId(id), .kind = kind, .what = type_name(typeid(HttpClientResponse))});
}

// --- the way of an exchange ---

HttpClientTransfer& HttpClientEngine::take_transfer() {
  if (transfers_.empty()) transfers_.push_back(std::make_unique<HttpClientTransfer>(*this));
  HttpClientTransfer& transfer = *transfers_.back().release();
  transfers_.pop_back();
  return transfer;
}

// Its place among those under way is taken.
void HttpClientEngine::start(HttpClientExchange& exchange) noexcept {
  exchange.begin_phase(Phase::Connecting);
  exchange.started_after = loop().now() - exchange.since;
  try {
    HttpClientTransfer& transfer = take_transfer();
    exchange.transfer = &transfer;
    transfer.begin(exchange, mixed(++last_span_) | 1);
    const CURLMcode code = curl_multi_add_handle(multi_.get(), transfer.handle());
    if (code == CURLM_OUT_OF_MEMORY) throw std::bad_alloc();
    if (code != CURLM_OK) {
      throw HttpClientError(HttpClientErrc::Failed, curl_multi_strerror(code));
    }
  } catch (...) {
    break_off(exchange, std::current_exception());
  }
}

void HttpClientEngine::start_those_in_turn() noexcept {
  turns_due_ = false;
  const TimePoint now = loop().now();
  while (HttpClientExchange* const exchange = hosts_.next(now)) start(*exchange);
}

/// Its transfer is ended, and its place among those under way is free.
void HttpClientEngine::release(HttpClientExchange& exchange) noexcept {
  if (exchange.phase == Phase::Waiting) return hosts_.stop_waiting(exchange);
  if (exchange.phase == Phase::Over) return;
  if (HttpClientTransfer* const transfer = std::exchange(exchange.transfer, nullptr)) {
    exchange.sent = exchange.sent || transfer->sent_anything();
    curl_multi_remove_handle(multi_.get(), transfer->handle());
    transfer->end();
    std::unique_ptr<HttpClientTransfer> idle(transfer);
    if (transfers_.size() < kMostIdleTransfers) transfers_.push_back(std::move(idle));
  }
  hosts_.end(exchange);
  turns_due_ = true;
  ready();
}

void HttpClientEngine::end(HttpClientExchange& exchange, std::exception_ptr error) noexcept {
  exchange.end(std::move(error));
  deliver_if_possible(exchange);
}

void HttpClientEngine::break_off(HttpClientExchange& exchange, std::error_code code) noexcept {
  if (exchange.transfer != nullptr) exchange.sent = exchange.sent || exchange.transfer->sent_anything();
  break_off(exchange, exchange.make_problem(code, exchange.what()));
}

void HttpClientEngine::break_off(HttpClientExchange& exchange, std::exception_ptr error) noexcept {
  release(exchange);
  end(exchange, std::move(error));
}

void HttpClientEngine::remove(HttpClientExchange& exchange) noexcept {
  release(exchange);
  --under_way_;
  if (under_way_ == 0) set_background(true);
  const std::unique_ptr<HttpClientExchange> gone(&exchange);
  // What it holds may hold the promise, which with it is dropped: that ends nothing any more.
  exchange.resolver = {};
}

void HttpClientEngine::settle(HttpClientExchange& exchange) noexcept {
  // Settled first: whoever drops the promise after that, told of the end or held by the request, cancels nothing.
  Resolver<HttpClientResponse> resolver = std::move(exchange.resolver);
  const HttpClientRequest request = std::move(exchange.request);
  const std::exception_ptr problem = exchange.problem;
  if (problem != nullptr) {
    ++counters_.failed;
    resolver.reject(problem);
  } else {
    ++counters_.answered;
    if (exchange.response.reused) ++counters_.reused;
    resolver.resolve(std::move(exchange.response));
  }
  remove(exchange);
  tell(request.correlation_id, problem == nullptr             ? StepKind::Fulfilled
                               : is_timeout(code_of(problem)) ? StepKind::TimedOut
                                                              : StepKind::Rejected);
}

void HttpClientEngine::reject_all() noexcept {
  while (!exchanges_.empty()) {
    HttpClientExchange& exchange = exchanges_.front().exchange;
    if (exchange.phase != Phase::Over || exchange.has_pieces()) {
      break_off(exchange, exchange.make_problem(Errc::ShuttingDown, exchange.what()));
    }
    settle(exchange);
  }
}

// --- what there is for the program ---

void HttpClientEngine::deliver_if_possible(HttpClientExchange& exchange) noexcept {
  if (!exchange.deliverable() || exchange.to_deliver.linked()) return;
  to_deliver_.push_back(exchange.to_deliver);
  ready();
}

void HttpClientEngine::go_on(HttpClientExchange& exchange) noexcept {
  if (std::exchange(exchange.paused, false)) {
    exchange.begin_phase(exchange.phase);
    const CURLcode code = curl_easy_pause(exchange.transfer->handle(), CURLPAUSE_CONT);
    if (code != CURLE_OK) {
      break_off(exchange, exchange.problem != nullptr
                              ? exchange.problem
                              : exchange.make_problem(meaning_of(code, {}), curl_easy_strerror(code)));
      return;
    }
  }
  deliver_if_possible(exchange);
}

EventRef HttpClientEngine::parse() {
  drive();
  if (to_deliver_.empty()) return nullptr;
  EventRef delivery = to_deliver_.front().exchange.make_delivery();
  to_deliver_.pop_front();
  return delivery;
}

// --- libcurl's turn ---

void HttpClientEngine::drive() noexcept {
  int running = 0;
  int fd = -1;
  int readiness = 0;
  bool called = false;
  while (sockets_.next_ready(fd, readiness)) {
    curl_multi_socket_action(multi_.get(), fd, readiness, &running);
    called = true;
  }
  if (called || turns_due_ || unwatched_) collect();
  for (int round = 0; action_due_ && round < kMostRounds; ++round) {
    action_due_ = false;
    curl_timer_.disarm();
    curl_multi_socket_action(multi_.get(), CURL_SOCKET_TIMEOUT, 0, &running);
    collect();
  }
  if (action_due_) ready();
}

void HttpClientEngine::collect() noexcept {
  int left = 0;
  while (const CURLMsg* const message = curl_multi_info_read(multi_.get(), &left)) {
    if (message->msg == CURLMSG_DONE) {
      transfer_over(HttpClientTransfer::of(message->easy_handle), message->data.result);
    }
  }
  if (unwatched_) break_off_unwatched();
  if (turns_due_) start_those_in_turn();
}

void HttpClientEngine::transfer_over(HttpClientTransfer& transfer, CURLcode code) noexcept {
  if (transfer.exchange() == nullptr) {
    curl_multi_remove_handle(multi_.get(), transfer.handle());
    sweeping_ = false;
    return;
  }
  HttpClientExchange& exchange = *transfer.exchange();
  HttpClientHost& host = *exchange.host;
  const bool looked_up_in_vain = host.scout == &exchange && exchange.lookup_begun;
  std::exception_ptr problem = exchange.problem;
  try {
    exchange.sent = exchange.sent || transfer.sent_anything();
    transfer.describe(exchange);
    if (problem == nullptr && code == CURLE_OUT_OF_MEMORY && exchange.phase == Phase::Expecting) {
      // So says libcurl when a line is longer than it takes: 100 KiB.
      problem = exchange.make_problem(HttpClientErrc::TooLarge, "a line of its header, or there is no memory for it");
    } else if (problem == nullptr && code != CURLE_OK && !exchange.cut) {
      problem = exchange.make_problem(meaning_of(code, transfer.words_for(code)), transfer.words_for(code));
    }
    // Where a connection may end, libcurl takes it that a header does, too.
    if (problem == nullptr && code == CURLE_OK && !exchange.head_complete()) {
      problem = exchange.make_problem(HttpClientErrc::ConnectionReset, "in its header");
    }
  } catch (...) {
    problem = std::current_exception();
  }
  release(exchange);
  if (looked_up_in_vain && problem != nullptr) fail_those_waiting_for(host, code_of(problem));
  try {
    if (problem == nullptr && exchange.follows && redirected(exchange)) return;
    if (problem == nullptr) problem = exchange.problem;
  } catch (...) {
    problem = std::current_exception();
  }
  end(exchange, std::move(problem));
}

/// True if it is on its way again.
bool HttpClientEngine::redirected(HttpClientExchange& exchange) {
  // From here to its new place it is nowhere, as if it were over.
  exchange.phase = Phase::Over;
  if (exchange.response.redirects >= exchange.request.most_redirects) {
    exchange.set_problem(HttpClientErrc::RedirectRefused, "one time too many");
    return false;
  }
  const std::string_view refused = redirect(exchange.request, exchange.response);
  if (!refused.empty()) {
    exchange.set_problem(HttpClientErrc::RedirectRefused, refused);
    return false;
  }
  begin_again(exchange);
  return true;
}

void HttpClientEngine::begin_again(HttpClientExchange& exchange) {
  const TimePoint now = loop().now();
  exchange.host = &hosts_.find(exchange.request, *HttpUrl::parse(exchange.request.url));
  ++counters_.redirected;
  exchange.response = {.redirects = exchange.response.redirects + 1, .url = exchange.request.url};
  exchange.follows = exchange.cut = exchange.lookup_begun = false;
  exchange.begin_phase(Phase::Waiting);
  if (hosts_.has_room(*exchange.host, now)) {
    hosts_.begin(exchange, now);
    start(exchange);
  } else {
    hosts_.wait(exchange);
  }
}

void HttpClientEngine::fail_those_waiting_for(HttpClientHost& host, std::error_code code) noexcept {
  if (code != HttpClientErrc::CouldNotResolve && code != HttpClientErrc::ConnectTimeout) return;
  while (!host.waiting.empty()) {
    HttpClientExchange& exchange = host.waiting.front();
    break_off(exchange, exchange.make_problem(code, "so ended the lookup for another request"));
  }
}

void HttpClientEngine::break_off_unwatched() noexcept {
  unwatched_ = false;
  for (auto* member = exchanges_.empty() ? nullptr : &exchanges_.front(); member != nullptr;
       member = exchanges_.after(*member)) {
    HttpClientExchange& exchange = member->exchange;
    if (!std::exchange(exchange.unwatched, false)) continue;
    break_off(exchange, exchange.make_problem(HttpClientErrc::Failed, "its descriptor cannot be watched"));
  }
}

// --- from inside libcurl ---

int HttpClientEngine::on_socket(CURL* easy, curl_socket_t fd, int wanted, void* self, void*) noexcept {
  auto& engine = *static_cast<HttpClientEngine*>(self);
  if (engine.sockets_.set(fd, wanted)) return 0;
  // To say so would make libcurl refuse everything from now on.
  HttpClientExchange* const exchange = HttpClientTransfer::of(easy).exchange();
  if (exchange != nullptr && wanted != CURL_POLL_REMOVE) {
    exchange->unwatched = engine.unwatched_ = true;
    engine.ready();
  }
  return 0;
}

int HttpClientEngine::on_timer(CURLM*, long milliseconds, void* self) noexcept {
  auto& engine = *static_cast<HttpClientEngine*>(self);
  engine.action_due_ = milliseconds == 0;
  if (milliseconds <= 0) {
    engine.curl_timer_.disarm();
    if (engine.action_due_) engine.ready();
  } else {
    engine.loop().arm(engine.curl_timer_, std::chrono::milliseconds(milliseconds));
  }
  return 0;
}

void HttpClientEngine::lookup_begins(HttpClientExchange& exchange) noexcept {
  ++counters_.lookups;
  exchange.lookup_begun = true;
}

void HttpClientEngine::name_is_known(HttpClientExchange& exchange) noexcept {
  // Less than libcurl knows them, or it would look them up for all that come in the last moment.
  const TimePoint until = std::exchange(exchange.lookup_begun, false)
                              ? deadline_after(loop().now(), options_.names_known_for - std::chrono::seconds(1))
                              : TimePoint{};
  if (!hosts_.found(exchange, until)) return;
  turns_due_ = true;
  ready();
}

int HttpClientEngine::open(int family, int type, int protocol) noexcept {
  const int fd = ::socket(family, type, protocol);
  if (fd < 0) return fd;
  if (!sockets_.opened(fd)) {
    ::close(fd);
    return -1;
  }
  ++counters_.connections_opened;
  return fd;
}

int HttpClientEngine::on_close(void* self, curl_socket_t fd) noexcept {
  auto& engine = *static_cast<HttpClientEngine*>(self);
  engine.sockets_.closing(fd);
  ++engine.counters_.connections_closed;
  return ::close(fd);
}

// --- kept connections ---

void HttpClientEngine::on_idle_socket() noexcept {
  if (!sweep_timer_.armed()) loop().arm(sweep_timer_, kSweepAfter);
}

// libcurl closes kept connections that have ended when it begins the next transfer, and not before: a descriptor for
// each would stay open until then. So it is given a transfer that gets no socket.
void HttpClientEngine::sweep() noexcept {
  if (sweeping_) return;
  try {
    if (sweeper_ == nullptr) sweeper_ = std::make_unique<HttpClientTransfer>(*this);
    sweeper_->begin_without_exchange();
    sweeping_ = curl_multi_add_handle(multi_.get(), sweeper_->handle()) == CURLM_OK;
  } catch (const std::exception&) {
    // Then they stay open until the next exchange.
  }
}

}  // namespace snowfox
