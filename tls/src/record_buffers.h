#pragma once

#include <sys/types.h>

#include <cstddef>
#include <span>

#include <snowfox/core/buffer.h>
#include <snowfox/core/io.h>

namespace snowfox {

/// Ciphertext on its way out: lent buffers, which an idle connection has none of.
class RecordBuffers {
 public:
  explicit RecordBuffers(BufferPool& pool) noexcept : pool_(pool) {}
  ~RecordBuffers() { clear(); }
  RecordBuffers(const RecordBuffers&) = delete;
  RecordBuffers& operator=(const RecordBuffers&) = delete;

  std::size_t bytes() const noexcept { return bytes_; }
  bool empty() const noexcept { return bytes_ == 0; }
  /// All of them, or if it throws none. Throws std::bad_alloc.
  void append(std::span<const std::byte> bytes);
  /// Calls `take(std::span<const std::byte>)` with all pieces, and forgets them. If that throws, those of before are
  /// forgotten.
  template <typename Take>
  void take_all(Take&& take) {
    while (first_ != nullptr) {
      take(first_->data());
      drop_first();
    }
  }
  /// Sends what the kernel takes. 0 if that was all, else the negative errno: -EAGAIN if it took less.
  int send(Io& io, int fd) noexcept;
  void clear() noexcept;

 private:
  void drop_first() noexcept;

  BufferPool& pool_;
  Buffer* first_ = nullptr;
  Buffer* last_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace snowfox
