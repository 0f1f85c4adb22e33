#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>

#include <snowfox/core/clock.h>
#include <snowfox/core/event.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/timer.h>
#include <snowfox/http_client/http_client_error.h>
#include <snowfox/http_client/http_client_request.h>
#include <snowfox/http_client/http_client_response.h>
#include <snowfox/promises/promise.h>

namespace snowfox {

class HttpClientEngine;
class HttpClientTransfer;
struct HttpClientHost;

/// What a promise is rejected with that was to bring the response to `request`.
std::exception_ptr http_client_problem(const HttpClientRequest& request, std::error_code code, std::string_view detail,
                                       bool sent) noexcept;

/// One request on its way to its response. Owned by the engine, until its promise is settled or dropped.
class HttpClientExchange final : public ListNode<HttpClientExchange> {
 public:
  enum class Phase : std::uint8_t {
    Waiting,     ///< for its turn
    Connecting,  ///< to be sent as soon as it can
    Sending,     ///< a large body is on its way
    Expecting,   ///< the response's header
    Receiving,   ///< the response's body
    Over,        ///< settled as soon as all of the body has been given to the program
  };
  /// In the list of those that have something for the program.
  struct ToDeliver : ListNode<ToDeliver> {
    explicit ToDeliver(HttpClientExchange& whose) noexcept : exchange(whose) {}
    HttpClientExchange& exchange;
  };
  /// In the list of all.
  struct Member : ListNode<Member> {
    explicit Member(HttpClientExchange& whose) noexcept : exchange(whose) {}
    HttpClientExchange& exchange;
  };
  /// The event by which the program is given a piece of the body, or the end.
  class Delivery;

  HttpClientExchange(HttpClientEngine& engine, HttpClientRequest&& request, Resolver<HttpClientResponse>&& resolver,
                     TimePoint since);
  ~HttpClientExchange();

  const CorrelationId& id() const noexcept { return request.correlation_id; }
  const HttpClientTimeouts& timeouts() const noexcept { return *request.timeouts; }
  bool streaming() const noexcept { return streaming_; }
  bool idempotent() const noexcept { return idempotent_; }
  std::string_view what() const noexcept;
  TimePoint deadline() const noexcept;

  // --- what libcurl tells, by its transfer; false: that is too much ---

  void begin_phase(Phase next) noexcept;
  /// So much of a body has moved.
  void moved(std::size_t bytes) noexcept;
  /// A line of the response's header without its end; empty: the header ends.
  bool take_header_line(std::string_view line);
  bool take_body(std::string_view bytes);
  /// So much waits for the program that the server has to, too.
  bool must_pause() const noexcept;

  /// Remembers why the transfer is broken off, if that was not known already.
  void set_problem(std::error_code code, std::string_view detail = {});
  /// An error with the request's method and URL.
  std::exception_ptr make_problem(std::error_code code, std::string_view detail) const noexcept;

  /// Nothing more comes: with an error, or with the response.
  void end(std::exception_ptr error) noexcept;
  /// Something can be given to the program now.
  bool deliverable() const noexcept;
  bool head_complete() const noexcept { return head_complete_; }
  bool has_pieces() const noexcept { return !piece_.empty(); }
  EventRef make_delivery();

  HttpClientRequest request;
  HttpClientResponse response{};
  Resolver<HttpClientResponse> resolver;
  Phase phase = Phase::Waiting;
  HttpClientHost* host = nullptr;
  HttpClientTransfer* transfer = nullptr;
  Member member{*this};
  ToDeliver to_deliver{*this};
  TimePoint since;
  Duration started_after{};
  std::exception_ptr problem;
  bool sent = false;          // something of the request, at some time
  bool paused = false;        // libcurl is not to read on
  bool follows = false;       // the response that comes is a redirect to be followed
  bool cut = false;           // broken off because nobody wants the rest
  bool lookup_begun = false;  // of the host's name, and not ended
  bool unwatched = false;     // its descriptor could not be watched

 private:
  struct PhaseTimer final : Timer {
    explicit PhaseTimer(HttpClientExchange& whose) noexcept : exchange(whose) {}
    void expire() noexcept override { exchange.phase_timed_out(); }
    HttpClientExchange& exchange;
  };
  struct TotalTimer final : Timer {
    explicit TotalTimer(HttpClientExchange& whose) noexcept : exchange(whose) {}
    void expire() noexcept override;
    HttpClientExchange& exchange;
  };

  void phase_timed_out() noexcept;
  void begin_head(std::string_view status_line);
  bool end_head();
  void deliver(Delivery& delivery);
  void give_body(Delivery& delivery);
  void flow_settled(std::exception_ptr error);
  void settle();

  HttpClientEngine& engine_;
  PhaseTimer phase_timer_{*this};
  TotalTimer total_timer_{*this};
  std::size_t moved_bytes_ = 0;   // since the stall timer was armed
  std::size_t header_bytes_ = 0;  // of all headers
  std::size_t body_bytes_ = 0;
  std::size_t max_body_bytes_;
  bool streaming_;
  bool idempotent_;
  bool head_complete_ = false;
  std::string piece_;   // what comes next for on_body
  Promise<void> flow_;  // what on_body has returned
  bool flow_waits_ = false;
  Delivery* delivery_ = nullptr;
};

}  // namespace snowfox
