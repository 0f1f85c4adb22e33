#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

#include <snowfox/core/event.h>
#include <snowfox/http/http_request.h>
#include <snowfox/http/http_responder.h>

namespace snowfox {

class HttpProtocol;
class HttpSource;
struct HttpRoute;

/// Takes a request's body as it comes in. To make the client wait, pause the source it comes from: then the kernel's
/// buffers fill up, and time limits do not run.
///
/// It is destroyed after on_end(), on_failed() or what it has thrown, which ends the request as if its handler had
/// thrown it. Also when its protocol or its loop is destroyed, or its source is removed from the loop instead of
/// closed: then it is told nothing, since what it uses may be gone already. What is to be undone in any case is its
/// destructor's to undo.
class HttpBodyReceiver {
 public:
  virtual ~HttpBodyReceiver() = default;
  /// The next bytes, decoded if they were to be; valid during the call.
  virtual void on_piece(std::string_view piece) = 0;
  /// That was all of it.
  virtual void on_end() = 0;
  /// There will be no end: the connection is gone, the body was not what its head said or too long, or too slow. The
  /// client has been told if it can be; answers are dropped.
  virtual void on_failed(std::error_code) {}
};

/// Gives a request back to its protocol, to be used again.
struct GiveBackRequest {
  HttpProtocol* protocol = nullptr;
  void operator()(HttpRequest* request) const noexcept;
};
using HttpRequestRef = std::unique_ptr<HttpRequest, GiveBackRequest>;

/// A request has come: what a route's handler is given.
///
/// It is answered in the handler, by answer(), or later, by whoever has taken its responder(). A handler that does
/// neither, or throws, answers 500.
class HttpEvent final : public Event {
 public:
  HttpRequest& request() noexcept { return *request_; }
  bool answer(const HttpReply& reply) { return responder_.answer(reply); }
  bool answer_error(int status, std::string_view reason, HttpFields fields = {}) {
    return responder_.answer_error(status, reason, fields);
  }
  /// For an answer that comes later, or in pieces.
  HttpResponder take_responder() noexcept { return std::move(responder_); }
  HttpResponder& responder() noexcept { return responder_; }
  /// Takes the request out of the event, to keep it; the protocol must outlive it. See HttpRequest::lost().
  HttpRequestRef take_request() noexcept { return std::move(request_); }
  /// Of a request whose route streams: who gets the body. Without one it is thrown away.
  void receive_body(std::unique_ptr<HttpBodyReceiver> receiver) noexcept { receiver_ = std::move(receiver); }
  /// The connection it came over.
  SourceId source_id() const noexcept { return source_; }

  void handle() override;
  void rescue(std::exception_ptr error) override;
  std::string_view name() const noexcept override { return "HTTP request"; }

  // --- for the source ---

  HttpEvent(HttpProtocol& protocol, SourceId source, DrainId drain) noexcept
      : Event(drain), protocol_(protocol), source_(source) {}

 private:
  friend class HttpSource;

  HttpProtocol& protocol_;
  SourceId source_;
  const HttpRoute* route_ = nullptr;
  HttpRequestRef request_;
  HttpResponder responder_;
  std::unique_ptr<HttpBodyReceiver> receiver_;
  bool body_comes_ = false;  // in pieces, after this
};

}  // namespace snowfox
