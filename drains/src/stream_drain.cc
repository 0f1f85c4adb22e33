#include <snowfox/drains/stream_drain.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/fault_point.h>
#include <snowfox/core/loop_manager.h>

namespace snowfox {
namespace {

/// More buffers than this wait for the next write.
constexpr std::size_t kGatheredBuffers = 64;

std::size_t next_buffer_bytes(std::size_t pending) noexcept {
  const std::size_t block = pending < BufferPool::kSmall    ? BufferPool::kSmall
                            : pending < BufferPool::kMedium ? BufferPool::kMedium
                                                            : BufferPool::kLarge;
  return block - sizeof(Buffer);
}

}  // namespace

/// Runs while data waits that the kernel does not take. Bytes that it does take only move the time here; the timer is
/// armed anew when it has expired.
struct StreamDrain::Stall final : Timer {
  explicit Stall(StreamDrain& watched) : drain(watched) {}

  StreamDrain& drain;
  TimePoint last_taken{};
  SourceId linger = kNoSource;  // what reads while the drain lingers: from then on it does nothing else

  void note(bool some_taken) noexcept {
    if (drain.watermarks().stall_timeout <= Duration::zero()) return;
    if (armed() && !some_taken) return;
    last_taken = drain.loop().now();
    if (!armed()) drain.loop().arm(*this, stalled_at());
  }

 private:
  TimePoint stalled_at() const noexcept { return deadline_after(last_taken, drain.watermarks().stall_timeout); }
  void expire() noexcept override {
    if (drain.loop().now() >= stalled_at()) return drain.fail(Errc::DrainStalled);
    drain.loop().arm(*this, stalled_at());
  }
};

/// Reads what nobody wants any more, until the peer ends or its time is over: then the drain goes, and this with it.
class StreamDrain::Linger final : public EventSource {
 public:
  Linger(StreamDrain& drain, ChannelRef channel)
      : EventSource(drain.loop()), drain_(drain), channel_(std::move(channel)), patience_(*this) {
    channel_->set_source(this);
    last_end_ = deadline_after(loop().now(), kLongestLinger);
    loop().arm(patience_, deadline_after(loop().now(), kLinger));
  }
  ~Linger() override { Linger::on_removed(); }

  EventRef parse() override {
    std::array<std::byte, BufferPool::kMedium> unheard;
    const ssize_t count = channel_->io().receive(channel_->fd(), unheard);
    if (count > 0) heard_ = true;
    if (count == 0 || (count < 0 && count != -EAGAIN)) end();
    return nullptr;
  }
  /// The drain may be gone when it returns.
  void watch() noexcept {
    if (channel_ && !channel_->watch_read(!paused())) end();
  }
  std::string name() const override { return "last words of " + drain_.name(); }

 private:
  struct Patience final : Timer {
    explicit Patience(Linger& waiting) : linger(waiting) {}
    void expire() noexcept override { linger.time_is_over(); }
    Linger& linger;
  };

  void time_is_over() noexcept {
    const std::size_t left = channel_->io().undelivered_bytes(channel_->fd());
    const bool taken = left != 0 && left < undelivered_;
    const bool talking = std::exchange(heard_, false) && loop().now() < last_end_;
    if (!taken && !talking) return end();
    undelivered_ = left;
    loop().arm(patience_, deadline_after(loop().now(), kLinger));
  }
  void end() noexcept { loop().remove(drain_.id()); }
  void on_pause_changed() noexcept override { watch(); }
  void fail(std::error_code) noexcept override { end(); }
  void on_removed() noexcept override {
    patience_.disarm();
    if (!channel_) return;
    if (channel_->source() == this) {
      channel_->set_source(nullptr);
      channel_->watch_read(false);
    }
    channel_.reset();
  }

