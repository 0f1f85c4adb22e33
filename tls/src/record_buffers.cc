#include "record_buffers.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace snowfox {
namespace {

constexpr std::size_t kGatheredBuffers = 16;

}  // namespace

void RecordBuffers::append(std::span<const std::byte> bytes) {
  const std::size_t room = last_ == nullptr ? 0 : last_->free_space().size();
  const std::size_t first = std::min(room, bytes.size());
  const std::span<const std::byte> rest = bytes.subspan(first);
  Buffer* more = nullptr;
  if (!rest.empty()) {
    // A short answer is one short record; who sends more will go on to do so.
    const bool is_short = last_ == nullptr && rest.size() <= BufferPool::kSmall - sizeof(Buffer);
    const std::size_t block = is_short ? BufferPool::kSmall : BufferPool::kLarge;
    more = pool_.lend(std::max(rest.size(), block - sizeof(Buffer)));
    std::memcpy(more->free_space().data(), rest.data(), rest.size());
    more->filled(rest.size());
    more->next = nullptr;
  }
  if (first != 0) {
    std::memcpy(last_->free_space().data(), bytes.data(), first);
    last_->filled(first);
  }
  if (more != nullptr) {
    (last_ == nullptr ? first_ : last_->next) = more;
    last_ = more;
  }
  bytes_ += bytes.size();
}

void RecordBuffers::drop_first() noexcept {
  Buffer* const dropped = first_;
  bytes_ -= dropped->size();
  first_ = dropped->next;
  if (first_ == nullptr) last_ = nullptr;
  pool_.give_back(dropped);
}

void RecordBuffers::clear() noexcept {
  while (first_ != nullptr) drop_first();
}

int RecordBuffers::send(Io& io, int fd) noexcept {
  while (bytes_ != 0) {
    std::array<iovec, kGatheredBuffers> pieces;
    std::size_t count = 0;
    std::size_t asked = 0;
    for (Buffer* buffer = first_; buffer != nullptr && count < pieces.size(); buffer = buffer->next) {
      pieces[count++] = {const_cast<std::byte*>(buffer->data().data()), buffer->size()};
      asked += buffer->size();
    }
    const ssize_t sent = io.send(fd, std::span<const iovec>(pieces.data(), count));
    if (sent < 0) return static_cast<int>(sent);
    for (auto left = static_cast<std::size_t>(sent); left != 0 && first_ != nullptr;) {
      const std::size_t part = std::min(left, first_->size());
      first_->consumed(part);
      bytes_ -= part;
      left -= part;
      if (first_->size() == 0) drop_first();
    }
    if (static_cast<std::size_t>(sent) < asked) return -EAGAIN;
  }
  return 0;
}

}  // namespace snowfox
