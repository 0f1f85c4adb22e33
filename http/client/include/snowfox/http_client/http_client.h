#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/http_client/http_client_error.h>
#include <snowfox/http_client/http_client_request.h>
#include <snowfox/http_client/http_client_response.h>
#include <snowfox/http_client/http_requester.h>

namespace snowfox {

class HttpClientEngine;

/// Whom to believe, and who one is. TLS 1.2 or later in any case.
struct HttpClientTls {
  std::string ca_file{};       ///< certificates in PEM. With no file and no directory: those of the system
  std::string ca_directory{};  ///< as `openssl rehash` makes it
  std::string certificate{};   ///< one's own, in PEM, for servers that ask for it
  std::string key{};           ///< to that, in PEM
  /// Off: whoever answers is believed. For tests.
  bool verify = true;
};

struct HttpClientOptions {
  /// So many exchanges are under way at a time with one server (scheme, host and port): under HTTP/1.1 each has a
  /// connection. Further ones wait their turn.
  std::size_t most_per_host = 100;
  /// … and in all. As many connections are kept open for reuse.
  std::size_t most_in_all = 1000;
  /// More than so many do not wait: they are rejected at once with Errc::LimitReached.
  std::size_t most_waiting = 10'000;

  std::size_t max_header_bytes = 64U << 10;  ///< of the response; of all of them, where there are several
  std::size_t max_body_bytes = 16U << 20;    ///< of the response, decompressed, unless a request says otherwise
  HttpClientTimeouts timeouts{};

  /// A connection that was idle for so long is not used again, nor one that is older than `most_age`; both are counted
  /// in seconds. It is closed when the next exchange begins; one that its server closes, normally a second after.
  Duration most_idle = std::chrono::seconds(60);
  Duration most_age = std::chrono::hours(1);
  /// A host's addresses are asked for again after that, in seconds. Until one lookup has ended, other exchanges with
  /// the same host wait for it.
  Duration names_known_for = std::chrono::seconds(60);

  /// HTTP/2 with servers that offer it over TLS; otherwise HTTP/1.1.
  bool http2 = false;
  HttpClientTls tls{};
  /// `User-Agent`; empty: none.
  std::string user_agent{};
  /// `http://HOST:PORT` of a proxy for all requests; empty: none.
  std::string proxy{};
  /// With `proxy` empty: take what http_proxy, https_proxy and no_proxy in the environment say.
  bool proxy_from_environment = false;
  /// Addresses that are not looked up: `HOST:PORT:ADDRESS`, or `HOST:PORT:ADDRESS,ADDRESS`.
  std::vector<std::string> addresses{};
};

/// What a client counts over its life: what was sent was answered, failed or cancelled, or is under way.
struct HttpClientCounters {
  std::uint64_t sent = 0;       ///< taken by send(): neither refused nor invalid
  std::uint64_t answered = 0;   ///< with whatever status
  std::uint64_t failed = 0;     ///< rejected
  std::uint64_t cancelled = 0;  ///< their promises were dropped
  std::uint64_t refused = 0;    ///< by send(): invalid, too many, or the loop ends
  std::uint64_t redirected = 0;
  std::uint64_t reused = 0;   ///< answered over a connection that was open already
  std::uint64_t lookups = 0;  ///< of host names
  std::uint64_t connections_opened = 0;
  std::uint64_t connections_closed = 0;
  std::uint64_t body_bytes = 0;  ///< received, decompressed
};

/// Sends requests over HTTP from the loop, with libcurl doing the protocol and the loop the waiting: no call blocks,
/// many requests are under way at once, and connections are kept and used again.
///
///     HttpClient client(loop);
///     client.send({.url = "http://127.0.0.1:8080/health"})
///         .then([](const HttpClientResponse& response) { … })
///         .detach();
///
/// Nothing comes from outside that is not asked for: no proxy of the environment, no cookies, no .netrc, no other
/// protocols than HTTP and HTTPS, no redirects, no compression. An exchange is never repeated, but for one case: a kept
/// connection turns out to be closed before anything came over it, and either nothing of the request was sent, or its
/// method is idempotent (GET, HEAD, OPTIONS, TRACE, PUT, DELETE). HttpClientError::may_have_arrived tells the others.
///
/// Host names are looked up by getaddrinfo() on a thread that libcurl makes for each lookup; all else is on the loop's
/// thread. A thread that is not waited for any more goes on to its end. The program must ignore SIGPIPE, as Process
/// does.
///
/// An exchange under way keeps run() from returning, an open connection does not. When the loop ends, and when the
/// client is destroyed, what is under way is rejected with Errc::ShuttingDown.
class HttpClient final : public HttpRequester {
 public:
  /// `loop` must outlive the client. The first client of a process initialises libcurl, which is safe on any thread.
  /// Throws std::system_error if a file of `options.tls` cannot be read, or libcurl refuses an option.
  explicit HttpClient(LoopManager& loop, HttpClientOptions options = {});
  ~HttpClient() override;

  Promise<HttpClientResponse> send(HttpClientRequest request) override;

  /// So many are not over yet, those that wait for their turn included.
  std::size_t under_way() const noexcept;
  std::size_t waiting() const noexcept;
  std::size_t connections_open() const noexcept;
  const HttpClientCounters& counters() const noexcept;

 private:
  std::unique_ptr<HttpClientEngine> engine_;
};

}  // namespace snowfox
