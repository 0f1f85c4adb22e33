#include "tls_handshake.h"

#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include <snowfox/drains/stream_drain.h>

namespace snowfox {
namespace {

constexpr std::string_view kComponent = "tls";

/// A browser shows it; an alert it would not understand.
constexpr std::string_view kToHttp =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 39\r\nConnection: close\r\n\r\n"
    "This port speaks HTTPS, not plain HTTP\n";

}  // namespace

class TlsHandshake::Output final : public StreamDrain {
 public:
  Output(TlsHandshake& handshake, const ChannelRef& channel)
      : StreamDrain(handshake.loop(), channel), handshake_(handshake.id()) {}

  bool flush() override {
    const bool done = StreamDrain::flush();
    if (done) {
      // Perhaps that was all that it waited for.
      if (auto* handshake = loop().fetch<TlsHandshake>(handshake_)) {
        if (handshake->complete_ && handshake->all_ != nullptr) handshake->all_->queue(*handshake);
      }
    }
    return done;
  }

 private:
  SourceId handshake_;
};

void TlsHandshake::begin(TlsHandshakes& all, const ChannelRef& plain, const Address& peer, const std::string& host,
                         OnOver on_over) {
  ChannelRef channel = TlsIo::make(all.loop(), plain, all.settings(), all.books(), host);
  auto& handshake = all.loop().add(std::make_unique<TlsHandshake>(all, std::move(channel), peer, std::move(on_over)));
  // A client speaks first, and not before the connection stands: what is written waits for that.
  if (!all.settings()->server) all.queue(handshake);
}

TlsHandshake::TlsHandshake(TlsHandshakes& all, ChannelRef channel, const Address& peer, OnOver on_over)
    : EventSource(all.loop()), all_(&all), channel_(std::move(channel)), peer_(peer), on_over_(std::move(on_over)) {
  output_ = loop().add(std::make_unique<Output>(*this, channel_)).id();
  channel_->set_source(this);
  all.begun(*this);
  loop().arm(deadline_, deadline_after(loop().now(), io().settings().handshake_timeout));
  if (!channel_->watch_read(true)) end_with(std::make_error_code(std::errc::io_error));
}

std::string TlsHandshake::name() const {
  if (!channel_) return "TLS handshake";
  if (const auto peer = channel_->io().peer_address(fd())) return "TLS handshake with " + peer->str();
  return "TLS handshake on descriptor " + std::to_string(fd());
}

void TlsHandshake::on_readable() noexcept {
  if (all_ != nullptr) all_->queue(*this);
}

void TlsHandshake::abandon() noexcept {
  all_ = nullptr;
  on_over_ = nullptr;
  loop().remove(output_);
  loop().remove(id());
}

void TlsHandshake::on_removed() noexcept {
  deadline_.disarm();
  ListNode<TlsHandshakes>::unlink();
  if (ListNode<InTlsContext>::linked()) {
    ListNode<InTlsContext>::unlink();
    --io().books().counters.handshakes;
  }
  if (!channel_) return;
  if (channel_->source() == this) {
    channel_->set_source(nullptr);
    channel_->watch_read(false);
  }
  channel_.reset();
}

void TlsHandshake::send_records() {
  RecordBuffers& records = io().records();
  if (records.empty()) return;
  if (EventDrain* output = loop().drain(output_)) {
    records.take_all([output](std::span<const std::byte> bytes) { output->enqueue(bytes); });
  }
}

void TlsHandshake::step() {
  if (failure_.code) return report();
  if (!complete_) {
    try {
      go_on();
    } catch (const std::bad_alloc&) {
      return end_with(std::make_error_code(std::errc::not_enough_memory));
    }
    if (failure_.code) return report();
  }
  // Otherwise it is asked again when all has gone out.
  const EventDrain* output = loop().drain(output_);
  if (complete_ && output != nullptr && output->empty()) finish();
}

void TlsHandshake::go_on() {
  switch (io().shake()) {
    case TlsIo::Progress::Waits: break;
    case TlsIo::Progress::Complete: complete_ = true; break;
    case TlsIo::Progress::Failed:
      failure_ = io().failure();
      if (failure_.code == TlsErrc::PlainHttp && io().settings().server) {
        io().records().clear();
        if (EventDrain* output = loop().drain(output_)) output->enqueue(kToHttp);
      }
  }
  send_records();
}

/// The channel is the protocol's from now on.
void TlsHandshake::finish() {
  TlsConnection connection{.channel = channel_, .peer = peer_, .session = {}};
  try {
    connection.session = io().session();
    io().established();
  } catch (const std::bad_alloc&) {
    return end_with(std::make_error_code(std::errc::not_enough_memory));
  }
  const ChannelRef channel = channel_;
  const OnOver on_over = std::move(on_over_);
  LoopManager& loop = this->loop();
  TlsIo& io = this->io();
  loop.remove(output_);
  loop.remove(id());
  try {
    on_over({}, std::move(connection));
  } catch (...) {
    // What it has made of the connection is half of something.
    if (EventSource* source = channel->source()) loop.remove(source->id());
    if (EventDrain* drain = channel->drain()) loop.remove(drain->id());
    throw;
  }
  io.announce();
}

/// The connection is not closed before what the peer is told has gone out.
void TlsHandshake::report() {
  TlsHandshakes& all = *all_;
  ++all.books()->counters.failed;
  const TlsFailure failure = std::move(failure_);
  const Address peer = peer_;
  const bool server = io().settings().server;
  const OnOver on_over = std::move(on_over_);
  LoopManager& loop = this->loop();
  EventDrain* const output = loop.drain(output_);
  loop.remove(id());
  if (output != nullptr) output->close_when_empty();
  if (server) {
    log_if_possible([&] {
      loop.log().info(kComponent, "handshake failed",
                      {{"peer", peer.str()}, {"reason", failure.code.message()}, {"detail", failure.detail}});
    });
    if (all.on_failure) all.on_failure(peer, failure);
  }
  if (on_over) on_over(failure, {.channel = nullptr, .peer = peer, .session = {}});
}

/// Who is told is told in an event of its own.
void TlsHandshake::end_with(std::error_code reason) noexcept {
  if (failure_.code || all_ == nullptr) return;
  failure_.code = reason;
  deadline_.disarm();
  loop().remove(std::exchange(output_, kNoDrain));
  channel_->watch_read(false);
  all_->queue(*this);
}

}  // namespace snowfox
