#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise.h>

namespace snowfox {

/// The state of a promise that waits for several others.
template <typename Result, typename T>
class GroupState : public ValueState<Result> {
 public:
  GroupState(LoopManager& loop, std::vector<Promise<T>>& promises)
      : ValueState<Result>(&loop), members_(std::make_unique<Member[]>(promises.size())), size_(promises.size()) {
    for (std::size_t i = 0; i < size_; ++i) members_[i].join(*this, std::move(promises[i]));
  }

 protected:
  std::size_t size() const noexcept { return size_; }
  ValueState<T>& member(std::size_t i) const noexcept { return *members_[i].promise.state(); }
  /// All that has not been used is cancelled.
  void drop_members() noexcept {
    for (std::size_t i = 0; i < size_; ++i) {
      members_[i].unlink();  // it may be about to run
      members_[i].promise = Promise<T>();
    }
  }

 private:
  struct Member final : Deferred {
    GroupState* group = nullptr;
    Promise<T> promise;

    void join(GroupState& joined, Promise<T>&& given) noexcept {
      group = &joined;
      promise = std::move(given);
      promise.state()->connect(*this, *joined.loop());
    }
    void run() noexcept override { group->member_settled(*promise.state()); }
  };

  void member_settled(ValueState<T>& member) noexcept {
    // What dropping the others destroys may be all that held the promise of this one.
    this->begin();
    try {
      on_settled(member);
    } catch (...) {
      this->fail(std::current_exception());
    }
    if (this->settled()) drop_members();
    this->end();
  }
  /// Stores the group's outcome once it is known.
  virtual void on_settled(ValueState<T>& member) = 0;

  std::unique_ptr<Member[]> members_;
  std::size_t size_;
};

template <typename T>
using AllOf = std::conditional_t<std::is_void_v<T>, void, std::vector<typename ValueState<T>::Value>>;

template <typename T>
class AllState final : public GroupState<AllOf<T>, T> {
 public:
  AllState(LoopManager& loop, std::vector<Promise<T>>& promises)
      : GroupState<AllOf<T>, T>(loop, promises), missing_(promises.size()) {}

 private:
  void on_settled(ValueState<T>& member) override {
    if (member.rejected()) {
      this->store_error(member.error());
    } else if (--missing_ == 0) {
      collect();
    }
  }
  void collect() {
    if constexpr (std::is_void_v<T>) {
      this->emplace();
    } else {
      std::vector<T> values;
      values.reserve(this->size());
      for (std::size_t i = 0; i < this->size(); ++i) values.push_back(std::move(this->member(i).value()));
      this->emplace(std::move(values));
    }
  }

  std::size_t missing_;
};

template <typename T>
class AnyState final : public GroupState<T, T> {
 public:
  AnyState(LoopManager& loop, std::vector<Promise<T>>& promises)
      : GroupState<T, T>(loop, promises), hopes_(promises.size()) {}

 private:
  void on_settled(ValueState<T>& member) override {
    if (!member.rejected() || --hopes_ == 0) this->take_outcome(member);
  }

  std::size_t hopes_;
};

template <typename T>
class RaceState final : public GroupState<T, T> {
 public:
  using GroupState<T, T>::GroupState;

 private:
  void on_settled(ValueState<T>& member) override { this->take_outcome(member); }
};

/// The values of all promises, in their order; of promises of void, nothing but that all are done. The first rejection
/// rejects it, and the promises still waited for are dropped.
template <typename T>
Promise<AllOf<T>> all(LoopManager& loop, std::vector<Promise<T>> promises) {
  if (promises.empty()) {
    Promise<AllOf<T>> none(new ValueState<AllOf<T>>(&loop));
    none.state()->emplace();
    return none;
  }
  return Promise<AllOf<T>>(new AllState<T>(loop, promises));
}

/// The first value; the last error if there is none. The promises still waited for are dropped.
/// Throws std::invalid_argument if there are none.
template <typename T>
Promise<T> any(LoopManager& loop, std::vector<Promise<T>> promises) {
  if (promises.empty()) throw std::invalid_argument("any() of no promises");
  return Promise<T>(new AnyState<T>(loop, promises));
}

/// As the first that is settled, in either way. The others are dropped.
/// Throws std::invalid_argument if there are none.
template <typename T>
Promise<T> race(LoopManager& loop, std::vector<Promise<T>> promises) {
  if (promises.empty()) throw std::invalid_argument("race() of no promises");
  return Promise<T>(new RaceState<T>(loop, promises));
}

}  // namespace snowfox
