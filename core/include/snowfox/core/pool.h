#pragma once

#include <array>
#include <cstddef>
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

/// What pool_allocate() and pool_free() find their blocks by, here so that they cost some instructions and no call.
///
/// It is a cache of free memory, not state: nobody can tell by it what happened before. It is the thread's, so that no
/// lock is needed.
struct PoolShelf {
#ifdef SNOWFOX_PLAIN_HEAP
  static constexpr std::size_t kLargest = 0;
#else
  static constexpr std::size_t kLargest = 1024;
#endif
  static constexpr std::size_t kStep = 32;
  static constexpr std::size_t kShelves = 1024 / kStep;

  struct Block {
    Block* next;
  };
  Block* first;
  std::uint32_t room;  // it takes so many blocks more; none before the thread's first block, nor after its last

  static constexpr bool fits(std::size_t bytes) { return bytes - 1 < kLargest; }  // nor does zero
  static constexpr std::size_t index_of(std::size_t bytes) { return (bytes - 1) / kStep; }
};
extern constinit thread_local std::array<PoolShelf, PoolShelf::kShelves> pool_shelves;
/// For what is not on a shelf, or does not go there.
void* pool_allocate_anew(std::size_t bytes);
void pool_free_elsewhere(void* block, std::size_t bytes) noexcept;

/// Small blocks that are made and freed all the time: events, promises, coroutine frames. A freed block of up to 1 KiB
/// waits on its thread's list for the next of its size, at most 1,024 of each size and 256 KiB; the rest goes back to
/// the heap. May be called from any thread, also to free what another one allocated.
/// Under the address sanitizer every block comes from the heap, so that it sees each end of life.
inline void* pool_allocate(std::size_t bytes) {
  if (!PoolShelf::fits(bytes)) return pool_allocate_anew(bytes);
  PoolShelf& shelf = pool_shelves[PoolShelf::index_of(bytes)];
  PoolShelf::Block* block = shelf.first;
  if (block == nullptr) return pool_allocate_anew(bytes);
  shelf.first = block->next;
  __builtin_prefetch(shelf.first, 1);  // while this one is filled
  ++shelf.room;
  return block;
}
inline void pool_free(void* memory, std::size_t bytes) noexcept {
  if (memory == nullptr || !PoolShelf::fits(bytes)) return pool_free_elsewhere(memory, bytes);
  PoolShelf& shelf = pool_shelves[PoolShelf::index_of(bytes)];
  if (shelf.room == 0) return pool_free_elsewhere(memory, bytes);
  auto* block = static_cast<PoolShelf::Block*>(memory);
  block->next = shelf.first;
  shelf.first = block;
  --shelf.room;
}
/// Gives what waits on this thread's lists back to the heap.
void pool_trim() noexcept;

/// Base of classes whose objects come from the pool. A derived class needs a virtual destructor if it is deleted
/// through a base, for the size to be known.
class Pooled {
 public:
  static void* operator new(std::size_t bytes) { return pool_allocate(bytes); }
  static void operator delete(void* block, std::size_t bytes) noexcept { pool_free(block, bytes); }
  static void* operator new(std::size_t, void* place) noexcept { return place; }
  static void operator delete(void*, void*) noexcept {}
};

}  // namespace snowfox
