// The bodies of requests: HttpSource's other half.
#include <algorithm>
#include <new>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/http/http_drain.h>
#include <snowfox/http/http_source.h>

#include "incoming.h"
#include "refusal.h"

namespace snowfox {
namespace {

/// So much of a body is inflated at a time: a thousand times that may come out.
constexpr std::size_t kInflatedAtATime = 4U << 10;

std::string_view text_of(std::span<const std::byte> bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

// --- whole bodies ---

HttpSource::Step HttpSource::take_whole(ReceiveBuffer& received, Head& head, HttpEvent& event) {
  const auto body_bytes = static_cast<std::size_t>(head.facts.content_length.value_or(0));
  const std::size_t bytes = head.bytes + body_bytes;
  if (bytes > received.data().size()) {
    if (head.facts.expects_continue) say_continue();
    await(received, bytes);
    return Step::Wait;
  }
  stop_awaiting(received);
  if (body_bytes != 0) {
    head.request->received_.reset();
    received.lend(received.data().first(bytes), head.request->received_);
    head.request->in_place_body_bytes_ = static_cast<std::uint32_t>(body_bytes);
  }
  const std::uint32_t number = drain()->take_number();
  if (head.decodes() && !decoded(head, head.request->body(), number)) return Step::Wait;
  received.consume(bytes);
  begin(event, head, number);
  return Step::Event;
}

bool HttpSource::decoded(Head& head, std::string_view encoded, std::uint32_t number) {
  Inflater& inflater = protocol_.inflater();
  inflater.begin(head.facts.coding, head.most_decoded_bytes(protocol_.options));
  std::string body;
  Refusal refusal = inflater.inflate(encoded, body);
  if (!refusal) refusal = inflater.end();
  if (refusal) {
    refuse(refusal, number, head.facts.correlation_id);
    return false;
  }
  head.request->own_body_ = std::move(body);
  head.request->body_is_own_ = head.request->decoded_ = true;
  return true;
}

HttpSource::Step HttpSource::next_chunks(ReceiveBuffer& received, HttpEvent& event) {
  Head& head = incoming_->head;
  HttpRequest& request = *head.request;
  Refusal refusal;
  received.consume(incoming_->chunks->read(text_of(received.data()), request.own_body_, refusal));
  if (refusal) {
    refuse(refusal, drain()->take_number(), head.facts.correlation_id);
    return Step::Wait;
  }
  if (!incoming_->done()) {
    if (!hold(request.own_body_.size())) refuse(too_much_pending(), drain()->take_number(), head.facts.correlation_id);
    return Step::Wait;
  }
  hold(0);
  const std::uint32_t number = drain()->take_number();
  request.body_is_own_ = true;
  if (head.decodes()) {
    const std::string encoded = std::move(request.own_body_);
    if (!decoded(head, encoded, number)) return Step::Wait;
  }
  const std::unique_ptr<Incoming> whole = std::move(incoming_);
  enter(Phase::Idle);
  begin(event, whole->head, number);
  return Step::Event;
}

// --- bodies in pieces ---

HttpSource::Step HttpSource::take_in_pieces(ReceiveBuffer& received, Head& head, HttpEvent& event) {
  const bool streams = head.route_options().stream;
  auto incoming = std::make_unique<Incoming>();
  if (streams && head.decodes()) {
    incoming->inflater = std::make_unique<Inflater>();
    incoming->inflater->begin(head.facts.coding, head.most_decoded_bytes(protocol_.options));
  }
  if (!streams && head.facts.expects_continue) say_continue();
  received.consume(head.bytes);
  if (streams) {
    incoming->number = drain()->take_number();
    begin(event, head, incoming->number);
    event.body_comes_ = true;
  }
  incoming->left = head.facts.content_length.value_or(0);
  if (head.facts.chunked)
    incoming->chunks.emplace(head.most_bytes(protocol_.options), protocol_.options.max_head_bytes);
  incoming->head = std::move(head);
  incoming_ = std::move(incoming);
  enter(Phase::Body);
  return streams ? Step::Event : Step::GoOn;
}

void HttpSource::handled(HttpEvent& event) {
  if (!streams() || !open()) return;
  incoming_->receiver = std::move(event.receiver_);
  if (incoming_->head.facts.expects_continue && !drain()->answered(incoming_->number, true)) say_continue();
}

HttpSource::Step HttpSource::next_piece(ReceiveBuffer& received, BodyEvent& event) {
  Incoming& incoming = *incoming_;
  auto bytes = received.data();
  if (incoming.inflater) bytes = bytes.first(std::min(bytes.size(), kInflatedAtATime));
  event.borrowed_.reset();
  event.own_.clear();
  if (const Refusal refusal = incoming.take(bytes, received, event.borrowed_, event.own_)) {
    refuse(refusal, incoming.number, incoming.head.facts.correlation_id);
    return Step::Wait;
  }
  event.last_ = incoming.done();
  event.receiver_ = incoming.receiver;
  event.set_correlation_id(incoming.head.facts.correlation_id);
  if (event.last_) {
    incoming_.reset();
    enter(Phase::Idle);
  } else if (event.piece().empty()) {
    return Step::GoOn;
  }
  return event.receiver_ ? Step::Event : Step::GoOn;
}

// Takes what it can of `bytes`, in front of `received`: into `place` where it lies, or into `own`.
Refusal HttpSource::Incoming::take(std::span<const std::byte> bytes, ReceiveBuffer& received, BorrowedBytes& place,
                                   std::string& own) {
  Refusal refusal;
  std::string_view wire;
  if (chunks) {
    encoded.clear();
    received.consume(chunks->read(text_of(bytes), inflater ? encoded : own, refusal));
    wire = encoded;
  } else {
    const auto part = static_cast<std::size_t>(std::min<std::uint64_t>(left, bytes.size()));
    left -= part;
    wire = text_of(bytes.first(part));
    if (!inflater) received.lend(bytes.first(part), place);
    received.consume(part);
  }
  // What comes first in the body is what is told, however much of it is there at a time.
  if (inflater) {
    if (Refusal broken = inflater->inflate(wire, own)) return broken;
  }
  if (inflater && !refusal && done()) refusal = inflater->end();
  return refusal;
}

// What takes the body has thrown. Whoever was to answer is gone with it, or is too late.
void HttpSource::abandon_body() noexcept try {
  if (!streams() || !open()) return;
  incoming_->receiver.reset();
  if (open() && drain() != nullptr && !drain()->answered(incoming_->number, false)) {
    refuse({500, "the request could not be handled"}, incoming_->number, incoming_->head.facts.correlation_id);
  }
} catch (const std::bad_alloc&) {
  close(std::make_error_code(std::errc::not_enough_memory));
}

void HttpSource::BodyEvent::handle() {
  if (borrowed_.lost()) throw std::bad_alloc();
  const std::shared_ptr<HttpBodyReceiver> receiver = std::move(receiver_);
  if (const std::string_view bytes = piece(); !bytes.empty()) receiver->on_piece(bytes);
  borrowed_.reset();
  if (last_) receiver->on_end();
}

void HttpSource::BodyEvent::rescue(std::exception_ptr error) {
  borrowed_.reset();
  if (auto* source = static_cast<HttpSource*>(loop().source(source_)); source != nullptr && !last_) {
    source->abandon_body();
  }
  std::rethrow_exception(std::move(error));
}

EventRef HttpSource::closed(std::error_code reason) {
  hold(0);
  if (!streams() || !incoming_->receiver) return nullptr;
  const std::error_code why = refused_ ? Errc::BadFrame : reason == Errc::EndOfStream ? Errc::TruncatedFrame : reason;
  EventRef failed = std::make_unique<BodyFailed>(incoming_->receiver, why);
  incoming_.reset();
  return failed;
}

}  // namespace snowfox
