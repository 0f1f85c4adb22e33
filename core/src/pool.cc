#include <snowfox/core/pool.h>

#include <array>
#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define SNOWFOX_PLAIN_HEAP 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SNOWFOX_PLAIN_HEAP 1
#endif
#endif

namespace snowfox {
namespace {

#ifdef SNOWFOX_PLAIN_HEAP
constexpr std::size_t kLargest = 0;
#else
constexpr std::size_t kLargest = 1024;
#endif
constexpr std::size_t kStep = 32;
constexpr std::size_t kSizes = 1024 / kStep;
constexpr std::uint32_t kKeptBlocks = 1024;
constexpr std::size_t kKeptBytes = 256U << 10;

struct Block {
  Block* next;
};

struct Shelf {
  Block* first = nullptr;
  std::uint32_t count = 0;
};

constexpr std::uint32_t most_kept(std::size_t size) {
  const std::size_t by_bytes = kKeptBytes / size;
  return by_bytes < kKeptBlocks ? static_cast<std::uint32_t>(by_bytes) : kKeptBlocks;
}

/// A cache of free memory, not state: nobody can tell by it what happened before. It is the thread's, so that no lock
/// is needed.
struct Shelves {
  std::array<Shelf, kSizes> all;
  bool closed = false;

  void clear() noexcept {
    for (Shelf& shelf : all) {
      while (shelf.first != nullptr) {
        Block* block = shelf.first;
        shelf.first = block->next;
        ::operator delete(block);
      }
      shelf.count = 0;
    }
  }
  ~Shelves() {
    closed = true;  // what is freed after this, by later destructors of the thread, goes to the heap
    clear();
  }
};

constinit thread_local Shelves shelves;

constexpr std::size_t shelf_of(std::size_t bytes) { return (bytes + kStep - 1) / kStep - 1; }

}  // namespace

void* pool_allocate(std::size_t bytes) {
  if (bytes == 0 || bytes > kLargest) return ::operator new(bytes);
  const std::size_t index = shelf_of(bytes);
  Shelf& shelf = shelves.all[index];
  if (Block* block = shelf.first) {
    shelf.first = block->next;
    --shelf.count;
    return block;
  }
  return ::operator new((index + 1) * kStep);
}

void pool_free(void* memory, std::size_t bytes) noexcept {
  if (memory == nullptr) return;
  if (bytes != 0 && bytes <= kLargest) {
    const std::size_t index = shelf_of(bytes);
    Shelf& shelf = shelves.all[index];
    if (shelf.count < most_kept((index + 1) * kStep) && !shelves.closed) {
      Block* block = static_cast<Block*>(memory);
      block->next = shelf.first;
      shelf.first = block;
      ++shelf.count;
      return;
    }
  }
  ::operator delete(memory);
}

void pool_trim() noexcept { shelves.clear(); }

}  // namespace snowfox
