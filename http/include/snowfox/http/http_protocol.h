#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <snowfox/core/clock.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/http/http_event.h>
#include <snowfox/http/http_router.h>

namespace snowfox {

class HttpDrain;
class HttpSource;
class Inflater;
class LoopManager;

/// What a client may do. Who does more is told so, and its connection closed.
///
/// How fast a client takes its answers is not among these: see Watermarks, which serve_http() is given. It need only
/// take a byte within each `stall_timeout` to keep its connection, and up to `hard_limit` (64 MiB unless told
/// otherwise) of answers in memory, for as long as it likes. Where clients are not to be trusted, `hard_limit` is to be
/// little above the largest answer, larger ones go out in pieces, and the listener's `max_connections` times that is
/// what may be held.
struct HttpOptions {
  std::size_t max_request_line_bytes = 8U << 10;  ///< 414
  std::size_t max_field_bytes = 8U << 10;         ///< of one field's line: 431
  std::size_t max_fields = 100;                   ///< 431
  std::size_t max_head_bytes = 32U << 10;         ///< of the line and all fields: 431
  std::size_t max_body_bytes = 1U << 20;          ///< as sent: 413. So much a connection may hold in memory
  std::size_t max_decoded_bytes = 4U << 20;       ///< of a body that comes compressed: 413
  /// Of bodies that are not complete, as sent, of all connections together: 503 for the one that brings more. What is
  /// given to a handler counts no longer; nor does what is taken in pieces.
  std::size_t max_pending_body_bytes = 256U << 20;
  /// Requests of one connection that are not answered yet; what comes beyond waits unread.
  unsigned max_pipelined = 16;
  /// Requests of one connection; it is closed after the last. 0: no limit.
  std::uint32_t max_requests = 0;
  /// From a head's first byte, or the connection's first moment, to the head's end: 408.
  Duration head_timeout = std::chrono::seconds(10);
  /// While a body comes in, in each such time: less than `least_body_rate` bytes a second is too slow: 408.
  Duration body_timeout = std::chrono::seconds(20);
  std::size_t least_body_rate = 512;
  /// Without a request, and nothing to be answered: the connection is closed.
  Duration keep_alive_timeout = std::chrono::seconds(75);
  /// The `Server` of answers; none if empty.
  std::string server = {};
  /// Answers have `X-Correlation-Id`.
  bool answer_correlation_id = true;
};

/// What a protocol counts. All but the first two only grow.
struct HttpCounters {
  std::size_t connections = 0;         ///< open
  std::size_t pending_body_bytes = 0;  ///< of bodies that are not complete
  std::uint64_t accepted = 0;
  std::uint64_t requests = 0;  ///< that were given to a route
  std::uint64_t refused = 0;   ///< requests that were none, were too large, too slow or had no route
  std::array<std::uint64_t, 6> answers_by_class{};  ///< [2] of those with a status of 200 to 299, and so on
};

/// The body of an error.
struct HttpErrorBody {
  std::string content_type;
  std::string body;
};

/// What all connections of a server share: limits, routes, memory that is used again. Must outlive the requests taken
/// from them, and no handler may destroy it.
///
///     HttpProtocol protocol;
///     protocol.router.add("GET", "/hello/{name}", [](HttpEvent& event) {
///       event.answer({.content_type = "text/plain", .body = *event.request().parameter("name")});
///     });
///     ListenerSource listener(loop, address, {}, [&](ListenerSource::Connection client) {
///       serve_http(loop, client.channel, protocol);
///     });
class HttpProtocol {
 public:
  explicit HttpProtocol(HttpOptions limits = {});
  /// Ends its connections at once; their loop must be there, or they must be gone.
  ~HttpProtocol();
  HttpProtocol(const HttpProtocol&) = delete;
  HttpProtocol& operator=(const HttpProtocol&) = delete;

  HttpOptions options;
  HttpRouter router;
  /// Makes the body of an error that is answered without the program's doing, and of HttpResponder::answer_error().
  /// Unset: `{"error":"REASON"}`.
  std::function<HttpErrorBody(int status, std::string_view reason)> error_body;

  const HttpCounters& counters() const noexcept { return counters_; }

  /// Ends all connections in order: those that wait for a request now, the others after the answers that are due, of
  /// which the last says so. Who connects afterwards is served one request. `done` is called, once, when none is left,
  /// which may be now; must not throw. A client that goes on talking may keep its connection for
  /// StreamDrain::kLongestLinger, one that does not read for the stall timeout: who cannot wait stops the loop.
  void finish(std::function<void()> done = {});
  bool finishing() const noexcept { return finishing_; }

  // --- for sources and drains ---

  /// An answer's `Date` line; valid until the next one is made.
  std::string_view date_line(std::chrono::system_clock::time_point now);
  HttpErrorBody make_error_body(int status, std::string_view reason) const;

 private:
  friend struct GiveBackRequest;
  friend class HttpDrain;
  friend class HttpSource;
  /// A connection's place among those of its protocol.
  struct Member : ListNode<Member> {
    explicit Member(HttpDrain& whose) noexcept : drain(whose) {}
    HttpDrain& drain;
  };

  HttpRequestRef take_request();
  Inflater& inflater();
  void joined(Member& member) noexcept;
  void left(Member& member) noexcept;

  HttpCounters counters_;
  IntrusiveList<Member, Member> members_;
  std::vector<std::unique_ptr<HttpRequest>> spare_requests_;
  std::unique_ptr<Inflater> inflater_;
  std::function<void()> done_;
  std::string date_line_;
  std::time_t date_second_ = -1;
  bool finishing_ = false;
};

}  // namespace snowfox
