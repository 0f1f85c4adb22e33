#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>

#include <snowfox/core/clock.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/http_client/http_client.h>

#include "http_client_exchange.h"
#include "http_url.h"

namespace snowfox {

/// A server as limits see it: scheme, host and port, or a Unix socket.
struct HttpClientHost : ListNode<HttpClientHost> {
  std::string key;
  bool has_name = false;
  std::size_t under_way = 0;
  TimePoint known_until{};              // its addresses: nobody needs to look them up before
  HttpClientExchange* scout = nullptr;  // looks them up, perhaps; the others wait
  IntrusiveList<HttpClientExchange, HttpClientExchange> waiting;
};

/// Whose turn it is: keeps to the limits of a host and of all, and lets the hosts take turns. Of the exchanges with a
/// host whose addresses are not known one goes ahead, for libcurl would look them up, on a thread, for each.
class HttpClientHosts {
 public:
  explicit HttpClientHosts(const HttpClientOptions& options) noexcept : options_(options) {}

  HttpClientHost& find(const HttpClientRequest& request, const HttpUrl& url);
  bool full() const noexcept { return waiting_ >= options_.most_waiting; }
  std::size_t waiting() const noexcept { return waiting_; }

  /// It could begin now.
  bool has_room(const HttpClientHost& host, TimePoint now) const noexcept;
  /// `exchange` waits for its turn with its host.
  void wait(HttpClientExchange& exchange) noexcept;
  void stop_waiting(HttpClientExchange& exchange) noexcept;
  /// The next one whose turn it is, which begins; null if there is none.
  HttpClientExchange* next(TimePoint now) noexcept;
  void begin(HttpClientExchange& exchange, TimePoint now) noexcept;
  void end(HttpClientExchange& exchange) noexcept;

  /// The scout is past the lookup, or needed none. True if others can begin for that.
  bool found(HttpClientExchange& exchange, TimePoint known_until) noexcept;

 private:
  bool may_begin(const HttpClientHost& host, TimePoint now) const noexcept;
  void forget_idle() noexcept;

  const HttpClientOptions& options_;
  std::size_t under_way_ = 0;
  std::size_t waiting_ = 0;
  std::unordered_map<std::string, HttpClientHost> hosts_;
  IntrusiveList<HttpClientHost, HttpClientHost> in_turn_;  // those for which somebody waits
};

}  // namespace snowfox
