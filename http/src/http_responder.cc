#include <snowfox/http/http_responder.h>

#include <cassert>
#include <stdexcept>
#include <string>

#include <snowfox/core/error.h>
#include <snowfox/core/log.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/http/http_drain.h>
#include <snowfox/http/http_protocol.h>

namespace snowfox {

HttpResponder::HttpResponder(HttpDrain& drain, std::uint32_t number, const CorrelationId& id) noexcept
    : lease_(drain), correlation_id_(id), number_(number), state_(State::Waiting) {}

HttpDrain* HttpResponder::http_drain() const noexcept {
  return state_ == State::Done ? nullptr : static_cast<HttpDrain*>(lease_.drain());
}

void HttpResponder::take(HttpResponder& other) noexcept {
  lease_ = DrainLease(std::move(other.lease_));
  correlation_id_ = other.correlation_id_;
  left_ = other.left_;
  number_ = other.number_;
  state_ = std::exchange(other.state_, State::Done);
  without_body_ = other.without_body_;
  http_1_0_ = other.http_1_0_;
  close_ = other.close_;
  chunked_ = other.chunked_;
  silent_ = other.silent_;
}

void HttpResponder::done() noexcept {
  state_ = State::Done;
  lease_ = DrainLease();
}

// Whoever had it is gone.
void HttpResponder::let_go() noexcept {
  if (state_ == State::Done) return;
  HttpDrain* const where = http_drain();
  if (state_ == State::Begun) return abort();
  try {
    if (where != nullptr && !where->loop().stopping()) answer_error(500, "the request was not answered");
    done();
  } catch (...) {
    abort();
  }
}

bool HttpResponder::answer(const HttpReply& reply) {
  assert(state_ != State::Begun);
  HttpDrain* const where = http_drain();
  if (where == nullptr || where->answered(number_, true)) {
    done();
    return false;
  }
  const bool sent = where->send_head(*this, reply, reply.body.size());
  where->complete(*this);
  done();
  return sent;
}

bool HttpResponder::answer_error(int status, std::string_view reason, HttpFields fields) {
  HttpDrain* const where = http_drain();
  if (where == nullptr) {
    done();
    return false;
  }
  const HttpErrorBody body = where->protocol_.make_error_body(status, reason);
  return answer({.status = status, .content_type = body.content_type, .body = body.body, .fields = fields});
}

bool HttpResponder::begin(const HttpReply& reply, std::optional<std::uint64_t> length) {
  assert(state_ != State::Begun);
  if (length && *length < reply.body.size()) throw std::length_error("the first piece is longer than the answer");
  HttpDrain* const where = http_drain();
  if (where == nullptr || where->answered(number_, true)) {
    done();
    return false;
  }
  where->begins_in_pieces(number_);
  const bool sent = where->send_head(*this, reply, length.value_or(HttpDrain::kUnknownLength));
  left_ = length ? *length - reply.body.size() : HttpDrain::kUnknownLength;
  state_ = State::Begun;
  return sent;
}

bool HttpResponder::write(std::string_view piece) {
  assert(state_ != State::Waiting);
  HttpDrain* const where = http_drain();
  if (where == nullptr || where->answered(number_, false)) {
    done();
    return false;
  }
  if (left_ != HttpDrain::kUnknownLength) {
    if (piece.size() > left_) throw std::length_error("more is written than was announced");
    left_ -= piece.size();
  }
  return where->send_piece(*this, piece);
}

bool HttpResponder::finish() {
  assert(state_ != State::Waiting);
  HttpDrain* const where = http_drain();
  if (where == nullptr || where->answered(number_, false)) {
    done();
    return false;
  }
  if (left_ != HttpDrain::kUnknownLength && left_ != 0 && !silent_) {
    abort();
    return false;
  }
  where->complete(*this);
  done();
  return true;
}

void HttpResponder::abort() noexcept {
  HttpDrain* const where = http_drain();
  const bool answered = where == nullptr || where->answered(number_, false);
  if (!answered) where->close_connection(std::make_error_code(std::errc::operation_canceled));
  done();
}

}  // namespace snowfox
