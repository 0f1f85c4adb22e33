#include <snowfox/core/buffer.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include <snowfox/core/fault_point.h>

namespace snowfox {
namespace {

constexpr std::array<std::size_t, 3> kSizes{BufferPool::kSmall, BufferPool::kMedium, BufferPool::kLarge};
constexpr std::size_t kNoShelf = kSizes.size();

/// The shelf for blocks of `bytes` in all, header included; kNoShelf if they are too large for any.
std::size_t shelf_of(std::size_t bytes) noexcept {
  std::size_t shelf = 0;
  while (shelf < kNoShelf && kSizes[shelf] < bytes) ++shelf;
  return shelf;
}

}  // namespace

BufferPool::~BufferPool() {
  for (Shelf& shelf : shelves_) {
    while (shelf.first != nullptr) {
      Buffer* buffer = shelf.first;
      shelf.first = buffer->next;
      ::operator delete(buffer);
    }
  }
}

Buffer* BufferPool::lend(std::size_t bytes) {
  if (SNOWFOX_FAULT(BufferLend)) throw std::bad_alloc();
  const std::size_t wanted = bytes + sizeof(Buffer);
  const std::size_t index = shelf_of(wanted);
  const std::size_t block = index == kNoShelf ? wanted : kSizes[index];
  void* memory = nullptr;
  if (index != kNoShelf && shelves_[index].first != nullptr) {
    Shelf& shelf = shelves_[index];
    memory = shelf.first;
    shelf.first = shelf.first->next;
    shelf.bytes -= block;
    kept_bytes_ -= block;
  } else {
    memory = ::operator new(block);
  }
  lent_bytes_ += block;
  return new (memory) Buffer(*this, block - sizeof(Buffer));
}

void BufferPool::give_back(Buffer* buffer) noexcept {
  const std::size_t block = buffer->capacity() + sizeof(Buffer);
  lent_bytes_ -= block;
  const std::size_t index = shelf_of(block);
  if (index == kNoShelf || kSizes[index] != block || shelves_[index].bytes + block > kKeptBytes) {
    ::operator delete(buffer);
    return;
  }
  Shelf& shelf = shelves_[index];
  buffer->next = shelf.first;
  shelf.first = buffer;
  shelf.bytes += block;
  kept_bytes_ += block;
}

void BorrowedBytes::copy() noexcept {
  own_.reset(new (std::nothrow) std::byte[bytes_.size()]);
  lost_ = own_ == nullptr;
  if (!lost_) std::copy(bytes_.begin(), bytes_.end(), own_.get());
  bytes_ = {own_.get(), lost_ ? 0 : bytes_.size()};
}

void ReceiveBuffer::take_back() noexcept {
  while (!buffer_->borrowers_.empty()) buffer_->borrowers_.pop_front().copy();
}

void ReceiveBuffer::clear() noexcept {
  if (holds_nothing()) return;
  take_back();
  BufferPool& pool = buffer_->pool_;
  pool.give_back(std::exchange(buffer_, &pool.nothing_));
}

void ReceiveBuffer::move_to(std::size_t capacity) {
  Buffer* larger = buffer_->pool_.lend(capacity);
  const auto left = data();
  if (!left.empty()) std::memcpy(larger->free_space().data(), left.data(), left.size());
  larger->filled(left.size());
  if (!holds_nothing()) larger->needed_ = buffer_->needed_;
  clear();
  buffer_ = larger;
}

std::span<std::byte> ReceiveBuffer::prepare() {
  constexpr std::size_t kRoom = BufferPool::kLarge - sizeof(Buffer);
  constexpr std::size_t kLeastRoom = kRoom / 4;
  const std::size_t have = data().size();
  const std::size_t needed = buffer_->needed_;
  const std::size_t missing = needed > have ? needed - have : kLeastRoom;
  if (holds_nothing() || buffer_->free_space().size() < std::min(missing, kLeastRoom)) {
    // At most twice what is there already, so that a peer's announcement costs memory only as its bytes come in.
    move_to(std::max(kRoom, std::min(std::max(needed, have + kLeastRoom), 2 * have)));
  }
  return buffer_->free_space();
}

void ReceiveBuffer::settle() noexcept {
  if (holds_nothing()) return;
  const std::size_t have = data().size();
  if (have == 0) {
    clear();
    return;
  }
  const std::size_t held = buffer_->capacity() + sizeof(Buffer);
  const std::size_t enough = have + sizeof(Buffer);
  const bool wasteful = (enough <= BufferPool::kMedium && held > BufferPool::kMedium) ||
                        (enough <= BufferPool::kLarge && held > 2 * BufferPool::kLarge);
  if (!wasteful) return;
  try {
    move_to(have);
  } catch (const std::bad_alloc&) {
    // Then it stays in the larger one.
  }
}

void ReceiveBuffer::append(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto room = prepare();
    const std::size_t part = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), part);
    filled(part);
    bytes = bytes.subspan(part);
  }
}

}  // namespace snowfox
