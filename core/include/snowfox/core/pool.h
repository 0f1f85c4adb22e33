#pragma once

#include <cstddef>

namespace snowfox {

/// Small blocks that are made and freed all the time: events, promises, coroutine frames. A freed block of up to 1 KiB
/// waits on its thread's list for the next of its size, at most 1,024 of each size and 256 KiB; the rest goes back to
/// the heap. May be called from any thread, also to free what another one allocated.
/// Under the address sanitizer every block comes from the heap, so that it sees each end of life.
void* pool_allocate(std::size_t bytes);
void pool_free(void* block, std::size_t bytes) noexcept;
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
