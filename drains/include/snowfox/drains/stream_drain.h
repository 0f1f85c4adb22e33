#pragma once

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
class StreamDrain : public EventDrain {
 public:
  /// `channel`'s descriptor must be non-blocking unless it is a socket. It may still be connecting.
  StreamDrain(LoopManager& loop, ChannelRef channel, const Watermarks* watermarks = nullptr);
  ~StreamDrain() override;

  using EventDrain::enqueue;
  /// All of `bytes`, or if it throws none.
  void enqueue(std::span<const std::byte> bytes) override;

  /// Room for exactly `bytes` in one piece, to be written in place and enqueued by commit() before anything else is;
  /// empty if the drain takes nothing any more.
  std::span<std::byte> reserve(std::size_t bytes);
  void commit(std::size_t bytes) noexcept;

  bool flush() override;
  bool delivered() const noexcept override;
  int fd() const noexcept override { return channel_ ? channel_->fd() : -1; }
  std::string name() const override;

  /// Ends the connection; what waits is dropped.
  void close(std::error_code reason) noexcept { fail(reason); }
  /// Bytes that the kernel took in all.
  std::uint64_t flushed_bytes() const noexcept { return flushed_bytes_; }

 private:
  void on_removed() noexcept override;
  void fail(std::error_code error) noexcept override;

  struct Stall;
  bool refuses(std::size_t bytes) noexcept;
  Buffer& room_for(std::size_t bytes);
  Buffer& append_buffer(std::size_t bytes);
  void taken(std::size_t bytes) noexcept;
  void clear() noexcept;

  ChannelRef channel_;
  Buffer* first_ = nullptr;
  Buffer* last_ = nullptr;
  std::unique_ptr<Stall> stall_;  // only if the peer has ever been slow
  std::uint64_t flushed_bytes_ = 0;
  bool overflown_ = false;
  bool socket_ = true;  // until it says that it is none
};

}  // namespace snowfox
