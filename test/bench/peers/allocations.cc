#include "allocations.h"

#include <atomic>
#include <cerrno>
#include <cstddef>

namespace {

std::atomic<std::uint64_t> count{0};

void add_one() noexcept { count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }

}  // namespace

namespace snowfox::peers {

std::uint64_t allocations() noexcept { return count.load(std::memory_order_relaxed); }

}  // namespace snowfox::peers

// glibc's own, under the names by which a program that replaces malloc() still reaches them.
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* block, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void* malloc(std::size_t bytes) {
  add_one();
  return __libc_malloc(bytes);
}
void* calloc(std::size_t items, std::size_t bytes) {
  add_one();
  return __libc_calloc(items, bytes);
}
void* realloc(void* block, std::size_t bytes) {
  add_one();
  return __libc_realloc(block, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
  add_one();
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** block, std::size_t alignment, std::size_t bytes) {
  add_one();
  *block = __libc_memalign(alignment, bytes);
  return *block == nullptr ? ENOMEM : 0;
}
}
