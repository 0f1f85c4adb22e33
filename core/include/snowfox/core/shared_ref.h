#pragma once

#include <cstddef>
#include <utility>

namespace snowfox {

/// One of several owners of a T, all on the loop's thread: the last that lets go destroys it. As std::shared_ptr, but a
/// single pointer, and T itself keeps the count: it has add_owner(), and remove_owner(), which is true for the last.
template <typename T>
class SharedRef {
 public:
  SharedRef() = default;
  SharedRef(std::nullptr_t) noexcept {}
  /// Becomes an owner of `owned`, which may be null.
  explicit SharedRef(T* owned) noexcept : owned_(owned) {
    if (owned_ != nullptr) owned_->add_owner();
  }
  SharedRef(const SharedRef& other) noexcept : SharedRef(other.owned_) {}
  SharedRef(SharedRef&& other) noexcept : owned_(std::exchange(other.owned_, nullptr)) {}
  SharedRef& operator=(SharedRef other) noexcept {
    std::swap(owned_, other.owned_);
    return *this;
  }
  ~SharedRef() {
    if (owned_ != nullptr && owned_->remove_owner()) delete owned_;
  }

  void reset() noexcept { *this = SharedRef(); }
  T* get() const noexcept { return owned_; }
  T& operator*() const noexcept { return *owned_; }
  T* operator->() const noexcept { return owned_; }
  explicit operator bool() const noexcept { return owned_ != nullptr; }
  friend bool operator==(const SharedRef& a, const SharedRef& b) noexcept { return a.owned_ == b.owned_; }

 private:
  T* owned_ = nullptr;
};

}  // namespace snowfox
