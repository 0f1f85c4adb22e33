#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <string>
#include <system_error>
#include <typeinfo>
#include <utility>

#include <snowfox/core/clock.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/core/error.h>
#include <snowfox/core/explanation.h>
#include <snowfox/core/id_map.h>
#include <snowfox/core/lifecycle.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>
#include <snowfox/promises/promise.h>

namespace snowfox {

/// Waits for ever: to be asked for.
inline constexpr Duration kNoDeadline = Duration::max();

struct PromiseKeeperOptions {
  /// For promises that are given no deadline of their own.
  Duration default_deadline = std::chrono::seconds(30);
  /// More than so many are not kept at a time.
  std::size_t max_kept = 1'000'000;
};

/// What a keeper counts over its life: what was kept was fulfilled, rejected, timed out or dropped, or is kept still.
struct PromiseKeeperCounters {
  std::uint64_t kept = 0;
  std::uint64_t fulfilled = 0;
  std::uint64_t rejected = 0;
  std::uint64_t timed_out = 0;
  std::uint64_t dropped = 0;  ///< by their consumers
  std::uint64_t orphans = 0;  ///< answers that nobody waited for, or waited for any more
};

/// One that is kept, for status pages.
struct KeptPromise {
  CorrelationId id;
  std::string type;    ///< of the value that it waits for
  TimePoint since;     ///< to within the coarse clock's resolution of a few milliseconds
  TimePoint deadline;  ///< kNever if it has none
};

/// Keeps promises by correlation id until the event that brings the answer settles them, or their deadline has come.
/// All takes constant time, however many are kept. A promise whose consumer drops it is forgotten at once.
///
/// When the loop ends, and when the keeper is destroyed, all that is kept is rejected with Errc::ShuttingDown.
class PromiseKeeper {
 public:
  /// `loop` must outlive the keeper.
  explicit PromiseKeeper(LoopManager& loop, PromiseKeeperOptions options = {});
  ~PromiseKeeper();
  PromiseKeeper(const PromiseKeeper&) = delete;
  PromiseKeeper& operator=(const PromiseKeeper&) = delete;

  /// A promise of a T (or void) that fulfill() or reject() with this id settles. When `deadline` has gone by before, it
  /// is rejected with Errc::DeadlineExceeded; kNoDeadline: never. Deadlines from one second on are counted by the
  /// coarse clock and so may come some milliseconds late. Throws std::system_error that names the id: Errc::DuplicateId
  /// if one is kept under it, Errc::LimitReached if max_kept are, std::errc::invalid_argument if the id is empty.
  template <typename T>
  Promise<T> keep(const CorrelationId& id, Duration deadline) {
    kept_.prefetch(id);
    Promise<T> promise(new ValueState<T>(&loop_, id));
    add(*promise.state(), typeid(T), deadline);
    return promise;
  }
  template <typename T>
  Promise<T> keep(const CorrelationId& id) {
    return keep<T>(id, options_.default_deadline);
  }

  /// Gives the promise kept under `id` its value. False if none is: the answer came late, or to no question. It is
  /// counted as an orphan.
  /// Throws std::system_error (Errc::TypeMismatch) that names both types and the id if the promise is one of another
  /// type than T; it is kept on.
  template <typename T>
  bool fulfill(const CorrelationId& id, T value) {
    Kept* kept = expect(id, typeid(T));
    if (kept == nullptr) return false;
    static_cast<ValueState<T>&>(kept->state()).emplace(std::move(value));
    settle(*kept, counters_.fulfilled, StepKind::Fulfilled);
    return true;
  }
  template <typename T = void>
  requires std::is_void_v<T>
  bool fulfill(const CorrelationId& id) {
    Kept* kept = expect(id, typeid(void));
    if (kept == nullptr) return false;
    static_cast<ValueState<void>&>(kept->state()).emplace();
    settle(*kept, counters_.fulfilled, StepKind::Fulfilled);
    return true;
  }
  /// Ends it with an error. False as in fulfill().
  bool reject(const CorrelationId& id, std::exception_ptr error);
  bool reject(const CorrelationId& id, std::error_code error);
  /// Ends all with an error that names `error` and the id of each.
  void reject_all(std::error_code error = Errc::ShuttingDown) noexcept;

  bool contains(const CorrelationId& id) const noexcept { return kept_.find(id) != nullptr; }
  /// So many are kept now.
  std::size_t size() const noexcept { return kept_.size(); }
  const PromiseKeeperCounters& counters() const noexcept { return counters_; }
  const PromiseKeeperOptions& options() const noexcept { return options_; }
  LoopManager& loop() const noexcept { return loop_; }

  /// Calls `function` with each that is kept, in no particular order.
  void for_each(const std::function<void(const KeptPromise&)>& function) const;

 private:
  /// One that is kept: tells the keeper when its time has come or its consumer is gone.
  class Kept final : public PromiseProducer, public Timer {
   public:
    Kept(PromiseKeeper& keeper, PromiseState& state, const std::type_info& type, TimePoint since) noexcept;
    PromiseState& state() const noexcept { return *state_; }
    const std::type_info& type() const noexcept { return type_; }
    TimePoint since() const noexcept { return since_; }

   private:
    void expire() noexcept override;
    void on_abandoned(const CorrelationId& id) noexcept override;

    PromiseKeeper& keeper_;
    const std::type_info& type_;
    TimePoint since_;
  };

  void add(PromiseState& state, const std::type_info& type, Duration deadline);
  Kept* expect(const CorrelationId& id, const std::type_info& type);
  void settle(Kept& kept, std::uint64_t& counter, StepKind kind) noexcept;
  void time_out(Kept& kept) noexcept;
  /// What comes of a promise, for whoever follows it.
  void tell(const CorrelationId& id, StepKind kind, const std::type_info* type = nullptr) noexcept;

  LoopManager& loop_;
  PromiseKeeperOptions options_;
  Duration coarse_lag_;
  PromiseKeeperCounters counters_;
  IdMap<Kept> kept_;
  Hook<LoopManager&, int>::Token on_exit_;
  Hook<Audit&>::Token on_audit_;
  Hook<Explanation&>::Token on_explain_;
};

}  // namespace snowfox
