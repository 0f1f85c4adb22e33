#pragma once

#include <memory>
#include <utility>
#include <vector>

namespace snowfox {

/// Things of any type that are owned together: each is destroyed before those that were there when it came.
class Belongings {
 public:
  Belongings() = default;
  ~Belongings() { clear(); }
  Belongings(const Belongings&) = delete;
  Belongings& operator=(const Belongings&) = delete;

  template <typename T>
  T& keep(std::unique_ptr<T> thing) {
    things_.emplace_back(thing.get(), [](void* kept) noexcept { delete static_cast<T*>(kept); });
    return *thing.release();
  }
  void clear() noexcept {
    while (!things_.empty()) things_.pop_back();
  }

 private:
  using Thing = std::unique_ptr<void, void (*)(void*) noexcept>;
  std::vector<Thing> things_;
};

}  // namespace snowfox
