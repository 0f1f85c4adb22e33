#pragma once

#include <exception>
#include <functional>
#include <system_error>

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

/// The code of the std::system_error in `error`; none if it is another, or null.
inline std::error_code thrown_code(const std::exception_ptr& error) {
  if (error == nullptr) return {};
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& failure) {
    return failure.code();
  } catch (...) {
    return {};
  }
}

}  // namespace snowfox
