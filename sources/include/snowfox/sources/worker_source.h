#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <snowfox/core/event.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/poller.h>
#include <snowfox/sources/result.h>

namespace snowfox {

/// Work for other threads: what blocks or takes long is done on the poller's thread pool, and its result comes back as
/// an event.
///
///     worker.submit([path] { return read_file(path); }, [&](Result<std::string> text) { show(text.value()); });
///
/// The pool is shared by all loops of the process and has four threads unless UV_THREADPOOL_SIZE says otherwise; work
/// begins in the order it was submitted, and its results come in the order it ends.
///
/// Destroying the source never waits: work that has not begun is not begun, work under way goes on to its end, and the
/// results are dropped. Only the loop itself waits for it when it is destroyed.
class WorkerSource final : public EventSource {
 public:
  static constexpr std::size_t kDefaultLimit = 1024;

  /// `limit` is how much work may be outstanding: submitted, and its result not yet handled.
  explicit WorkerSource(LoopManager& loop, std::size_t limit = kDefaultLimit);
  ~WorkerSource() override;

  /// Calls `work()` on another thread, then `done(Result<T>)` on the loop, where T is what `work` returns. What `work`
  /// throws is in the result. Its event belongs to the chain of `id`.
  ///
  /// Both are destroyed on the loop's thread; if the source goes first, `done` goes with it, but `work`, being perhaps
  /// under way, later: it must not refer to what may be gone by then.
  ///
  /// False if the limit is reached. Throws std::system_error if the work cannot be handed to another thread.
  template <typename W, typename D>
  bool submit(W work, D done, const CorrelationId& id = {});

  std::size_t outstanding() const noexcept { return outstanding_; }
  bool full() const noexcept { return outstanding_ >= limit_; }

  EventRef parse() override;
  std::string name() const override;

 private:
  /// One piece of work, and the event that brings its result. It owns itself while another thread may use it.
  class Job : public Event, public Work, public ListNode<Job> {
   public:
    explicit Job(const CorrelationId& id) : Event(id) {}
    void run() noexcept final {
      if (!abandoned_.load(std::memory_order_relaxed)) work();
    }
    void done() noexcept final;
    std::string_view name() const noexcept final { return "WorkFinished"; }

   private:
    friend class WorkerSource;
    virtual void work() noexcept = 0;
    /// Nobody waits for the result any more.
    virtual void forget() noexcept = 0;

    WorkerSource* source_ = nullptr;  // null once abandoned; for the loop's thread only
    std::atomic<bool> abandoned_{false};
  };

  template <typename W, typename D>
  class JobOf;

  void start(std::unique_ptr<Job> job);
  void abandon_all() noexcept;
  void on_removed() noexcept override { abandon_all(); }

  const std::size_t limit_;
  std::size_t outstanding_ = 0;
  IntrusiveList<Job, Job> begun_;     // owned by themselves
  IntrusiveList<Job, Job> finished_;  // owned by this list
};

template <typename W, typename D>
class WorkerSource::JobOf final : public Job {
 public:
  using T = std::invoke_result_t<W&>;
  JobOf(W work, D done, const CorrelationId& id) : Job(id), work_(std::move(work)), done_(std::move(done)) {}

  void handle() override { (*done_)(std::move(*result_)); }

 private:
  void work() noexcept override {
    try {
      if constexpr (std::is_void_v<T>) {
        work_();
        result_.emplace();
      } else {
        result_.emplace(work_());
      }
    } catch (...) {
      result_.emplace(std::current_exception());
    }
  }
  void forget() noexcept override { done_.reset(); }

  W work_;
  std::optional<D> done_;
  std::optional<Result<T>> result_;
};

template <typename W, typename D>
bool WorkerSource::submit(W work, D done, const CorrelationId& id) {
  static_assert(std::is_invocable_v<D&, Result<std::invoke_result_t<W&>>>,
                "done must take a Result of what work returns");
  if (full()) return false;
  start(std::make_unique<JobOf<W, D>>(std::move(work), std::move(done), id));
  return true;
}

}  // namespace snowfox
