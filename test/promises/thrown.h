#pragma once

#include <exception>
#include <functional>

#include <snowfox/core/error.h>

namespace snowfox {

/// What `call` throws; null if it does not.
inline std::exception_ptr thrown_by(const std::function<void()>& call) {
  try {
    call();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

}  // namespace snowfox
