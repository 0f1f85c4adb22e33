#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <snowfox/core/buffer.h>
#include <snowfox/core/channel.h>
#include <snowfox/core/event_drain.h>

namespace snowfox {

/// Bytes on their way into a socket, pipe or terminal: kept in lent buffers, written with one gathered write a turn,
/// and when the kernel takes less, again as soon as it can. If writing fails, the peer takes nothing for the stall
/// timeout, or the hard limit is passed, the drain is removed and the source on the same channel closed with that
/// error.
///
/// Closing a connection while something that the peer has sent lies unread, or comes later, resets it, and the peer may
/// lose what it has not read. So a drain that closes when empty, and whose peer has not finished, first says that
/// nothing more comes, and then reads and forgets what the peer sends until that closes its side, too. It does so until
/// the peer has been silent for kLinger or all of it has lasted kLongestLinger, and in any case as long as the peer
/// keeps taking what was written.
class StreamDrain : public EventDrain {
 public:
  static constexpr Duration kLinger = std::chrono::seconds(5);
  static constexpr Duration kLongestLinger = std::chrono::seconds(30);

  /// `channel`'s descriptor must be non-blocking unless it is a socket. It may still be connecting.
  StreamDrain(LoopManager& loop, ChannelRef channel, const Watermarks* watermarks = nullptr);
  ~StreamDrain() override;

  using EventDrain::enqueue;
  /// All of `bytes`, or if it throws none.
  void enqueue(std::span<const std::byte> bytes) override;

  /// Room for exactly `bytes` in one piece, to be written in place and enqueued by commit() before anything else is;
  /// empty if the drain takes nothing any more.
  std::span<std::byte> reserve(std::size_t bytes) {
    // A drain that has a buffer is neither closed nor about to.
    if (last_ == nullptr || last_->free_space().size() < bytes || overflown() ||
        pending_bytes() + bytes > watermarks().hard_limit) [[unlikely]] {
      return reserve_anew(bytes);
    }
    return last_->free_space().first(bytes);
  }
  void commit(std::size_t bytes) noexcept {
    last_->filled(bytes);
    added(bytes);
  }

  bool flush() override;
  bool delivered() const noexcept override;
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override;

  /// Ends the connection; what waits is dropped.
  void close(std::error_code reason) noexcept { fail(reason); }

 protected:
  /// For a protocol whose messages have a limit to keep it in, where it takes no room of its own.
  std::uint32_t max_frame_bytes_ = UINT32_MAX;

  /// For a protocol that holds bytes back, which it has told of by added(): whether so many more are too many; then
  /// they are counted as dropped.
  bool refuses(std::size_t bytes) noexcept;
  /// These bytes, held back till now, go out next. All of them, or if it throws none. To be followed by added(0).
  void append(std::span<const std::byte> bytes);

 private:
  void on_removed() noexcept override;
  void fail(std::error_code error) noexcept override;
  bool may_go() noexcept override;

  struct Stall;
  class Linger;
  std::span<std::byte> reserve_anew(std::size_t bytes);
  Buffer& append_buffer(std::size_t bytes);
  void taken(std::size_t bytes) noexcept;
  void clear() noexcept;

  Buffer* first() const noexcept { return last_ == nullptr ? nullptr : last_->next; }
  void drop_first() noexcept;
  Stall& stall();
  bool lingers() const noexcept;

  ChannelRef channel_;
  Buffer* last_ = nullptr;        // its next is the first
  std::unique_ptr<Stall> stall_;  // only if the peer has ever been slow, or is waited for at the end
};

}  // namespace snowfox
