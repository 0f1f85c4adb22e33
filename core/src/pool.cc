#include <snowfox/core/pool.h>

namespace snowfox {
namespace {

constexpr std::uint32_t kKeptBlocks = 1024;
constexpr std::size_t kKeptBytes = 256U << 10;

constexpr std::uint32_t most_kept(std::size_t shelf) {
  const std::size_t by_bytes = kKeptBytes / ((shelf + 1) * PoolShelf::kStep);
  return by_bytes < kKeptBlocks ? static_cast<std::uint32_t>(by_bytes) : kKeptBlocks;
}

/// Opens the thread's shelves, and closes them when the thread ends: what is freed after that, by its later
/// destructors, goes to the heap.
constinit thread_local bool closed = false;
struct Opening {
  Opening() noexcept {
    for (std::size_t i = 0; i < pool_shelves.size(); ++i) pool_shelves[i].room = most_kept(i);
  }
  ~Opening() {
    pool_trim();
    closed = true;
    for (PoolShelf& shelf : pool_shelves) shelf.room = 0;
  }
};

}  // namespace

constinit thread_local std::array<PoolShelf, PoolShelf::kShelves> pool_shelves{};

void* pool_allocate_anew(std::size_t bytes) {
  if (!PoolShelf::fits(bytes)) return ::operator new(bytes);
  const std::size_t index = PoolShelf::index_of(bytes);
  return ::operator new((index + 1) * PoolShelf::kStep);
}

void pool_free_elsewhere(void* memory, std::size_t bytes) noexcept {
  if (memory == nullptr) return;
  if (PoolShelf::fits(bytes) && !closed) {
    thread_local const Opening opening;
    static_cast<void>(opening);
    if (pool_shelves[PoolShelf::index_of(bytes)].room != 0) return pool_free(memory, bytes);
  }
  ::operator delete(memory);
}

void pool_trim() noexcept {
  for (PoolShelf& shelf : pool_shelves) {
    while (PoolShelf::Block* block = shelf.first) {
      shelf.first = block->next;
      ++shelf.room;
      ::operator delete(block);
    }
  }
}

}  // namespace snowfox
