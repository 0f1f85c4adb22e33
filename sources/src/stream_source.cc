#include <snowfox/sources/stream_source.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/event_drain.h>
#include <snowfox/core/loop_manager.h>

namespace snowfox {
namespace {

constexpr std::string_view kComponent = "stream";
const StreamOptions kDefaults;

/// The peer may still read what was written to it.
bool peer_only_finished(std::error_code reason) noexcept {
  return reason == Errc::EndOfStream || reason == Errc::TruncatedFrame;
}

}  // namespace

/// Watches for silence. Bytes that come only move times here; the timer is armed anew when it has expired, so a busy
/// connection costs its timers nothing.
struct StreamSource::Silence final : Timer {
  Silence(StreamSource& watched, const StreamOptions& its) : source(watched), options(its) {}

  StreamSource& source;
  const StreamOptions& options;
  TimePoint last_received{};
  TimePoint frame_deadline = kNever;
  TimePoint paused_since = kNever;

  TimePoint idle_deadline() const noexcept {
    const Duration timeout = options.idle_timeout;
    return timeout == Duration::zero() ? kNever : deadline_after(last_received, timeout);
  }
  void arm_for(TimePoint deadline) noexcept {
    if (!armed() || deadline < this->deadline()) source.loop().arm(*this, deadline);
  }

  /// While it is we who do not listen, the peer's time does not run.
  void set_paused(bool paused) noexcept {
    const TimePoint now = source.loop().now();
    if (paused) {
      paused_since = now;
      disarm();
    } else if (paused_since != kNever) {
      const Duration unheard = now - std::exchange(paused_since, kNever);
      last_received += unheard;
      if (frame_deadline != kNever) frame_deadline = deadline_after(frame_deadline, unheard);
      source.loop().arm(*this, std::min(frame_deadline, idle_deadline()));
    }
  }

