#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>

#include <snowfox/simulation/process.h>

// To be included in exactly one source file of a test program: it replaces the program's operator new, so that
// Process::fail_allocation() and Faults::allocation have an effect. What malloc() is called for directly, as C
// libraries do, does not fail.

namespace snowfox::simulation::detail {

inline void* allocate(std::size_t bytes, std::size_t alignment) {
  if (allocation_fails()) throw std::bad_alloc();
  if (bytes == 0) bytes = 1;
  // aligned_alloc() wants a multiple.
  void* memory = alignment <= __STDCPP_DEFAULT_NEW_ALIGNMENT__
                     ? std::malloc(bytes)
                     : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace snowfox::simulation::detail

// The forms for arrays, and those that do not throw, call these.
void* operator new(std::size_t bytes) { return snowfox::simulation::detail::allocate(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return snowfox::simulation::detail::allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
