#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <variant>

#include <snowfox/core/correlation_id.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/pool.h>

namespace snowfox {

class PromiseState;

/// Who will settle a promise. Each knows the other until the promise is settled or one of the two goes.
class PromiseProducer {
 public:
  PromiseProducer(const PromiseProducer&) = delete;
  PromiseProducer& operator=(const PromiseProducer&) = delete;

 protected:
  PromiseProducer() = default;
  ~PromiseProducer() = default;

  /// What it is to settle; null if nobody waits for it any more.
  PromiseState* state_ = nullptr;

 private:
  friend class PromiseState;
  /// The promise was dropped unsettled; state_ is null already. It may destroy this.
  virtual void on_abandoned(const CorrelationId& id) noexcept = 0;
};

/// What a promise is inside: its outcome and whom it joins. A program uses Promise and Resolver; this is for what makes
/// promises of new kinds.
///
/// Ownership runs one way, from the consumer to the producer: a Promise owns its state, and a state owns the one that
/// it waits for (upstream). The way back are plain pointers, which whoever goes first clears. A detached state owns
/// itself.
class PromiseState : public Deferred, public Pooled {
 public:
  PromiseState(const PromiseState&) = delete;
  PromiseState& operator=(const PromiseState&) = delete;

  bool settled() const noexcept { return outcome_ != Outcome::Pending; }
  bool rejected() const noexcept { return outcome_ == Outcome::Rejected; }
  const std::exception_ptr& error() const noexcept { return error_; }
  /// Null for a Task that has not waited for anything yet.
  LoopManager* loop() const noexcept { return loop_; }
  const CorrelationId& id() const noexcept { return id_; }
  void set_id(const CorrelationId& id) noexcept { id_ = id; }
  void set_loop(LoopManager& loop) noexcept {
    if (loop_ == nullptr) loop_ = &loop;
  }

  // --- for its consumer ---

  /// `consumer` is deferred when this is settled, or now if it is. A state has one consumer, once. `loop` is taken
  /// where none is known.
  void connect(Deferred& consumer, LoopManager& loop) noexcept {
    assert(downstream_ == nullptr && !detached_);
    downstream_ = &consumer;
    set_loop(loop);
    if (settled()) defer_downstream();
  }
  /// The consumer gives `state` up: destroys it and all that it waits for, first what was begun first, without
  /// recursion however long the chain is. One that is just running goes when it has run. Null is allowed.
  static void release(PromiseState* state) noexcept;
  /// From now on the state owns itself, until it is settled or the loop destroyed. A rejection is reported as nobody's.
  void detach(LoopManager& loop) noexcept;

  // --- for its producer ---

  void set_producer(PromiseProducer* producer) noexcept { producer_ = producer; }
  void store_error(std::exception_ptr error) noexcept {
    assert(error != nullptr);
    if (settled()) return settled_twice();
    error_ = std::move(error);
    outcome_ = Outcome::Rejected;
  }
  /// Says that the outcome has been stored. May destroy the state.
  void notify() noexcept {
    assert(settled());
    if (downstream_ != nullptr) {
      defer_downstream();
    } else if (detached_) {
      finish_detached();
    }
  }
  void reject(std::exception_ptr error) noexcept {
    store_error(std::move(error));
    notify();
  }

  // --- for one that waits for another ---

  /// Takes over `upstream`; this is run when that is settled.
  void wait_for(PromiseState& upstream) noexcept;
  PromiseState* take_upstream() noexcept { return std::exchange(upstream_, nullptr); }

 protected:
  explicit PromiseState(LoopManager* loop, const CorrelationId& id) noexcept : loop_(loop), id_(id) {}
  ~PromiseState() override;

  /// A bug in whoever settles: what came first stays, and LoopManager::audit() tells.
  void settled_twice() noexcept {
    if (loop_ != nullptr) ++loop_->counters().settled_twice;
  }
  void stored_value() noexcept { outcome_ = Outcome::Resolved; }
  void forget_outcome() noexcept { outcome_ = Outcome::Pending; }

  PromiseState* upstream() const noexcept { return upstream_; }
  void drop_upstream() noexcept { release(take_upstream()); }

  /// Around all that runs code of the program's: that may drop the promise of this very state, which is then destroyed
  /// by end(). If the outcome has been stored by then, end() says so.
  void begin() noexcept { running_ = true; }
  void end() noexcept;
  /// The code has thrown. Rejects; CleanExit and AbortError moreover end the loop, whoever else may look at them.
  void fail(const std::exception_ptr& error) noexcept;

  /// From now on the outcome is that of `source`, which this takes over. If `dispensable`, `source` does not need what
  /// this holds: where another follows this one, it may as well follow `source`, and this goes. So a chain that goes on
  /// by ever new promises does not grow.
  void follow(PromiseState& source, bool dispensable) noexcept;
  bool following() const noexcept { return following_; }

 private:
  enum class Outcome : std::uint8_t { Pending, Resolved, Rejected };

  /// A coroutine's state lives in its frame, and goes with it.
  virtual void destroy() noexcept { delete this; }
  void on_loop_gone() noexcept final;
  void defer_downstream() noexcept {
    downstream_->unlink();  // it is parked if it is detached
    loop_->defer(*downstream_);
  }
  void finish_detached() noexcept;
  void step_aside() noexcept;

  LoopManager* loop_;
  PromiseState* upstream_ = nullptr;  // owned
  Deferred* downstream_ = nullptr;    // our owner, unless that is a Promise
  PromiseProducer* producer_ = nullptr;
  std::exception_ptr error_;
  Outcome outcome_ = Outcome::Pending;
  bool running_ = false;
  bool abandoned_ = false;  // released while running
  bool detached_ = false;
  bool following_ = false;    // the outcome will be that of upstream_
  bool followed_ = false;     // downstream_ is following
  bool dispensable_ = false;  // upstream_ does not need what this holds
  CorrelationId id_;
};

/// The state of a promise of a T, which may be void.
template <typename T>
class ValueState : public PromiseState {
 public:
  using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
  static_assert(std::is_object_v<Value> && std::is_move_constructible_v<Value>,
                "a promise holds a value that can be moved; for a reference use a pointer");
  static_assert(alignof(Value) <= alignof(std::max_align_t));

  explicit ValueState(LoopManager* loop, const CorrelationId& id = {}) noexcept : PromiseState(loop, id) {}
  ~ValueState() override { forget_value(); }

  /// Stores the value; to be followed by notify(). If making the value throws, nothing has happened.
  template <typename... Arguments>
  void emplace(Arguments&&... arguments) {
    if (settled()) return settled_twice();
    std::construct_at(&value_, std::forward<Arguments>(arguments)...);
    stored_value();
  }
  Value& value() noexcept {
    assert(settled() && !rejected());
    return value_;
  }

 protected:
  /// Takes over what `source` ended with. Throws what moving a value throws.
  void take_outcome(ValueState& source) {
    if (source.rejected()) {
      store_error(source.error());
    } else {
      emplace(std::move(source.value()));
    }
  }
  void forget_value() noexcept {
    if (settled() && !rejected()) std::destroy_at(&value_);
    forget_outcome();
  }

 private:
  /// One that is settled from outside waits for nothing.
  void run() noexcept override {}

  union {
    Value value_;
  };
};

/// What becomes of an error that nobody looks at: CleanExit and AbortError end the loop; any other is logged and
/// counted in LoopCounters::unhandled_rejections.
void report_unhandled(LoopManager& loop, const std::exception_ptr& error, const CorrelationId& id) noexcept;

}  // namespace snowfox
