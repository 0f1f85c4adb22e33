#include <snowfox/http/http_source.h>

#include <algorithm>
#include <new>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/http/http_drain.h>

#include "head_scan.h"
#include "incoming.h"
#include "refusal.h"

namespace snowfox {
namespace {

const StreamOptions kOwnTimeouts{.idle_timeout = Duration::zero(), .frame_timeout = Duration::zero()};

/// A longer body that nobody wants ends its connection.
constexpr std::uint64_t kForgottenBytes = 64U << 10;

std::string_view text_of(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

HttpSource::HttpSource(LoopManager& loop, ChannelRef channel, HttpProtocol& protocol, HttpDrain& drain)
    : StreamSource(loop, std::move(channel), &kOwnTimeouts), protocol_(protocol), drain_(drain.id()) {
  drain.source_ = id();
  since_ = loop.now();
  look_at_time();
}

HttpSource::~HttpSource() {
  if (held_bytes_ != 0) hold(0);
}

HttpDrain* HttpSource::drain() const noexcept { return static_cast<HttpDrain*>(loop().drain(drain_)); }

bool HttpSource::streams() const noexcept { return incoming_ && incoming_->head.route_options().stream; }

bool HttpSource::receiving(std::uint32_t number) const noexcept { return streams() && incoming_->number == number; }

// --- the next event ---

void HttpSource::parse_all(EventSink& sink) {
  HttpEvent request(protocol_, id(), drain_);
  BodyEvent body(id(), drain_);
  parse_each(sink, [&](ReceiveBuffer& received) { return next(received, request, body); });
}

EventRef HttpSource::parse_frame(ReceiveBuffer& received) {
  auto request = std::make_unique<HttpEvent>(protocol_, id(), drain_);
  auto body = std::make_unique<BodyEvent>(id(), drain_);
  const Event* const made = next(received, *request, *body);
  if (made == nullptr) return nullptr;
  return made == request.get() ? EventRef(std::move(request)) : EventRef(std::move(body));
}

Event* HttpSource::next(ReceiveBuffer& received, HttpEvent& request, BodyEvent& body) {
  if (drain() == nullptr) close(std::make_error_code(std::errc::not_connected));
  while (open() && !received.empty()) {
    Step step = Step::Wait;
    if (streams()) {
      step = next_piece(received, body);
      if (step == Step::Event) return &body;
    } else if (last_) {
      received.need(0);
      received.consume(received.data().size());
      forget_rest();
    } else if (incoming_) {
      step = next_chunks(received, request);
    } else {
      step = next_request(received, request);
    }
    if (step == Step::Event) return &request;
    if (step == Step::Wait) break;
  }
  return nullptr;
}

HttpSource::Step HttpSource::next_request(ReceiveBuffer& received, HttpEvent& event) {
  const auto bytes = received.data();
  if (awaited_bytes_ > bytes.size()) {
    if (!hold(bytes.size())) refuse(too_much_pending(), drain()->take_number());
    return Step::Wait;
  }
  const std::uint32_t most_unanswered = std::max(1U, protocol_.options.max_pipelined);
  if (drain()->unanswered() >= most_unanswered) {
    hold_up(most_unanswered - 1);
    return Step::Wait;
  }
  // RFC 9112, 2.2: empty lines before a request are not its.
  if (scanned_lines_ == 0 && text_of(bytes).starts_with("\r\n")) {
    received.consume(2);
    return Step::GoOn;
  }
  const std::size_t head_bytes = find_head(text_of(bytes));
  if (head_bytes == 0) return Step::Wait;
  Head head;
  if (!read_head(bytes.first(head_bytes), received, head)) return Step::Wait;
  if (!acceptable(received, head)) return Step::GoOn;
  if (!may_continue(head, bytes.size())) return Step::Wait;
  if (head.facts.has_body() && (head.facts.chunked || head.route_options().stream)) {
    return take_in_pieces(received, head, event);
  }
  return take_whole(received, head, event);
}

// --- a head ---

// 0 if it is not there, or was refused.
std::size_t HttpSource::find_head(std::string_view text) {
  HeadScan scan{scanned_bytes_, scanned_lines_};
  Refusal refusal;
  const std::size_t bytes = scan.look(text, protocol_.options, refusal);
  if (refusal) {
    refuse(refusal, drain()->take_number());
    return 0;
  }
  if (bytes == 0) {
    scanned_bytes_ = scan.line_begin;
    scanned_lines_ = scan.lines;
    if (phase_ != Phase::Head) enter(Phase::Head);
    return 0;
  }
  scanned_bytes_ = scanned_lines_ = 0;
  return bytes;
}

bool HttpSource::read_head(std::span<const std::byte> head_bytes, ReceiveBuffer& received, Head& head) {
  head.bytes = head_bytes.size();
  head.request = protocol_.take_request();
  head.request->borrow(received, head_bytes);
  head.request->head_bytes_ = static_cast<std::uint32_t>(head_bytes.size());
  const Refusal refusal = read_request_head(text_of(head_bytes), *head.request, protocol_.options, head.facts);
  if (head.facts.correlation_id.empty()) head.facts.correlation_id = loop().ids().next();
  if (!refusal) return true;
  refuse(refusal, drain()->take_number(), head.facts.correlation_id);
  return false;
}

// Finds its route. False if it was answered already: there is none, or it is not for that one.
bool HttpSource::acceptable(ReceiveBuffer& received, Head& head) {
  HttpRequest& request = *head.request;
  head.match = protocol_.router.find(request);
  if (head.match.route == nullptr) {
    if (head.match.bad_path) {
      decline(received, head, {400, "the path has a percent escape that is none"});
    } else if (request.method() == "OPTIONS" && (!head.match.allowed.empty() || request.path() == "*")) {
      answer_options(received, head);
    } else if (head.match.allowed.empty()) {
      decline(received, head, {404, "nothing is found at this path"});
    } else {
      decline(received, head, {405, "this method is not for this path"}, {{"Allow", head.match.allowed}});
    }
    return false;
  }
  if (const auto& deny = head.route_options().deny) {
    if (const auto denial = deny(request)) {
      if (forget_body(received, head, false)) {
        count(head);
        ++protocol_.counters_.refused;
        responder(head, drain()->take_number())
            .answer({.status = denial->status, .content_type = denial->content_type, .body = denial->body});
      }
      return false;
    }
  }
  const std::uint64_t most = head.most_bytes(protocol_.options);
  if (head.facts.content_length.value_or(0) > most) {
    decline(received, head, {413, "the body is longer than " + std::to_string(most) + " bytes"});
    return false;
  }
  if (head.decodes() && head.facts.coding == RequestFacts::Coding::Unknown) {
    decline(received, head, {415, "Content-Encoding is neither gzip nor deflate"},
            {{"Accept-Encoding", "gzip, deflate"}});
    return false;
  }
  return true;
}

// Who waits to be told to go on is told when all before it is answered, or it would be taken for an answer.
bool HttpSource::may_continue(const Head& head, std::size_t here) {
  if (!head.facts.expects_continue || !head.facts.has_body() || drain()->unanswered() == 0) return true;
  if (head.facts.content_length && here >= head.bytes + *head.facts.content_length) return true;
  hold_up(0);
  return false;
}

void HttpSource::count(const Head& head) noexcept {
  ++requests_;
  const std::uint32_t most = protocol_.options.max_requests;
  if (!head.facts.keep_alive || protocol_.finishing() || (most != 0 && requests_ >= most)) last_ = true;
}

HttpResponder HttpSource::responder(const Head& head, std::uint32_t number) const noexcept {
  HttpResponder made(*drain(), number, head.facts.correlation_id);
  made.without_body_ = head.request->method() == "HEAD";
  made.http_1_0_ = head.request->minor_version() == 0;
  return made;
}

void HttpSource::begin(HttpEvent& event, Head& head, std::uint32_t number) {
  count(head);
  ++protocol_.counters_.requests;
  event.set_correlation_id(head.facts.correlation_id);
  event.responder_ = responder(head, number);
  event.route_ = head.match.route;
  event.request_ = std::move(head.request);
  event.receiver_.reset();
  event.body_comes_ = false;
}

// --- what is answered here ---

// The body of a request whose answer is known: a short one is awaited and forgotten. Of another one the connection is
// not worth it, nor of one that waits to be told to come. False: to be asked again when the body is there.
bool HttpSource::forget_body(ReceiveBuffer& received, const Head& head, bool close_after) {
  const std::uint64_t body_bytes = head.facts.content_length.value_or(0);
  const std::size_t here = received.data().size();
  if (close_after || head.facts.chunked || body_bytes > kForgottenBytes ||
      (body_bytes != 0 && head.facts.expects_continue)) {
    last_ = true;
    received.need(0);
    received.consume(here);
    forget_rest();
    return true;
  }
  const std::size_t bytes = head.bytes + static_cast<std::size_t>(body_bytes);
  if (bytes > here) {
    await(received, bytes);
    return false;
  }
  stop_awaiting(received);
  received.consume(bytes);
  return true;
}

void HttpSource::decline(ReceiveBuffer& received, Head& head, const Refusal& refusal, HttpFields fields) {
  constexpr int kTooLarge = 413;
  if (!forget_body(received, head, refusal.status == kTooLarge)) return;
  count(head);
  ++protocol_.counters_.refused;
  responder(head, drain()->take_number()).answer_error(refusal.status, refusal.reason, fields);
}

void HttpSource::answer_options(ReceiveBuffer& received, Head& head) {
  if (!forget_body(received, head, false)) return;
  count(head);
  const std::string allowed = head.match.allowed.empty() ? "OPTIONS" : head.match.allowed + ", OPTIONS";
  responder(head, drain()->take_number()).answer({.status = 204, .fields = {{"Allow", allowed}}});
}

// Until so many bytes are there it is looked at no more; the head, read again, is the same.
void HttpSource::await(ReceiveBuffer& received, std::size_t bytes) noexcept {
  awaited_bytes_ = bytes;
  received.need(bytes);
  enter(Phase::Body);
  if (!hold(received.data().size())) refuse(too_much_pending(), drain()->take_number());
}

void HttpSource::stop_awaiting(ReceiveBuffer& received) noexcept {
  if (awaited_bytes_ != 0) {
    awaited_bytes_ = 0;
    received.need(0);
  }
  hold(0);
  enter(Phase::Idle);
}

// What was begun of a request that will not be served.
void HttpSource::forget_rest() noexcept {
  incoming_.reset();
  awaited_bytes_ = scanned_bytes_ = scanned_lines_ = 0;
  hold(0);
  enter(Phase::Idle);
}

// So many bytes of the body at hand are here. False: with those of others they are too many.
bool HttpSource::hold(std::size_t body_bytes) noexcept {
  std::size_t& all = protocol_.counters_.pending_body_bytes;
  all = all - held_bytes_ + body_bytes;
  held_bytes_ = body_bytes;
  return body_bytes == 0 || all <= protocol_.options.max_pending_body_bytes;
}

// Where the next request begins is not known, or not to be trusted: this was the connection's last.
void HttpSource::refuse(const Refusal& refusal, std::uint32_t number, const CorrelationId& id) noexcept {
  ++protocol_.counters_.refused;
  last_ = refused_ = true;
  log_if_possible([&] {
    loop().log().info("http", "request refused",
                      {{"connection", name()}, {"status", refusal.status}, {"reason", refusal.reason}}, id);
  });
  HttpDrain* const answers = drain();
  try {
    if (!answers->answered(number, true)) {
      HttpResponder exchange(*answers, number, id.empty() ? loop().ids().next() : id);
      exchange.close_ = true;
      if (refusal.status == kBusy) {
        exchange.answer_error(refusal.status, refusal.reason, {{"Retry-After", "1"}});
      } else {
        exchange.answer_error(refusal.status, refusal.reason);
      }
    } else if (!answers->answered(number, false)) {
      return close(Errc::BadFrame);  // the client must not take what it has for the whole answer
    }
  } catch (...) {
    return close(std::make_error_code(std::errc::not_enough_memory));
  }
  close(Errc::EndOfStream);
}

// --- answers and pauses ---

void HttpSource::say_continue() { drain()->EventDrain::enqueue(std::string_view("HTTP/1.1 100 Continue\r\n\r\n")); }

void HttpSource::hold_up(std::uint32_t until_unanswered) noexcept {
  held_up_ = true;
  resume_at_ = until_unanswered;
  pause();
}

void HttpSource::answered() noexcept {
  since_ = loop().poller().coarse_now();
  if (held_up_ && drain()->unanswered() <= resume_at_) {
    held_up_ = false;
    resume();
    feed({});  // what is there was not looked at
  }
  if (protocol_.finishing()) end_when_idle();
}

void HttpSource::end_when_idle() noexcept {
  const HttpDrain* const answers = drain();
  if (phase_ != Phase::Idle || held_up_ || answers == nullptr) return;
  if (answers->unanswered() == 0) {
    close(Errc::EndOfStream);
  } else {
    last_ = true;
  }
}

// --- time ---

void HttpSource::enter(Phase phase) noexcept {
  phase_ = phase;
  // Idle it is not before all is answered, and it is looked at soon enough.
  if (phase == Phase::Idle) return;
  since_ = loop().poller().coarse_now();
  received_before_ = received_bytes();
  look_at_time();
}

void HttpSource::look_at_time() noexcept try {
  const HttpDrain* const answers = drain();
  if (!open() || answers == nullptr) return;
  if (last_ && !streams()) forget_rest();
  const HttpOptions& options = protocol_.options;
  const TimePoint now = loop().now();
  const Duration limit = phase_ == Phase::Body                     ? options.body_timeout
                         : phase_ == Phase::Head || requests_ == 0 ? options.head_timeout
                                                                   : options.keep_alive_timeout;
  if (limit <= Duration::zero()) return;
  // While it is we who do not listen, the peer's time does not run; nor while it waits for us.
  if (paused() || (phase_ == Phase::Idle && answers->unanswered() != 0)) {
    since_ = now;
    received_before_ = received_bytes();
  }
  if (now >= deadline_after(since_, limit)) {
    if (phase_ == Phase::Idle) return close(Errc::EndOfStream);
    if (phase_ == Phase::Head) {
      return refuse({408, "the head did not come within " + readable(limit)}, drain()->take_number());
    }
    const double wanted =
        std::chrono::duration<double>(now - since_).count() * static_cast<double>(options.least_body_rate);
    if (static_cast<double>(received_bytes() - received_before_) < wanted) {
      const std::uint32_t number = streams() ? incoming_->number : drain()->take_number();
      return refuse({408, "the body came slower than " + std::to_string(options.least_body_rate) + " bytes a second"},
                    number);
    }
    since_ = now;
    received_before_ = received_bytes();
  }
  loop().arm(patience_, deadline_after(since_, limit));
} catch (const std::bad_alloc&) {
  close(std::make_error_code(std::errc::not_enough_memory));
}

HttpConnection serve_http(LoopManager& loop, const ChannelRef& channel, HttpProtocol& protocol,
                          const Watermarks* watermarks) {
  auto drain = std::make_unique<HttpDrain>(loop, channel, protocol, watermarks);
  auto source = std::make_unique<HttpSource>(loop, channel, protocol, *drain);
  drain->bind(source->id());
  return {loop.add(std::move(source)).id(), loop.add(std::move(drain)).id()};
}

}  // namespace snowfox
