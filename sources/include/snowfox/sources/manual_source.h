#pragma once

#include <cassert>
#include <cstddef>
#include <mutex>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include <snowfox/core/event_queue.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/fault_point.h>

namespace snowfox {

/// Events that the program posts itself: to the loop it runs on, or from another thread.
///
/// Events posted on the loop's own thread cost no system call and no lock and are handled in the order they came,
/// within the turn's budget. Those of another thread come in that thread's order. Until it is destroyed the loop waits
/// for posts, so run() does not end by itself.
class ManualSource final : public EventSource {
 public:
  static constexpr std::size_t kDefaultLimit = 1U << 20;

  /// Must be made on the thread that runs the loop. `limit` is how many events may wait.
  explicit ManualSource(LoopManager& loop, std::size_t limit = kDefaultLimit);

  /// Hands `event`, which must not be null, to the loop. False, and the event is destroyed, if `limit` events are
  /// waiting already. May be called from any thread as long as the source lives.
  bool post(EventRef event) {
    assert(event != nullptr);
    if (SNOWFOX_FAULT(ManualPost)) throw std::bad_alloc();
    if (this_thread() != thread_) return post_from_elsewhere(std::move(event));
    if (size() >= limit_) return false;
    own_.push(std::move(event));
    ready();
    return true;
  }
  /// The same with an event that calls `function`.
  template <typename F>
  requires std::is_invocable_v<F&>
  bool post(F&& function) { return post(make_event(std::forward<F>(function))); }

  /// How many events wait; about so many while other threads post. May be called from any thread.
  std::size_t size() const noexcept { return own_.size() + remote_.size(); }

  EventRef parse() override;
  void parse_all(EventSink& sink) override;
  std::string name() const override { return "manual"; }

 private:
  /// A place that each thread has of its own: what std::this_thread::get_id() tells, without a call.
  static const void* this_thread() noexcept { return &place_; }
  bool post_from_elsewhere(EventRef event);
  void take_remote();

  inline static constinit thread_local char place_ = 0;

  const void* const thread_;  // the loop's
  const std::size_t limit_;
  EventQueue own_;

  SourceBell bell_{*this};
  std::mutex mutex_;
  EventQueue remote_;  // guarded by mutex_
};

}  // namespace snowfox