  StreamDrain& drain_;
  ChannelRef channel_;
  Patience patience_;
  TimePoint last_end_;
  std::size_t undelivered_ = SIZE_MAX;  // when it was last looked
  bool heard_ = false;                  // since then
};

StreamDrain::StreamDrain(LoopManager& loop, ChannelRef channel, const Watermarks* watermarks)
    : EventDrain(loop, watermarks), channel_(std::move(channel)) {
  channel_->set_drain(this);
}

StreamDrain::~StreamDrain() { StreamDrain::on_removed(); }

std::string StreamDrain::name() const { return "stream on descriptor " + std::to_string(fd()); }

StreamDrain::Stall& StreamDrain::stall() {
  if (!stall_) stall_ = std::make_unique<Stall>(*this);
  return *stall_;
}

bool StreamDrain::lingers() const noexcept { return stall_ && stall_->linger != kNoSource; }

void StreamDrain::on_removed() noexcept {
  const SourceId linger = stall_ ? stall_->linger : kNoSource;
  stall_.reset();
  clear();
  loop().remove(linger);
  if (!channel_) return;
  if (channel_->drain() == this) {
    channel_->set_drain(nullptr);
    channel_->watch_write(false);
  }
  channel_.reset();
}

void StreamDrain::clear() noexcept {
  while (last_ != nullptr) drop_first();
  dropped();
}

void StreamDrain::drop_first() noexcept {
  Buffer* dropped = last_->next;
  if (dropped == last_) {
    last_ = nullptr;
  } else {
    last_->next = dropped->next;
  }
  loop().buffers().give_back(dropped);
}

void StreamDrain::fail(std::error_code error) noexcept {
  // Both are told, the source last: it may already make the event that says so.
  const ChannelRef channel = channel_;
  if (!channel) return;
  loop().remove(id());
  channel->fail_source(error);
}

bool StreamDrain::refuses(std::size_t bytes) noexcept {
  if (!overflown() && channel_ && !lingers() && pending_bytes() + bytes <= watermarks().hard_limit) return false;
  refused(bytes);
  if (channel_ && !lingers() && !overflown()) {
    set_overflown();
    added(0);  // so that flush() ends it
  }
  return true;
}

Buffer& StreamDrain::append_buffer(std::size_t bytes) {
  Buffer* buffer = loop().buffers().lend(std::max(bytes, next_buffer_bytes(pending_bytes())));
  buffer->next = last_ == nullptr ? buffer : std::exchange(last_->next, buffer);
  last_ = buffer;
  return *buffer;
}

void StreamDrain::enqueue(std::span<const std::byte> bytes) {
  if (bytes.empty() || refuses(bytes.size())) return;
  append(bytes);
  added(bytes.size());
}

void StreamDrain::append(std::span<const std::byte> bytes) {
  // What the last buffer has no room for goes into one more, which is there before anything is written: half a message
  // would be worse than none.
  Buffer* const present = last_;
  const std::size_t first = present == nullptr ? 0 : std::min(bytes.size(), present->free_space().size());
  const std::span<const std::byte> rest = bytes.subspan(first);
  if (!rest.empty()) {
    Buffer& more = append_buffer(rest.size());
    std::memcpy(more.free_space().data(), rest.data(), rest.size());
    more.filled(rest.size());
  }
  if (first != 0) {
    std::memcpy(present->free_space().data(), bytes.data(), first);
    present->filled(first);
  }
}

std::span<std::byte> StreamDrain::reserve_anew(std::size_t bytes) {
  if (refuses(bytes)) return {};
  Buffer* const buffer = last_ != nullptr && last_->free_space().size() >= bytes ? last_ : &append_buffer(bytes);
  return buffer->free_space().first(bytes);
}

void StreamDrain::taken(std::size_t bytes) noexcept {
  removed(bytes);
  while (Buffer* buffer = first()) {
    const std::size_t part = std::min(bytes, buffer->size());
    buffer->consumed(part);
    bytes -= part;
    if (buffer->size() != 0) return;
    drop_first();
  }
}

bool StreamDrain::flush() {
  if (overflown()) {
    fail(Errc::DrainOverflow);
    return false;
  }
  while (!empty() && last_ != nullptr && channel_) {
    std::array<iovec, kGatheredBuffers> pieces;
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (Buffer* buffer = first(); count < pieces.size(); buffer = buffer->next) {
      if (buffer->size() != 0) {
        pieces[count++] = {const_cast<std::byte*>(buffer->data().data()), buffer->size()};
        bytes += buffer->size();
      }
      if (buffer == last_) break;
    }
    if (count == 0) break;  // what waits is held back
    const std::span<const iovec> gathered(pieces.data(), count);
    Io& io = channel_->io();
    const ssize_t written = channel_->socket() ? io.send(channel_->fd(), gathered) : io.write(channel_->fd(), gathered);
    if (written == -ENOTSOCK && channel_->socket()) {
      channel_->set_no_socket();
      continue;
    }
    // A TCP connection under way says ENOTCONN or EAGAIN; it is writable when it stands or has failed.
    if (written < 0 && written != -EAGAIN && written != -ENOBUFS) {
      fail({static_cast<int>(-written), std::system_category()});
      return false;
    }
    if (written > 0) taken(SNOWFOX_MUTANT(LostBytes) ? bytes : static_cast<std::size_t>(written));
    if (written < static_cast<ssize_t>(bytes)) {
      if (!channel_->watch_write(true)) {
        fail(std::make_error_code(std::errc::io_error));
        return false;
      }
      stall().note(written > 0);
      return false;
    }
  }
  if (stall_) stall_->disarm();
  if (channel_) channel_->watch_write(false);
  return true;
}

bool StreamDrain::may_go() noexcept {
  if (lingers()) return false;
  // As long as a source reads, the connection does not end with its drain.
  if (!channel_ || !channel_->socket() || flushed_bytes() == 0 || channel_->peer_finished() ||
      channel_->source() != nullptr) {
    return true;
  }
  channel_->io().shutdown_write(channel_->fd());
  try {
    Stall& waiting = stall();
    Linger& linger = loop().add(std::make_unique<Linger>(*this, channel_));
    waiting.linger = linger.id();
    linger.watch();
  } catch (const std::exception&) {
    return true;
  }
  return false;
}

bool StreamDrain::delivered() const noexcept {
  if (!empty()) return false;
  return !channel_ || !channel_->socket() || flushed_bytes() == 0 ||
         channel_->io().undelivered_bytes(channel_->fd()) == 0;
}

}  // namespace snowfox
