#include "http_client_transfer.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstring>
#include <limits>
#include <new>
#include <system_error>

#include "curl_errors.h"
#include "http_client_engine.h"
#include "http_client_exchange.h"

#if LIBCURL_VERSION_NUM < 0x075700
#error "snowfox::http_client needs libcurl 7.87 or later: before, to give up a lookup blocks"
#endif

namespace snowfox {
namespace {

using Phase = HttpClientExchange::Phase;

/// Bodies up to this go out together with the header, in one piece; libcurl's own limit for that is 64 KiB.
constexpr std::size_t kSmallBody = (64U << 10) - 1;

HttpClientTransfer& transfer_of(void* self) noexcept { return *static_cast<HttpClientTransfer*>(self); }

template <typename Period>
long count(Duration time) noexcept {
  const auto periods =
      std::chrono::ceil<std::chrono::duration<std::int64_t, Period>>(std::min(time, Duration::max() / 2));
  // 0 means something else to libcurl.
  return static_cast<long>(std::clamp<std::int64_t>(periods.count(), 1, INT_MAX));
}

/// What is thrown inside libcurl stays there: the exchange remembers it.
template <typename Function>
std::size_t keep_errors(HttpClientExchange* exchange, std::size_t otherwise, Function function) noexcept {
  try {
    return function();
  } catch (...) {
    if (exchange->problem == nullptr) exchange->problem = std::current_exception();
    return otherwise;
  }
}

}  // namespace

template <typename Value>
void HttpClientTransfer::set(CURLoption option, Value value) {
  const CURLcode code = curl_easy_setopt(handle_.get(), option, value);
  if (code == CURLE_OUT_OF_MEMORY) throw std::bad_alloc();
  if (code != CURLE_OK) {
    throw std::system_error(make_error_code(HttpClientErrc::Failed),
                            "libcurl's option " + std::to_string(option) + ": " + curl_easy_strerror(code));
  }
}

void HttpClientTransfer::set_seconds(CURLoption option, Duration time) { set(option, count<std::ratio<1>>(time)); }
void HttpClientTransfer::set_milliseconds(CURLoption option, Duration time) { set(option, count<std::milli>(time)); }

HttpClientTransfer::HttpClientTransfer(HttpClientEngine& engine) : engine_(engine), handle_(curl_easy_init()) {
  if (handle_ == nullptr) throw std::bad_alloc();
  set_up();
  set_up_tls(engine.options().tls);
  set_up_callbacks();
}

HttpClientTransfer& HttpClientTransfer::of(CURL* handle) noexcept {
  char* self = nullptr;
  curl_easy_getinfo(handle, CURLINFO_PRIVATE, &self);
  return *static_cast<HttpClientTransfer*>(static_cast<void*>(self));
}

// --- what holds for all exchanges ---

void HttpClientTransfer::set_up() {
  const HttpClientOptions& options = engine_.options();
  set(CURLOPT_PRIVATE, static_cast<void*>(this));
  set(CURLOPT_ERRORBUFFER, error_.data());
  set(CURLOPT_NOSIGNAL, 1L);
  // Without it, who gives up a lookup waits for its thread: the whole loop would stand still.
  set(CURLOPT_QUICK_EXIT, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 0L);
  set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
  set(CURLOPT_NETRC, long{CURL_NETRC_IGNORED});
  set(CURLOPT_HTTP09_ALLOWED, 0L);
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_TCP_NODELAY, 1L);
  set(CURLOPT_TCP_KEEPALIVE, 1L);
  set_seconds(CURLOPT_DNS_CACHE_TIMEOUT, options.names_known_for);
  set_seconds(CURLOPT_MAXAGE_CONN, options.most_idle);
  set_seconds(CURLOPT_MAXLIFETIME_CONN, options.most_age);
  set(CURLOPT_HTTP_VERSION, options.http2 ? long{CURL_HTTP_VERSION_2TLS} : long{CURL_HTTP_VERSION_1_1});
  set(CURLOPT_PIPEWAIT, options.http2 ? 1L : 0L);
  if (!options.user_agent.empty()) set(CURLOPT_USERAGENT, options.user_agent.c_str());
  // An empty one keeps libcurl from looking into the environment.
  if (!options.proxy.empty() || !options.proxy_from_environment) set(CURLOPT_PROXY, options.proxy.c_str());
  for (const std::string& address : options.addresses) {
    curl_slist* const longer = curl_slist_append(addresses_.get(), address.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    static_cast<void>(addresses_.release());
    addresses_.reset(longer);
  }
  if (addresses_ != nullptr) set(CURLOPT_RESOLVE, addresses_.get());
}

void HttpClientTransfer::set_up_tls(const HttpClientTls& tls) {
  set(CURLOPT_SSLVERSION, long{CURL_SSLVERSION_TLSv1_2});
  set(CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
  set(CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
  if (!tls.ca_file.empty() || !tls.ca_directory.empty()) {
    set(CURLOPT_CAINFO, tls.ca_file.empty() ? nullptr : tls.ca_file.c_str());
    set(CURLOPT_CAPATH, tls.ca_directory.empty() ? nullptr : tls.ca_directory.c_str());
  }
  if (!tls.certificate.empty()) set(CURLOPT_SSLCERT, tls.certificate.c_str());
  if (!tls.key.empty()) set(CURLOPT_SSLKEY, tls.key.c_str());
}

void HttpClientTransfer::set_up_callbacks() {
  void* const self = this;
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_HEADERDATA, self);
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, self);
  set(CURLOPT_READFUNCTION, &on_read);
  set(CURLOPT_READDATA, self);
  set(CURLOPT_SEEKFUNCTION, &on_seek);
  set(CURLOPT_SEEKDATA, self);
  set(CURLOPT_PREREQFUNCTION, &on_connected);
  set(CURLOPT_PREREQDATA, self);
  set(CURLOPT_RESOLVER_START_FUNCTION, &on_lookup);
  set(CURLOPT_RESOLVER_START_DATA, self);
  set(CURLOPT_OPENSOCKETFUNCTION, &on_open);
  set(CURLOPT_OPENSOCKETDATA, self);
  // A connection outlives the transfer that has opened it.
  set(CURLOPT_CLOSESOCKETFUNCTION, &HttpClientEngine::on_close);
  set(CURLOPT_CLOSESOCKETDATA, static_cast<void*>(&engine_));
}

// --- what holds for one ---

void HttpClientTransfer::begin(HttpClientExchange& exchange, std::uint64_t span) {
  const HttpClientRequest& request = exchange.request;
  error_.front() = '\0';
  read_bytes_ = 0;
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_UNIX_SOCKET_PATH, request.unix_socket.empty() ? nullptr : request.unix_socket.c_str());
  set(CURLOPT_ACCEPT_ENCODING, request.decompress ? "gzip, deflate" : nullptr);
  set_milliseconds(CURLOPT_CONNECTTIMEOUT_MS, exchange.timeouts().connect);
  set_method(exchange);
  header_.assign(request, span);
  set(CURLOPT_HTTPHEADER, header_.list());
  exchange_ = &exchange;
}

