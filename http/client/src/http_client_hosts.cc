#include "http_client_hosts.h"

#include <utility>

namespace snowfox {
namespace {

/// So many servers are remembered though nothing goes there now.
constexpr std::size_t kMostIdle = 64;

}  // namespace

HttpClientHost& HttpClientHosts::find(const HttpClientRequest& request, const HttpUrl& url) {
  std::string key = url.origin;
  if (!request.unix_socket.empty()) key.append(" ").append(request.unix_socket);
  if (const auto place = hosts_.find(key); place != hosts_.end()) return place->second;
  if (hosts_.size() >= kMostIdle) forget_idle();
  HttpClientHost& host = hosts_[key];
  host.key = std::move(key);
  host.has_name = url.has_name && request.unix_socket.empty();
  return host;
}

void HttpClientHosts::forget_idle() noexcept {
  std::erase_if(hosts_, [](const auto& entry) { return entry.second.under_way == 0 && !entry.second.linked(); });
}

bool HttpClientHosts::may_begin(const HttpClientHost& host, TimePoint now) const noexcept {
  if (host.under_way >= options_.most_per_host) return false;
  return !host.has_name || host.scout == nullptr || now < host.known_until;
}

bool HttpClientHosts::has_room(const HttpClientHost& host, TimePoint now) const noexcept {
  // Nobody overtakes those that wait already.
  return under_way_ < options_.most_in_all && !host.linked() && may_begin(host, now);
}

void HttpClientHosts::wait(HttpClientExchange& exchange) noexcept {
  ++waiting_;
  exchange.host->waiting.push_back(exchange);
  if (!exchange.host->linked()) in_turn_.push_back(*exchange.host);
}

void HttpClientHosts::stop_waiting(HttpClientExchange& exchange) noexcept {
  --waiting_;
  exchange.unlink();
  if (exchange.host->waiting.empty()) exchange.host->unlink();
}

HttpClientExchange* HttpClientHosts::next(TimePoint now) noexcept {
  if (under_way_ >= options_.most_in_all || in_turn_.empty()) return nullptr;
  for (HttpClientHost* host = &in_turn_.front(); host != nullptr; host = in_turn_.after(*host)) {
    if (!may_begin(*host, now)) continue;
    HttpClientExchange& exchange = host->waiting.front();
    stop_waiting(exchange);
    if (host->linked()) {
      host->unlink();
      in_turn_.push_back(*host);
    }
    begin(exchange, now);
    return &exchange;
  }
  return nullptr;
}

void HttpClientHosts::begin(HttpClientExchange& exchange, TimePoint now) noexcept {
  ++under_way_;
  ++exchange.host->under_way;
  if (exchange.host->has_name && now >= exchange.host->known_until) exchange.host->scout = &exchange;
}

void HttpClientHosts::end(HttpClientExchange& exchange) noexcept {
  --under_way_;
  --exchange.host->under_way;
  if (exchange.host->scout == &exchange) exchange.host->scout = nullptr;
}

bool HttpClientHosts::found(HttpClientExchange& exchange, TimePoint known_until) noexcept {
  HttpClientHost& host = *exchange.host;
  if (known_until != TimePoint{}) host.known_until = known_until;
  if (host.scout != &exchange) return false;
  host.scout = nullptr;
  return host.linked();
}

}  // namespace snowfox
