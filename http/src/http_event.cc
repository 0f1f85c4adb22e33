#include <snowfox/http/http_event.h>

#include <cassert>
#include <new>

#include <snowfox/core/loop_manager.h>
#include <snowfox/http/http_protocol.h>
#include <snowfox/http/http_source.h>

namespace snowfox {

void HttpEvent::handle() {
  if (request_->lost()) throw std::bad_alloc();
  route_->handler(*this);
  // Or what it looks at would be copied when the buffer goes.
  if (request_) request_->clear();
  if (body_comes_) {
    if (auto* source = static_cast<HttpSource*>(loop().source(source_))) source->handled(*this);
  } else if (receiver_) {
    const std::unique_ptr<HttpBodyReceiver> receiver = std::move(receiver_);
    receiver->on_end();
  }
  if (responder_.state_ != HttpResponder::State::Waiting) return;
  loop().log().error("http", "a handler has not answered", {{"route", route_->method}}, correlation_id());
  responder_.answer_error(500, "the request was not answered");
}

// Who asked is told that it failed, the log why.
void HttpEvent::rescue(std::exception_ptr error) {
  receiver_.reset();
  if (request_) request_->clear();
  if (responder_.state_ == HttpResponder::State::Begun) {
    responder_.abort();
  } else if (responder_.state_ == HttpResponder::State::Waiting) {
    responder_.answer_error(500, "the request could not be handled");
  }
  std::rethrow_exception(std::move(error));
}

}  // namespace snowfox