void HttpClientTransfer::set_method(HttpClientExchange& exchange) {
  const HttpClientRequest& request = exchange.request;
  const std::string_view body = request.body.bytes();
  set(CURLOPT_NOBODY, 0L);
  set(CURLOPT_CUSTOMREQUEST, static_cast<const char*>(nullptr));
  const bool expects_body = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (!body.empty() || expects_body) {
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    // A large one is asked for in pieces, by which it is seen how it comes on.
    set(CURLOPT_POSTFIELDS, body.size() > kSmallBody ? nullptr : body.empty() ? "" : body.data());
    if (request.method != "POST") set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  } else if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else {
    set(CURLOPT_HTTPGET, 1L);
    if (request.method != "GET") set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

void HttpClientTransfer::begin_without_exchange() {
  exchange_ = nullptr;
  set(CURLOPT_URL, "http://127.0.0.1:1/");
  // No kept connection may serve it: not one to there, and not one to a proxy, which leads everywhere.
  set(CURLOPT_PROXY, "");
  set(CURLOPT_FRESH_CONNECT, 1L);
}

bool HttpClientTransfer::sent_anything() const noexcept {
  long bytes = 0;
  curl_easy_getinfo(handle_.get(), CURLINFO_REQUEST_SIZE, &bytes);
  return bytes > 0;
}

void HttpClientTransfer::describe(HttpClientExchange& exchange) const noexcept {
  HttpClientResponse& response = exchange.response;
  const auto until = [&](CURLINFO what) {
    curl_off_t microseconds = 0;
    curl_easy_getinfo(handle_.get(), what, &microseconds);
    return microseconds == 0 ? Duration::zero() : exchange.started_after + std::chrono::microseconds(microseconds);
  };
  response.timings = {.started = exchange.started_after,
                      .resolved = until(CURLINFO_NAMELOOKUP_TIME_T),
                      .connected = until(CURLINFO_CONNECT_TIME_T),
                      .encrypted = until(CURLINFO_APPCONNECT_TIME_T),
                      .first_byte = until(CURLINFO_STARTTRANSFER_TIME_T),
                      .total = until(CURLINFO_TOTAL_TIME_T)};
  long connections = 0;
  long version = 0;
  curl_easy_getinfo(handle_.get(), CURLINFO_NUM_CONNECTS, &connections);
  curl_easy_getinfo(handle_.get(), CURLINFO_HTTP_VERSION, &version);
  response.reused = connections == 0;
  response.http_version = version == CURL_HTTP_VERSION_2_0 ? 20 : version == CURL_HTTP_VERSION_1_0 ? 10 : 11;
}

std::string_view HttpClientTransfer::words_for(CURLcode code) const noexcept {
  return error_.front() != '\0' ? std::string_view(error_.data()) : std::string_view(curl_easy_strerror(code));
}

// --- what libcurl says ---

std::size_t HttpClientTransfer::on_header(char* bytes, std::size_t size, std::size_t count, void* self) noexcept {
  HttpClientExchange* const exchange = transfer_of(self).exchange_;
  if (exchange == nullptr) return 0;
  return keep_errors(exchange, 0, [&]() -> std::size_t {
    std::string_view line(bytes, size * count);
    while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
    return exchange->take_header_line(line) ? size * count : 0;
  });
}

std::size_t HttpClientTransfer::on_body(char* bytes, std::size_t size, std::size_t count, void* self) noexcept {
  HttpClientExchange* const exchange = transfer_of(self).exchange_;
  if (exchange == nullptr) return 0;
  return keep_errors(exchange, 0, [&]() -> std::size_t {
    if (exchange->must_pause()) {
      exchange->paused = true;
      exchange->begin_phase(exchange->phase);
      return CURL_WRITEFUNC_PAUSE;
    }
    return exchange->take_body({bytes, size * count}) ? size * count : 0;
  });
}

std::size_t HttpClientTransfer::on_read(char* room, std::size_t size, std::size_t count, void* self) noexcept {
  HttpClientTransfer& transfer = transfer_of(self);
  if (transfer.exchange_ == nullptr) return CURL_READFUNC_ABORT;
  HttpClientExchange& exchange = *transfer.exchange_;
  const std::string_view rest = exchange.request.body.bytes().substr(transfer.read_bytes_);
  const std::size_t bytes = std::min(rest.size(), size * count);
  std::memcpy(room, rest.data(), bytes);
  transfer.read_bytes_ += bytes;
  // That it asks for more means that the kernel has taken what it had.
  if (exchange.phase == Phase::Sending) {
    if (bytes == rest.size()) {
      exchange.begin_phase(Phase::Expecting);
    } else {
      exchange.moved(bytes);
    }
  }
  return bytes;
}

int HttpClientTransfer::on_seek(void* self, curl_off_t offset, int origin) noexcept {
  if (origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  transfer_of(self).read_bytes_ = static_cast<std::size_t>(offset);
  return CURL_SEEKFUNC_OK;
}

// The connection stands and the request is about to be sent: for the first time, or, because a kept connection was
// closed before anything came, again.
int HttpClientTransfer::on_connected(void* self, char*, char*, int, int) noexcept {
  HttpClientTransfer& transfer = transfer_of(self);
  // The sweeper's connection, which it is to have none of.
  if (transfer.exchange_ == nullptr) return CURL_PREREQFUNC_ABORT;
  HttpClientExchange& exchange = *transfer.exchange_;
  transfer.engine_.name_is_known(exchange);
  if (transfer.sent_anything() && !exchange.idempotent()) {
    exchange.sent = true;
    log_if_possible([&] {
      exchange.set_problem(HttpClientErrc::ConnectionReset, "the kept connection was closed, and it is not sent twice");
    });
    return CURL_PREREQFUNC_ABORT;
  }
  exchange.begin_phase(exchange.request.body.bytes().size() > kSmallBody ? Phase::Sending : Phase::Expecting);
  return CURL_PREREQFUNC_OK;
}

int HttpClientTransfer::on_lookup(void*, void*, void* self) noexcept {
  HttpClientTransfer& transfer = transfer_of(self);
  // The sweeper's; see HttpClientEngine::sweep. It has nothing to look up.
  if (transfer.exchange_ == nullptr) return 1;
  transfer.engine_.lookup_begins(*transfer.exchange_);
  return 0;
}

curl_socket_t HttpClientTransfer::on_open(void* self, curlsocktype, curl_sockaddr* address) noexcept {
  HttpClientTransfer& transfer = transfer_of(self);
  if (transfer.exchange_ == nullptr) return CURL_SOCKET_BAD;
  transfer.engine_.name_is_known(*transfer.exchange_);
  return transfer.engine_.open(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}  // namespace snowfox
