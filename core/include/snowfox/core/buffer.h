#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include <snowfox/core/intrusive_list.h>

namespace snowfox {

class BufferPool;
class ReceiveBuffer;

/// Bytes that lie in a ReceiveBuffer and are looked at there, also when they were consumed. If they are to be moved or
/// given away before reset(), they are copied, once.
class BorrowedBytes : private ListNode<BorrowedBytes> {
 public:
  BorrowedBytes() = default;
  /// The other has nothing then.
  BorrowedBytes(BorrowedBytes&& other) noexcept { take(other); }
  BorrowedBytes& operator=(BorrowedBytes&& other) noexcept {
    if (this == &other) return *this;
    reset();
    take(other);
    return *this;
  }

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  /// There was no memory for the copy: bytes() is empty.
  bool lost() const noexcept { return lost_; }
  void reset() noexcept {
    unlink();
    bytes_ = {};
    if (own_ != nullptr) own_.reset();
    lost_ = false;
  }

 private:
  friend class ReceiveBuffer;
  friend class IntrusiveList<BorrowedBytes, BorrowedBytes>;
  void copy() noexcept;
  void take(BorrowedBytes& other) noexcept {
    take_place_of(other);
    bytes_ = std::exchange(other.bytes_, {});
    own_ = std::move(other.own_);
    lost_ = std::exchange(other.lost_, false);
  }

  std::span<const std::byte> bytes_;
  std::unique_ptr<std::byte[]> own_;
  bool lost_ = false;
};

/// A block of bytes lent by a BufferPool, filled from the front of its free part and emptied from the front of its
/// data.
class Buffer {
 public:
  std::span<const std::byte> data() const noexcept { return {bytes() + begin_, end_ - begin_}; }
  std::span<std::byte> free_space() noexcept { return {bytes() + end_, capacity_ - end_}; }
  std::size_t size() const noexcept { return end_ - begin_; }
  std::size_t capacity() const noexcept { return capacity_; }
  void filled(std::size_t count) noexcept { end_ += count; }
  void consumed(std::size_t count) noexcept { begin_ += count; }

  Buffer* next = nullptr;  ///< for whoever chains them

 private:
  friend class BufferPool;
  friend class ReceiveBuffer;
  Buffer(BufferPool& pool, std::size_t capacity) noexcept : pool_(pool), capacity_(capacity) {}
  std::byte* bytes() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  const std::byte* bytes() const noexcept { return reinterpret_cast<const std::byte*>(this + 1); }

  BufferPool& pool_;
  std::size_t capacity_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  // For a ReceiveBuffer: here, so that it has them only while it holds something.
  std::size_t needed_ = 0;
  IntrusiveList<BorrowedBytes, BorrowedBytes> borrowers_;
};

/// Lends buffers to connections while they have something in them, so that an idle one holds none. Keeps at most 4 MiB
/// of each of its three sizes for the next borrower; larger buffers come from the heap and go back there.
class BufferPool {
 public:
  static constexpr std::size_t kSmall = 2U << 10;
  static constexpr std::size_t kMedium = 16U << 10;
  static constexpr std::size_t kLarge = 64U << 10;

  BufferPool() noexcept : nothing_(*this, 0) {}
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  /// An empty buffer with room for at least `bytes`. Throws std::bad_alloc.
  Buffer* lend(std::size_t bytes);
  void give_back(Buffer* buffer) noexcept;

  /// Held by borrowers now, in bytes.
  std::size_t lent_bytes() const noexcept { return lent_bytes_; }
  /// Kept for the next borrower, in bytes.
  std::size_t kept_bytes() const noexcept { return kept_bytes_; }

 private:
  friend class ReceiveBuffer;
  static constexpr std::size_t kKeptBytes = 4U << 20;
  struct Shelf {
    Buffer* first = nullptr;
    std::size_t bytes = 0;
  };

  Buffer nothing_;  // what those have that hold nothing: it has no room
  std::array<Shelf, 3> shelves_;
  std::size_t lent_bytes_ = 0;
  std::size_t kept_bytes_ = 0;
};

/// What a connection has received and its protocol has not yet consumed: contiguous, and holding no memory while empty.
class ReceiveBuffer {
 public:
  explicit ReceiveBuffer(BufferPool& pool) noexcept : buffer_(&pool.nothing_) {}
  ~ReceiveBuffer() { clear(); }
  ReceiveBuffer(const ReceiveBuffer&) = delete;
  ReceiveBuffer& operator=(const ReceiveBuffer&) = delete;

  /// For the protocol: all bytes received and not yet consumed. Valid until the next call that is not const, but for
  /// consume(), which leaves what it consumes in place.
  std::span<const std::byte> data() const noexcept { return buffer_->data(); }
  bool empty() const noexcept { return data().empty(); }
  void consume(std::size_t bytes) noexcept { buffer_->consumed(bytes); }
  /// Lets `borrower`, which must have nothing, look at `bytes`, a part of data().
  void lend(std::span<const std::byte> bytes, BorrowedBytes& borrower) noexcept {
    borrower.bytes_ = bytes;
    buffer_->borrowers_.push_back(borrower);
  }
  /// So many bytes are needed in all before there is a whole frame: a hint for what to lend. What is really lent grows
  /// with what is received, so announcing much costs the announcer as much.
  /// Forgotten when nothing is there.
  void need(std::size_t bytes) noexcept { buffer_->needed_ = bytes; }

  /// For who fills it: room for the next read. Throws std::bad_alloc.
  std::span<std::byte> prepare();
  void filled(std::size_t bytes) noexcept { buffer_->filled(bytes); }
  /// Nothing more can be parsed now: moves what is left into as small a buffer as holds it.
  void settle() noexcept;
  void clear() noexcept;

  /// Adds a copy of `bytes`: for tests, and for protocols inside others.
  void append(std::span<const std::byte> bytes);

 private:
  void move_to(std::size_t capacity);
  void take_back() noexcept;

  bool holds_nothing() const noexcept { return buffer_ == &buffer_->pool_.nothing_; }

  Buffer* buffer_;  // the pool's nothing_, unless something is there
};

}  // namespace snowfox