 private:
  void expire() noexcept override {
    const TimePoint now = source.loop().now();
    if (now >= frame_deadline) return source.close(Errc::FrameTimeout);
    if (now >= idle_deadline()) return source.close(Errc::IdleTimeout);
    source.loop().arm(*this, std::min(frame_deadline, idle_deadline()));
  }
};

StreamSource::StreamSource(LoopManager& loop, ChannelRef channel, const StreamOptions* options)
    : EventSource(loop),
      channel_(std::move(channel)),
      buffer_(loop.buffers()),
      options_(options != nullptr ? options : &kDefaults) {
  if (!channel_) return;
  if (options_->idle_timeout != Duration::zero()) {
    Silence& silence = begin_timing();
    silence.last_received = loop.now();
    silence.arm_for(silence.idle_deadline());
  }
  channel_->set_source(this);
  watch();
}

StreamSource::~StreamSource() { StreamSource::on_removed(); }

StreamSource::Silence& StreamSource::begin_timing() {
  if (!timed_) {
    silence_ = new Silence(*this, *options_);
    timed_ = true;
  }
  return *silence_;
}

void StreamSource::end_timing() noexcept {
  if (!timed_) return;
  timed_ = false;
  const std::unique_ptr<Silence> ended(silence_);
  options_ = &ended->options;
}

const StreamOptions& StreamSource::timed_options() const noexcept { return silence_->options; }

std::optional<PeerCredentials> StreamSource::peer_credentials() const {
  return channel_ ? channel_->io().peer_credentials(channel_->fd()) : std::nullopt;
}

std::string StreamSource::name() const {
  if (!channel_) return "stream";
  if (const auto peer = channel_->io().peer_address(fd())) return "stream from " + peer->str();
  if (const auto peer = peer_credentials()) return "stream from process " + std::to_string(peer->pid);
  return "stream on descriptor " + std::to_string(fd());
}

void StreamSource::watch() noexcept {
  if (channel_ && !channel_->watch_read(!paused() && open())) close(std::make_error_code(std::errc::io_error));
}

void StreamSource::on_readable() noexcept {
  readable_ = true;
  ready();
}

void StreamSource::on_pause_changed() noexcept {
  if (Silence* timing = silence()) timing->set_paused(paused());
  watch();
}

void StreamSource::on_removed() noexcept {
  end_timing();
  if (!channel_) return;
  if (channel_->source() == this) {
    channel_->set_source(nullptr);
    channel_->watch_read(false);
  }
  channel_.reset();
}

void StreamSource::close(std::error_code reason) noexcept {
  if (over_) return;
  end_timing();
  over_ = true;
  reason_value_ = reason.value();
  reason_category_ = &reason.category();
  if (channel_) channel_->watch_read(false);
  ready_to_end();
}

void StreamSource::feed(std::span<const std::byte> bytes) {
  buffer_.append(bytes);
  received_bytes_ += bytes.size();
  unparsed_ = !buffer_.empty();
  ready();
}

EventRef StreamSource::parse() {
  EventRef event = next_event<EventRef>([this](ReceiveBuffer& received) { return parse_frame(received); });
  return event == nullptr && over_ ? finish() : std::move(event);
}

// A frame that was begun is there, or some of what comes before the next one.
void StreamSource::parsed(std::size_t before) noexcept {
  if (Silence* timing = silence(); timing != nullptr && buffer_.data().size() != before)
    timing->frame_deadline = kNever;
}

void StreamSource::read() {
  const std::span<std::byte> room = buffer_.prepare();
  const ssize_t count =
      channel_->socket() ? channel_->io().receive(channel_->fd(), room) : channel_->io().read(channel_->fd(), room);
  if (count > 0) {
    buffer_.filled(static_cast<std::size_t>(count));
    received_bytes_ += static_cast<std::size_t>(count);
    unparsed_ = true;
    if (timed_) silence_->last_received = loop().poller().coarse_now();
  } else if (count == 0) {
    channel_->set_peer_finished();
    close(buffer_.empty() ? Errc::EndOfStream : Errc::TruncatedFrame);
  } else if (count == -ENOTSOCK && channel_->socket()) {
    channel_->set_no_socket();
    readable_ = true;
  } else if (count != -EAGAIN) {
    close({static_cast<int>(-count), std::system_category()});
  }
}

// What is left is the beginning of a frame: its rest has to come in time.
void StreamSource::await_rest() {
  buffer_.settle();
  // All that was asked is answered, but for what takes longer.
  if (EventDrain* answers = channel_ ? channel_->drain() : nullptr) loop().flush_now(*answers);
  if (buffer_.empty() || !channel_ || over_ || options().frame_timeout == Duration::zero()) return;
  Silence& silence = begin_timing();
  if (silence.frame_deadline != kNever) return;
  silence.frame_deadline = deadline_after(loop().now(), silence.options.frame_timeout);
  silence.arm_for(silence.frame_deadline);
}

void StreamSource::fail(std::error_code error) noexcept {
  if (finished_) return leave();  // closed() has thrown
  close(error);
}

void StreamSource::refuse(const std::system_error& nonsense) noexcept {
  log_if_possible([&] {
    loop().log().warning(kComponent, "connection closed", {{"connection", name()}, {"reason", nonsense.what()}});
  });
  reason_logged_ = true;
  close(nonsense.code());
}

EventRef StreamSource::finish() {
  if (finished_) return nullptr;
  finished_ = true;
  const std::error_code reason = this->reason();
  if (reason != Errc::EndOfStream && !reason_logged_) {
    reason_logged_ = true;
    log_if_possible([&] {
      loop().log().info(kComponent, "connection closed", {{"connection", name()}, {"reason", reason.message()}});
    });
  }
  EventRef last;
  try {
    last = closed(reason);
  } catch (const std::bad_alloc&) {
    finished_ = false;  // the loop will ask again: whoever waits for this event must get it
    throw;
  }
  leave();
  return last;
}

void StreamSource::leave() noexcept {
  if (EventDrain* drain = channel_ ? channel_->drain() : nullptr) {
    if (peer_only_finished(reason())) {
      drain->close_when_empty();
    } else {
      loop().remove(drain->id());
    }
  }
  buffer_.clear();
  loop().remove(id());
}

}  // namespace snowfox
