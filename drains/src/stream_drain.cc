#include <snowfox/drains/stream_drain.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <snowfox/core/error.h>
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

StreamDrain::StreamDrain(LoopManager& loop, ChannelRef channel, const Watermarks* watermarks)
    : EventDrain(loop, watermarks), channel_(std::move(channel)) {
  channel_->set_drain(this);
}

StreamDrain::~StreamDrain() { StreamDrain::on_removed(); }

std::string StreamDrain::name() const { return "stream on descriptor " + std::to_string(fd()); }

void StreamDrain::on_removed() noexcept {
  stall_.reset();
  clear();
  if (!channel_) return;
  if (channel_->drain() == this) {
    channel_->set_drain(nullptr);
    channel_->watch_write(false);
  }
  channel_.reset();
}

void StreamDrain::clear() noexcept {
  while (first_ != nullptr) {
    Buffer* buffer = first_;
    first_ = buffer->next;
    loop().buffers().give_back(buffer);
  }
  last_ = nullptr;
  dropped();
}

void StreamDrain::fail(std::error_code error) noexcept {
  // Both are told, the source last: it may already make the event that says so.
  const ChannelRef channel = channel_;
  if (!channel) return;
  loop().remove(id());
  channel->fail_source(error);
}

bool StreamDrain::refuses(std::size_t bytes) noexcept {
  if (!overflown_ && channel_ && pending_bytes() + bytes <= watermarks().hard_limit) return false;
  refused(bytes);
  if (channel_ && !overflown_) {
    overflown_ = true;
    added(0);  // so that flush() ends it
  }
  return true;
}

Buffer& StreamDrain::room_for(std::size_t bytes) {
  return last_ != nullptr && last_->free_space().size() >= bytes ? *last_ : append_buffer(bytes);
}

Buffer& StreamDrain::append_buffer(std::size_t bytes) {
  Buffer* buffer = loop().buffers().lend(std::max(bytes, next_buffer_bytes(pending_bytes())));
  if (last_ == nullptr) {
    first_ = buffer;
  } else {
    last_->next = buffer;
  }
  last_ = buffer;
  return *buffer;
}

void StreamDrain::enqueue(std::span<const std::byte> bytes) {
  if (bytes.empty() || refuses(bytes.size())) return;
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
  added(bytes.size());
}

std::span<std::byte> StreamDrain::reserve(std::size_t bytes) {
  if (refuses(bytes)) return {};
  return room_for(bytes).free_space().first(bytes);
}

void StreamDrain::commit(std::size_t bytes) noexcept {
  last_->filled(bytes);
  added(bytes);
}

void StreamDrain::taken(std::size_t bytes) noexcept {
  removed(bytes);
  while (first_ != nullptr) {
    const std::size_t part = std::min(bytes, first_->size());
    first_->consumed(part);
    bytes -= part;
    if (first_->size() != 0) return;
    Buffer* empty = first_;
    first_ = empty->next;
    if (first_ == nullptr) last_ = nullptr;
    loop().buffers().give_back(empty);
  }
}

bool StreamDrain::flush() {
  if (overflown_) {
    fail(Errc::DrainOverflow);
    return false;
  }
  while (!empty() && channel_) {
    std::array<iovec, kGatheredBuffers> pieces;
    std::size_t count = 0;
    std::size_t bytes = 0;
    for (Buffer* buffer = first_; buffer != nullptr && count < pieces.size(); buffer = buffer->next) {
      if (buffer->size() == 0) continue;
      pieces[count++] = {const_cast<std::byte*>(buffer->data().data()), buffer->size()};
      bytes += buffer->size();
    }
    const std::span<const iovec> gathered(pieces.data(), count);
    Io& io = channel_->io();
    const ssize_t written = socket_ ? io.send(channel_->fd(), gathered) : io.write(channel_->fd(), gathered);
    if (written == -ENOTSOCK && socket_) {
      socket_ = false;
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
      if (!stall_) stall_ = std::make_unique<Stall>(*this);
      stall_->note(written > 0);
      return false;
    }
  }
  if (stall_) stall_->disarm();
  if (channel_) channel_->watch_write(false);
  return true;
}

bool StreamDrain::delivered() const noexcept {
  if (!empty()) return false;
  return !channel_ || !socket_ || flushed_bytes() == 0 || channel_->io().undelivered_bytes(channel_->fd()) == 0;
}

}  // namespace snowfox
