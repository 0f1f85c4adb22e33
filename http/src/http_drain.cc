#include <snowfox/http/http_drain.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/pool.h>
#include <snowfox/http/http_source.h>

#include "incoming.h"
#include "status_line.h"
#include "token.h"

namespace snowfox {
namespace {

constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kContentType = "Content-Type: ";
constexpr std::string_view kContentLength = "Content-Length: ";
constexpr std::string_view kChunked = "Transfer-Encoding: chunked\r\n";
constexpr std::string_view kCorrelation = "X-Correlation-Id: ";
constexpr std::string_view kClose = "Connection: close\r\n";
constexpr std::string_view kKeepAlive = "Connection: keep-alive\r\n";
constexpr std::string_view kServer = "Server: ";

struct Digits {
  std::array<char, 20> text;
  std::size_t size;
  Digits(std::uint64_t number, int base)
      : size(static_cast<std::size_t>(std::to_chars(text.data(), text.data() + text.size(), number, base).ptr -
                                      text.data())) {}
  std::string_view view() const noexcept { return {text.data(), size}; }
};

char* put_text(char* to, std::string_view text) noexcept {
  if (!text.empty()) std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

bool field_value(std::string_view text) noexcept { return std::none_of(text.begin(), text.end(), control_character); }

/// Whoever could say these could make one answer two.
void check(const HttpField& field) {
  if (!token(field.name)) throw std::invalid_argument("the name of a header field is no token");
  if (!field_value(field.value)) {
    throw std::invalid_argument("the header field " + std::string(field.name) + " has a control character");
  }
  for (const std::string_view ours : {"Content-Length", "Transfer-Encoding", "Connection"}) {
    if (same_token(field.name, ours)) {
      throw std::invalid_argument("the header field " + std::string(field.name) + " is not the program's to say");
    }
  }
}

}  // namespace

/// What was answered before its turn.
struct HttpDrain::Early final : Pooled, ListNode<Early> {
  explicit Early(std::uint32_t whose) noexcept : number(whose) {}
  std::uint32_t number;
  bool complete = false;
  bool closes = false;
  std::string bytes;
};

struct HttpDrain::Layout {
  std::string_view status_line;
  std::string_view date_line;
  std::size_t head_bytes = 0;
  std::string_view body;
  std::uint64_t length = 0;
  bool says_length = false;
  bool closes = false;
  bool keeps_alive = false;  // is said to HTTP/1.0
  bool chunked = false;
  bool dated = false;  // by the program
  bool served = false;
};

HttpDrain::HttpDrain(LoopManager& loop, ChannelRef channel, HttpProtocol& protocol, const Watermarks* watermarks)
    : StreamDrain(loop, std::move(channel), watermarks), protocol_(protocol) {
  protocol_.joined(member_);
}

HttpDrain::~HttpDrain() {
  while (!early_.empty()) delete &early_.pop_front();
  if (member_.linked()) protocol_.left(member_);
}

// What is still to be destroyed must not need it.
void HttpDrain::forget_protocol() noexcept {
  HttpSource* const reader = source();
  loop().remove(id());
  if (reader == nullptr) return;
  reader->incoming_.reset();
  reader->hold(0);
  loop().remove(reader->id());
}

// What is held back waits for the program, not for the peer.
bool HttpDrain::delivered() const noexcept {
  return pending_bytes() != 0 && pending_bytes() == held_bytes_ ? true : StreamDrain::delivered();
}

// What nobody will get is told as dropped when all else has left: the books know only of all that waits.
bool HttpDrain::flush() {
  if (!StreamDrain::flush()) return false;
  if (held_bytes_ != 0 && early_.empty() && pending_bytes() == held_bytes_) {
    held_bytes_ = 0;
    dropped();
  }
  return true;
}

HttpSource* HttpDrain::source() const noexcept { return static_cast<HttpSource*>(loop().source(source_)); }

HttpDrain::Early* HttpDrain::find(std::uint32_t number) noexcept {
  if (early_.empty()) return nullptr;
  for (Early* one = &early_.front(); one != nullptr; one = early_.after(*one)) {
    if (one->number == number) return one;
  }
  return nullptr;
}

HttpDrain::Early& HttpDrain::early(std::uint32_t number) {
  if (Early* found = find(number)) return *found;
  Early& made = *new Early(number);
  early_.push_back(made);
  // In order: those that come after it go behind it.
  for (Early* one = &early_.front(); one != &made;) {
    Early* const next = early_.after(*one);
    if (one->number - front_ > number - front_) {
      one->unlink();
      early_.push_back(*one);
    }
    one = next;
  }
  return made;
}

bool HttpDrain::answered(std::uint32_t number, bool whole) noexcept {
  if (closed_ || number - front_ >= next_ - front_) return true;
  if (number == front_) return whole && front_begun_;
  const Early* const before = find(number);
  // One without bytes found no memory for them.
  return before != nullptr && (before->complete || (whole && !before->bytes.empty()));
}

bool HttpDrain::closes(const HttpResponder& exchange) noexcept {
  HttpSource* const reader = source();
  if (reader == nullptr) return exchange.number_ + 1 == next_;
  if (exchange.close_ || protocol_.finishing()) reader->last_ = true;
  if (reader->receiving(exchange.number_)) return true;  // what is left of it would be taken for a request
  return reader->last_ && exchange.number_ + 1 == next_;
}

HttpDrain::Layout HttpDrain::lay_out(HttpResponder& exchange, const HttpReply& reply, std::uint64_t length) {
  assert(reply.status >= 200 && reply.status <= 599);
  Layout layout;
  if (!field_value(reply.content_type)) throw std::invalid_argument("the content type has a control character");
  std::size_t bytes = 0;
  for (const HttpField& field : reply.fields) {
    check(field);
    layout.dated = layout.dated || same_token(field.name, "Date");
    layout.served = layout.served || same_token(field.name, "Server");
    bytes += field.name.size() + 2 + field.value.size() + kLineEnd.size();
  }
  const bool bodiless = reply.status == 204 || reply.status == 304;
  layout.length = length;
  layout.says_length = length != kUnknownLength && !bodiless;
  layout.chunked = length == kUnknownLength && !bodiless && !exchange.http_1_0_;
  exchange.silent_ = bodiless || exchange.without_body_;
  exchange.chunked_ = layout.chunked;
  // In HTTP/1.0 it is the end of the connection that ends a body of unknown length.
  layout.closes = closes(exchange) || (length == kUnknownLength && exchange.http_1_0_ && !exchange.silent_);
  exchange.close_ = layout.closes;
  layout.keeps_alive = exchange.http_1_0_ && !layout.closes;
  if (!exchange.silent_) layout.body = reply.body;

  layout.status_line = status_line(reply.status);
  bytes += layout.status_line.size() + kLineEnd.size();
  if (!layout.dated) layout.date_line = protocol_.date_line(loop().poller().wall_now());
  bytes += layout.date_line.size();
  if (!layout.served && !protocol_.options.server.empty()) {
    bytes += kServer.size() + protocol_.options.server.size() + kLineEnd.size();
  }
  if (!reply.content_type.empty()) bytes += kContentType.size() + reply.content_type.size() + kLineEnd.size();
  if (layout.says_length) bytes += kContentLength.size() + Digits(length, 10).size + kLineEnd.size();
  if (layout.chunked) bytes += kChunked.size();
  if (protocol_.options.answer_correlation_id) {
    bytes += kCorrelation.size() + exchange.correlation_id_.text().size() + kLineEnd.size();
  }
  if (layout.closes) bytes += kClose.size();
  if (layout.keeps_alive) bytes += kKeepAlive.size();
  layout.head_bytes = bytes;
  return layout;
}

char* HttpDrain::write_head(char* to, const HttpResponder& exchange, const HttpReply& reply, const Layout& layout) {
  to = put_text(to, layout.status_line);
  to = put_text(to, layout.date_line);
  if (!layout.served && !protocol_.options.server.empty()) {
    to = put_text(put_text(put_text(to, kServer), protocol_.options.server), kLineEnd);
  }
  if (!reply.content_type.empty()) to = put_text(put_text(put_text(to, kContentType), reply.content_type), kLineEnd);
  if (layout.says_length) {
    to = put_text(put_text(put_text(to, kContentLength), Digits(layout.length, 10).view()), kLineEnd);
  }
  if (layout.chunked) to = put_text(to, kChunked);
  if (protocol_.options.answer_correlation_id) {
    to = put_text(put_text(put_text(to, kCorrelation), exchange.correlation_id_.text()), kLineEnd);
  }
  for (const HttpField& field : reply.fields) {
    to = put_text(put_text(put_text(put_text(to, field.name), ": "), field.value), kLineEnd);
  }
  if (layout.closes) to = put_text(to, kClose);
  if (layout.keeps_alive) to = put_text(to, kKeepAlive);
  return put_text(to, kLineEnd);
}

// `write(char*)` writes so many bytes: to the peer if it is this request's turn.
template <typename Write>
bool HttpDrain::put(std::uint32_t number, std::size_t bytes, const Write& write) {
  if (bytes == 0) return true;
  if (number == front_) {
    const std::span<std::byte> room = reserve(bytes);
    if (room.empty()) return false;
    write(reinterpret_cast<char*>(room.data()));
    commit(bytes);
    return true;
  }
  if (answered(number, false) || refuses(bytes)) return false;
  if (front_begun_ && blocks(bytes)) {
    end_after(front_);
    front_is_last_ = true;
    return false;
  }
  std::string& held = early(number).bytes;
  const std::size_t before = held.size();
  held.resize(before + bytes);
  write(held.data() + before);
  held_bytes_ += bytes;
  added(bytes);
  return true;
}

bool HttpDrain::send_head(HttpResponder& exchange, const HttpReply& reply, std::uint64_t length) {
  const Layout layout = lay_out(exchange, reply, length);
  if (layout.closes) end_after(exchange.number_);
  ++protocol_.counters_.answers_by_class[static_cast<std::size_t>(reply.status / 100)];
  // A chunk of the first piece would have to be laid out, too: it goes by itself.
  const std::string_view body = layout.chunked ? std::string_view() : layout.body;
  const bool sent = put(exchange.number_, layout.head_bytes + body.size(),
                        [&](char* to) { put_text(write_head(to, exchange, reply, layout), body); });
  if (exchange.number_ == front_) front_begun_ = true;
  if (!sent || !layout.chunked) return sent;
  return send_piece(exchange, layout.body);
}

bool HttpDrain::send_piece(HttpResponder& exchange, std::string_view piece) {
  if (piece.empty() || exchange.silent_) return true;
  if (!exchange.chunked_) {
    return put(exchange.number_, piece.size(), [&](char* to) { put_text(to, piece); });
  }
  const Digits size(piece.size(), 16);
  return put(exchange.number_, size.size + piece.size() + 2 * kLineEnd.size(),
             [&](char* to) { put_text(put_text(put_text(put_text(to, size.view()), kLineEnd), piece), kLineEnd); });
}

void HttpDrain::complete(HttpResponder& exchange) noexcept {
  try {
    if (exchange.chunked_ && !exchange.silent_) {
      constexpr std::string_view kLastChunk = "0\r\n\r\n";
      put(exchange.number_, kLastChunk.size(), [&](char* to) { put_text(to, kLastChunk); });
    }
    if (answered(exchange.number_, false)) return;
    if (exchange.number_ != front_) {
      Early& waiting = early(exchange.number_);
      waiting.complete = true;
      waiting.closes = exchange.close_;
      return;
    }
    ++front_;
    front_begun_ = false;
    const bool closes_now = exchange.close_ || front_is_last_ || (!early_.empty() && release());
    HttpSource* const reader = source();
    if (closes_now) {
      end_after(front_ - 1);
      closed_ = true;
      if (reader != nullptr) reader->close(Errc::EndOfStream);
    } else if (reader != nullptr) {
      reader->answered();
    }
  } catch (const std::bad_alloc&) {
    close_connection(std::make_error_code(std::errc::not_enough_memory));
  }
}

// Those whose turn it is now go out. True if the connection closes after the last of them.
bool HttpDrain::release() {
  while (!early_.empty() && early_.front().number == front_) {
    Early& due = early_.front();
    append(std::as_bytes(std::span(due.bytes)));
    held_bytes_ -= due.bytes.size();
    const bool complete = due.complete;
    const bool closes = due.closes;
    front_begun_ = !complete && !due.bytes.empty();
    delete &early_.pop_front();
    added(0);
    if (!complete) {
      if (front_begun_ && blocks(0)) {
        end_after(front_);
        front_is_last_ = true;
      }
      return false;
    }
    ++front_;
    if (closes) return true;
  }
  return false;
}

// Nothing goes out behind this answer, so nothing more is read (RFC 9112, 9.6), and what was read and answered before
// that was known is forgotten.
void HttpDrain::end_after(std::uint32_t number) noexcept {
  if (HttpSource* const reader = source()) reader->last_ = true;
  next_ = number + 1;
  for (Early* one = early_.empty() ? nullptr : &early_.front(); one != nullptr;) {
    Early* const next = early_.after(*one);
    if (one->number - front_ >= next_ - front_) delete one;
    one = next;
  }
}

// What is held back behind an answer that comes in pieces, and so much more, would keep the drain congested until that
// answer is complete, and whoever gives the pieces from completing it.
bool HttpDrain::blocks(std::size_t more_bytes) const noexcept { return held_bytes_ + more_bytes > watermarks().low; }

void HttpDrain::begins_in_pieces(std::uint32_t number) noexcept {
  if (number == front_ && blocks(0)) end_after(number);
}

void HttpDrain::close_connection(std::error_code reason) noexcept {
  closed_ = true;
  if (HttpSource* const reader = source()) reader->close(reason);
  close(reason);
}

}  // namespace snowfox
