#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include <snowfox/core/correlation_id.h>
#include <snowfox/core/event_drain.h>
#include <snowfox/http/http_request.h>

namespace snowfox {

class HttpDrain;

/// What a request is answered. It borrows all texts: for arguments.
///
///     request.answer({.status = 429, .content_type = "text/plain", .body = "later", .fields = {{"Retry-After",
///     "3"}}});
struct HttpReply {
  int status = 200;                    ///< 200 to 599
  std::string_view content_type = {};  ///< none is said if it is empty
  std::string_view body = {};          ///< not sent where there is none: HEAD, 204, 304
  /// Besides Date, Content-Length, Transfer-Encoding and Connection, of which all but Date are not to be here.
  HttpFields fields = {};
};

/// By which one request is answered, now or later: it may outlive the event, and the connection, then all it is told is
/// dropped. Answers leave in the order of their requests, whichever is given first; what is given too early waits. The
/// loop must outlive it.
///
/// Each request is answered once. Let go of before, it is answered 500.
class HttpResponder {
 public:
  /// Answers nothing.
  HttpResponder() = default;
  HttpResponder(HttpResponder&& other) noexcept { take(other); }
  HttpResponder& operator=(HttpResponder&& other) noexcept {
    if (this == &other) return *this;
    let_go();
    take(other);
    return *this;
  }
  ~HttpResponder() {
    if (state_ != State::Done) let_go();
  }

  /// The whole answer. False if the connection is gone. Throws std::invalid_argument, and nothing was sent, if a field
  /// is none, or not the program's to say.
  bool answer(const HttpReply& reply);
  /// An error, with the body that the protocol makes for it: see HttpProtocol::error_body.
  bool answer_error(int status, std::string_view reason, HttpFields fields = {});

  /// Begins an answer whose body comes in pieces, `reply.body` being the first: of `length` bytes in all, or, if that
  /// is not known, chunked. What waits above the watermarks of the connection's drain is the program's to mind:
  /// congested() tells, and whatever source the pieces come from is paused by it if bound to drain(). If answers to
  /// later requests are there already, and are more than the low watermark, this one is the last: they would congest
  /// the drain until it is complete. Throws as answer().
  bool begin(const HttpReply& reply, std::optional<std::uint64_t> length = std::nullopt);
  /// The next piece. False if the connection is gone. Throws std::length_error if it is more than was announced.
  bool write(std::string_view piece);
  /// That was all. If it is less than was announced, the connection is closed: the client must not take it for whole.
  bool finish();
  /// The answer cannot be completed, or none is to be given: closes the connection, what waits is dropped.
  void abort() noexcept;

  /// The connection is there and wants an answer, or the rest of it.
  bool open() const noexcept { return drain() != nullptr; }
  /// Where the answer goes, to bind to; null if it is not open(). What is answered before its turn counts.
  EventDrain* drain() const noexcept { return state_ == State::Done ? nullptr : lease_.drain(); }
  bool congested() const noexcept {
    const EventDrain* const where = drain();
    return where != nullptr && where->congested();
  }
  bool begun() const noexcept { return state_ == State::Begun; }
  /// The request's, which its answer carries as `X-Correlation-Id`.
  const CorrelationId& correlation_id() const noexcept { return correlation_id_; }
  /// This is the last answer of its connection.
  void close_after() noexcept { close_ = true; }

 private:
  friend class HttpDrain;
  friend class HttpEvent;
  friend class HttpSource;
  enum class State : std::uint8_t { Done, Waiting, Begun };

  HttpResponder(HttpDrain& drain, std::uint32_t number, const CorrelationId& id) noexcept;
  HttpDrain* http_drain() const noexcept;
  void take(HttpResponder& other) noexcept;
  void let_go() noexcept;
  void done() noexcept;

  DrainLease lease_;
  CorrelationId correlation_id_;
  std::uint64_t left_ = 0;  // of what was announced
  std::uint32_t number_ = 0;
  State state_ = State::Done;
  bool without_body_ = false;  // HEAD
  bool http_1_0_ = false;
  bool close_ = false;
  bool chunked_ = false;
  bool silent_ = false;  // what is written is not to be sent
};

}  // namespace snowfox
