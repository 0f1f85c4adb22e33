#pragma once

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <ranges>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <snowfox/core/correlation_id.h>
#include <snowfox/core/event.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>
#include <snowfox/promises/promise.h>
#include <snowfox/sqlite/sqlite_snapshot.h>

namespace snowfox {

class SqliteCallQueue;

/// Nothing in it has a destructor, so it may be made inside a co_await expression (see Task).
struct SqliteCallOptions {
  /// How long to wait for the result; zero: SqliteOptions::default_deadline; kNoDeadline: for ever.
  Duration deadline = Duration::zero();
  /// The chain that it belongs to.
  CorrelationId id = {};
  /// What the function holds besides itself and its arguments' text, for the limits.
  std::size_t bytes = 0;
};
static_assert(std::is_trivially_destructible_v<SqliteCallOptions>);

/// A function on its way to the database and back: it waits in a queue, runs on a thread of the poller's pool, and then
/// is the event that brings its own result. For SqliteDatabase alone.
class SqliteCall : public Event, public ListNode<SqliteCall>, public PromiseProducer, private Timer {
 public:
  ~SqliteCall() override;
  // In a list of calls, not of timers.
  using ListNode<SqliteCall>::linked;
  using ListNode<SqliteCall>::unlink;

  /// Settles the promise, if somebody waits for it still.
  void handle() final;
  std::string_view name() const noexcept final { return "SqliteResult"; }

 protected:
  SqliteCall(PromiseState& state, const SqliteCallOptions& options, std::size_t bytes) noexcept;

 private:
  friend class SqliteCallQueue;
  friend class GroupWriter;
  friend class SqliteReader;
  enum class Place : std::uint8_t { Waiting, UnderWay, Back };

  /// On the thread: computes the result, and keeps it.
  virtual void compute(SqliteSnapshot& snapshot) = 0;
  /// On the loop: stores the result in the promise's state.
  virtual void store(PromiseState& state) = 0;
  virtual const std::type_info& result_type() const noexcept = 0;

  /// On the thread: nobody waits any more for what has not begun.
  bool wanted() const noexcept { return wanted_.load(std::memory_order_relaxed); }
  void fail(std::exception_ptr error) noexcept { error_ = std::move(error); }
  bool failed() const noexcept { return error_ != nullptr; }

  void expire() noexcept override;
  void on_abandoned(const CorrelationId& id) noexcept override;

  std::exception_ptr error_;
  SqliteCallQueue* queue_ = nullptr;  // null before it is submitted, and when the database is gone
  Place place_ = Place::Waiting;
  bool began_ = false;
  std::atomic<bool> wanted_ = true;
  Duration deadline_;
  TimePoint since_{};
  std::size_t bytes_;
};

/// About as many bytes as `argument` has on the heap.
template <typename T>
std::size_t held_bytes(const T& argument) noexcept {
  if constexpr (std::ranges::contiguous_range<const T> && std::ranges::sized_range<const T>) {
    return std::ranges::size(argument) * sizeof(std::ranges::range_value_t<const T>);
  } else {
    return 0;
  }
}

/// `function(Access&, arguments...)` can be called, with what a call keeps of them.
template <typename Access, typename F, typename... Arguments>
concept SqliteFunction = std::is_invocable_v<std::add_lvalue_reference_t<std::decay_t<F>>, Access&,
                                             std::add_lvalue_reference_t<std::decay_t<Arguments>>...>;

/// Access is SqliteTransaction or SqliteSnapshot.
template <typename Access, typename F, typename... Arguments>
class SqliteCallOf final : public SqliteCall {
 public:
  using Result = std::decay_t<std::invoke_result_t<F&, Access&, Arguments&...>>;

  template <typename G, typename... A>
  explicit SqliteCallOf(ValueState<Result>& state, const SqliteCallOptions& options, G&& function, A&&... arguments)
      : SqliteCall(state, options,
                   sizeof(SqliteCallOf) + options.bytes + (std::size_t{0} + ... + held_bytes(arguments))),
        call_(std::forward<G>(function), std::forward<A>(arguments)...) {}

 private:
  static_assert(!Returned<Result>::kIsPromise, "promises belong to the loop's thread");

  void compute(SqliteSnapshot& snapshot) override {
    auto& access = static_cast<Access&>(snapshot);
    if constexpr (std::is_void_v<Result>) {
      invoke(access);
    } else {
      result_.emplace(invoke(access));
    }
  }
  void store(PromiseState& state) override {
    auto& typed = static_cast<ValueState<Result>&>(state);
    if constexpr (std::is_void_v<Result>) {
      typed.emplace();
    } else {
      typed.emplace(std::move(*result_));
    }
  }
  const std::type_info& result_type() const noexcept override { return typeid(Result); }
  // As they are, not moved: what a function takes by value ends with it, on the thread.
  decltype(auto) invoke(Access& access) {
    return std::apply(
        [&access](F& function, Arguments&... arguments) -> decltype(auto) {
          return std::invoke(function, access, arguments...);
        },
        call_);
  }

  std::tuple<F, Arguments...> call_;
  std::optional<typename ValueState<Result>::Value> result_;
};

}  // namespace snowfox
