#pragma once

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <typeinfo>
#include <vector>

#include <snowfox/core/audit.h>
#include <snowfox/core/buffer.h>
#include <snowfox/core/clock.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/core/event.h>
#include <snowfox/core/event_drain.h>
#include <snowfox/core/event_source.h>
#include <snowfox/core/id.h>
#include <snowfox/core/io.h>
#include <snowfox/core/lifecycle.h>
#include <snowfox/core/log.h>
#include <snowfox/core/poller.h>
#include <snowfox/core/timer.h>

namespace snowfox {

/// A wait from here on is counted by the coarse clock, a quarter of the exact one's cost: milliseconds do not matter.
inline constexpr Duration kCoarseFrom = std::chrono::seconds(1);

struct LoopOptions {
  /// A ready source gives at most so many events before the next one has its turn.
  unsigned events_per_turn = 64;
  /// Nor longer than this, to within the coarse clock's resolution of a few milliseconds.
  Duration time_per_turn = std::chrono::milliseconds(5);
  /// A handler that takes longer is reported. kNever - as a duration, Duration::max() - for none.
  Duration slow_handler = std::chrono::milliseconds(50);
  /// After CleanExit, how long drains may take to become empty, and what they wrote to arrive.
  Duration flush_timeout = std::chrono::seconds(5);
  /// Before it sleeps, so long it looks again and again whether something has come: an answer then goes out sooner by
  /// what it takes to wake up, for a processor that is never idle while requests come. Not on a program's own
  /// uv_loop_t.
  Duration spin = Duration::zero();
  /// What the loop's correlation ids begin with; unset: random bits of the system's.
  std::optional<std::uint64_t> id_seed{};
  /// For drains that are given none of their own.
  Watermarks watermarks{};
};

/// What the loop counts over its life. All but the gauges only grow.
struct LoopCounters {
  std::uint64_t turns = 0;
  std::uint64_t polls = 0;
  std::uint64_t events = 0;
  std::uint64_t rescued = 0;  ///< handle() threw, rescue() did not
  std::uint64_t failed = 0;   ///< rescue() threw, too
  std::uint64_t expired = 0;  ///< not begun, the deadline had passed
  std::uint64_t slow = 0;
  std::uint64_t unhandled_rejections = 0;
  std::uint64_t settled_twice = 0;   ///< promises: always 0, or there is a bug
  std::uint64_t enqueued_bytes = 0;  ///< in all drains: flushed, dropped, or still pending
  std::uint64_t flushed_bytes = 0;
  std::uint64_t dropped_bytes = 0;  ///< enqueued on a drain that was closed, or lost with one
};

class Explanation;

/// Something to be done on the loop soon, after the event being handled now: how continuations of promises run.
class Deferred : public ListNode<Deferred> {
 public:
  virtual ~Deferred() = default;

 private:
  friend class LoopManager;
  /// It is in no list when called, and may delete itself.
  virtual void run() noexcept = 0;
  /// The loop is being destroyed, and this was deferred or parked: it will not be run. Who owns itself goes now.
  virtual void on_loop_gone() noexcept {}
};

/// Waits for all sources and drains at once and handles what they have, one event after another, on the thread that
/// calls it. It is the one place where the program waits.
///
/// A *turn* asks each ready source for events, at most its share each, handles them, and then flushes the drains that
/// were written to; the one on a connection that has nothing more to read at once. Sources and drains may be made,
/// added, removed and destroyed at any time, also from handlers; but one that its maker owns must not be destroyed
/// inside its own parse() or flush().
class LoopManager {
 public:
  /// Waits with a UvPoller of its own; reads and writes with Io::system(); logs to stderr.
  explicit LoopManager(LoopOptions options = {});
  /// `io` and `log` must outlive the loop.
  LoopManager(std::unique_ptr<Poller> poller, Io& io, Log& log, LoopOptions options = {});
  /// Destroys what it owns. Sources and drains that others own must be gone.
  ~LoopManager();
  LoopManager(const LoopManager&) = delete;
  LoopManager& operator=(const LoopManager&) = delete;

  // --- sources and drains ---

  /// Makes the loop the owner: destroyed by remove(), or with the loop.
  template <std::derived_from<EventSource> S>
  S& add(std::unique_ptr<S> source) {
    own(static_cast<EventSource&>(*source));
    return *source.release();
  }
  template <std::derived_from<EventDrain> D>
  D& add(std::unique_ptr<D> drain) {
    own(static_cast<EventDrain&>(*drain));
    return *drain.release();
  }
  /// Nothing is asked of it any more, from now on, and its id names nothing. One that the loop owns is destroyed at the
  /// end of the turn. An id that names nothing is ignored.
  void remove(SourceId id) noexcept;
  void remove(DrainId id) noexcept;

  /// What `id` names, or null if that is gone or no T.
  template <typename T>
  T* fetch(SourceId id) const noexcept {
    return cast<T>(source(id));
  }
  template <typename T>
  T* fetch(DrainId id) const noexcept {
    return cast<T>(drain(id));
  }
  EventSource* source(SourceId id) const noexcept { return sources_.find(static_cast<std::uint64_t>(id)); }
  EventDrain* drain(DrainId id) const noexcept { return drains_.find(static_cast<std::uint64_t>(id)); }
  /// Flushes `drain` if it was written to since it was flushed last, instead of at the end of the turn: for a source
  /// whose answers go there, when it has nothing more. What was written is then still in the processor's cache, and
  /// the next connection writes into the same buffer.
  void flush_now(EventDrain& drain) noexcept;
  /// Takes and forgets.
  EventDrain& null_drain() noexcept { return *null_drain_; }

  // --- running ---

  /// Handles events until CleanExit or AbortError is thrown, stop() is called, or there is no source and no timer left
  /// to wait for. Returns the exit code for main(): stop()'s, else 0, or 1 after an AbortError. Output that its readers
  /// do not take within LoopOptions::flush_timeout is logged; it is no reason to end with another code.
  int run();
  /// run() returns with `exit_code`, in order: drains flush within LoopOptions::flush_timeout. May be called from a
  /// handler.
  void stop(int exit_code = 0) noexcept;
  bool stopping() const noexcept { return stopping_; }

  /// Does what run() does for `time`, or until that would return: for a program with a loop of its own. Zero: handles
  /// what is ready now, and what comes of it, and waits for nothing.
  void run_for(Duration time);
  /// The next event, or null after `timeout` or when run() would return. For a program that wants to handle events
  /// itself; dispatch() does what run() does with one. Duration::max() waits for ever.
  EventRef wait(Duration timeout);
  void dispatch(EventRef event) noexcept;

  /// From now on the poller's own loop (see UvPoller on a uv_loop_t) runs the turns; this returns at once. Ended by
  /// what ends run(), or by detach(); exit_code() tells how.
  void attach();
  void detach() noexcept;
  int exit_code() const noexcept { return exit_code_; }

  // --- time, and things to do soon ---

  TimePoint now() const noexcept { return poller_->now(); }
  void arm(Timer& timer, TimePoint deadline) noexcept {
    timers_.arm(timer, deadline);
    keep_awake();
  }
  /// After `wait`; some milliseconds late if that is kCoarseFrom or more. Who minds gives a deadline.
  void arm(Timer& timer, Duration wait) noexcept {
    arm(timer, deadline_after(wait < kCoarseFrom ? now() : poller_->coarse_now() + coarse_lag_, wait));
  }
  void defer(Deferred& deferred) noexcept {
    deferred_.push_back(deferred);
    keep_awake();
  }
  /// Remembers what may be deferred later and has no owner but itself: so that it goes with the loop if it never is.
  void park(Deferred& deferred) noexcept { parked_.push_back(deferred); }

  /// Keeps run() from returning though no source and no timer is left, as work on another thread does; each call is to
  /// be followed by one of release().
  void hold() noexcept { ++holds_; }
  void release() noexcept { --holds_; }

  // --- what its parts share ---

  Poller& poller() noexcept { return *poller_; }
  Io& io() noexcept { return io_; }
  Log& log() noexcept { return log_; }
  BufferPool& buffers() noexcept { return buffers_; }
  CorrelationIdGenerator& ids() noexcept { return ids_; }
  Lifecycle& lifecycle() noexcept { return lifecycle_; }
  const LoopOptions& options() const noexcept { return options_; }
  LoopCounters& counters() noexcept { return counters_; }

  /// What each source and drain is doing now, for status pages: made when asked for.
  struct Waiting {
    std::string name;
    std::string_view state;         ///< "waiting", "ready", "paused"; of a drain "empty", "pending", "congested"
    std::size_t pending_bytes = 0;  ///< of a drain
  };
  std::vector<Waiting> waiting() const;
  /// Whether all that the loop keeps count of adds up: no byte lost, no source paused without a reason or forgotten.
  /// Looks at every source and drain; between turns.
  Audit audit();
  /// Why what goes by `id` is waiting, or, without an id, what waits: promises that are kept, and, if there is a Trail,
  /// the steps that led there.
  Explanation explain(const CorrelationId& id = {});
  std::size_t source_count() const noexcept { return sources_.count; }
  std::size_t drain_count() const noexcept { return drains_.count - 1; }  // not the loop's own

 private:
  friend class DrainLease;
  friend class EventDrain;
  friend class EventSink;
  friend class EventSource;
  friend class SourceBell;

  /// Ids are a slot and how often it was used: a lookup is an index and a comparison with the id of what is there.
  template <typename T>
  struct Registry {
    /// Holds an item, or, marked by an odd number, how often it was used and which is the next free one.
    class Slot {
     public:
      explicit Slot(T& item) noexcept : word_(reinterpret_cast<std::uintptr_t>(&item)) {}
      Slot(std::uint32_t generation, std::uint32_t next_free) noexcept
          : word_(std::uint64_t{next_free} << 32 | generation << 1 | 1) {}
      T* item() const noexcept {
        return (word_ & 1) != 0 ? nullptr : reinterpret_cast<T*>(static_cast<std::uintptr_t>(word_));
      }
      std::uint32_t generation() const noexcept { return static_cast<std::uint32_t>(word_) >> 1; }
      std::uint32_t next_free() const noexcept { return static_cast<std::uint32_t>(word_ >> 32); }

     private:
      std::uint64_t word_;
    };
    std::vector<Slot> slots;
    std::uint32_t free = kNone;
    std::size_t count = 0;

    static constexpr std::uint32_t kNone = UINT32_MAX;
    static constexpr std::uint32_t kLastGeneration = UINT32_MAX >> 1;
    std::uint64_t add(T& item);
    bool remove(std::uint64_t id) noexcept;
    T* find(std::uint64_t id) const noexcept {
      const auto index = static_cast<std::uint32_t>(id);
      if (index >= slots.size()) return nullptr;
      T* const item = slots[index].item();
      return item != nullptr && static_cast<std::uint64_t>(item->id_) == id ? item : nullptr;
    }
  };

  struct FeedStarved final : Timer {
    explicit FeedStarved(LoopManager& whose) : loop(whose) {}
    void expire() noexcept override { loop.ready_.take(loop.starved_); }
    LoopManager& loop;
  };

  template <typename T, typename Base>
  static T* cast(Base* base) noexcept {
    if (base == nullptr) return nullptr;
    // The exact class is the common case; a dynamic_cast costs many times as much.
    if (typeid(*base) == typeid(T)) return static_cast<T*>(base);
    return dynamic_cast<T*>(base);
  }

  void own(EventSource& source) noexcept;
  void own(EventDrain& drain) noexcept;
  void attach_source(EventSource& source);
  void detach_source(EventSource& source) noexcept;
  void attach_drain(EventDrain& drain);
  void detach_drain(EventDrain& drain) noexcept;
  void source_ready(EventSource& source) noexcept;
  void rung(SourceBell& bell) noexcept;
  void take_down(SourceBell& bell) noexcept;
  void source_paused(EventSource& source) noexcept;
  void list_pause(EventSource& source) noexcept;
  void source_resumed(EventSource& source) noexcept;
  void drain_dirty(EventDrain& drain) noexcept;

  EventRef next_event() noexcept;
  template <typename Turn>
  void go_on(Duration time, Turn&& turn) noexcept;
  void serve_turn() noexcept;
  bool take(Event& event) noexcept;
  void take_hold(Event& event) noexcept;
  bool begin_share() noexcept;
  void put_back(EventSource& source) noexcept;
  EventRef ask(EventSource& source) noexcept;
  void parse_failed(EventSource& source, const std::exception_ptr& error) noexcept;
  void ask_later(EventSource& source) noexcept;
  void begin_turn() noexcept;
  void end_turn() noexcept;
  void flush_dirty() noexcept;
  void flush(EventDrain& drain) noexcept;
  void announce_pauses() noexcept;
  void run_deferred() noexcept;
  void forget_deferred() noexcept;
  void poll(TimePoint until) noexcept;
  bool spin(TimePoint until);
  void take_remote() noexcept;
  bool poll_is_due() const noexcept;
  /// There is something to do or to wait for: the program's own loop takes one more turn, which sees what.
  void keep_awake() noexcept {
    if (attached_) poller_->set_active(true);
  }
  bool work_left() const noexcept;
  bool anything_to_wait_for() noexcept;
  bool all_flushed() const noexcept;
  bool all_delivered() const noexcept;
  TimePoint driven_turn() noexcept;
  void process(Event& event) noexcept;
  void process_timed(Event& event) noexcept;
  void handle(Event& event) noexcept;
  void rescue(Event& event, const std::exception_ptr& error) noexcept;
  bool ends_loop(const std::exception_ptr& error) noexcept;
  void report(const Event& event, const std::exception_ptr& error, std::string_view message) noexcept;
  void look_for_slow_events() noexcept;
  void look_at_clock() noexcept;
  void report_slow(const Event& event, Duration took) noexcept;
  void report_slow_events(Duration took) noexcept;
  void announce_stop() noexcept;
  bool finished() noexcept;
  TimePoint next_look_at_end() const noexcept;
  void hush_ready() noexcept;
  void bury() noexcept;

  LoopOptions options_;
  std::unique_ptr<LogSink> own_sink_;
  std::unique_ptr<Log> own_log_;
  Log& log_;
  Io& io_;
  std::unique_ptr<Poller> poller_;
  Duration coarse_lag_;
  BufferPool buffers_;
  CorrelationIdGenerator ids_;
  Lifecycle lifecycle_;
  LoopCounters counters_;
  TimerWheel timers_;

  Registry<EventSource> sources_;
  Registry<EventDrain> drains_;
  IntrusiveList<EventSource, EventSource> ready_;    // to be asked in the next turn
  IntrusiveList<EventSource, EventSource> turn_;     // still to be asked in this one
  IntrusiveList<EventSource, EventSource> starved_;  // there was no memory for their events: to be asked again later
  IntrusiveList<EventSource, EventSource> dead_sources_;
  // Those to be told that they were paused or resumed, and those being told. There is room for all in both.
  std::vector<SourceId> pause_changed_;
  std::vector<SourceId> pause_told_;
  IntrusiveList<EventDrain, EventDrain> dirty_;
  IntrusiveList<EventDrain, EventDrain> dead_drains_;
  IntrusiveList<Deferred, Deferred> deferred_;
  IntrusiveList<Deferred, Deferred> parked_;
  std::unique_ptr<EventDrain> null_drain_;
  FeedStarved feed_starved_{*this};

  EventSource* current_ = nullptr;  // whose share of the turn is being used
  EventSource* asked_ = nullptr;    // who gives its events, as long as it is there
  std::uint64_t last_event_id_ = 0;
  std::uint64_t share_end_ = 0;  // the id of the last event of the current share; 0: nothing more is to be handled
  TimePoint source_began_{};     // when the current one was first asked in this turn
  TimePoint last_coarse_;        // when the clock was last looked at
  TimePoint last_tick_{};        // when it was first seen to show that time
  std::uint64_t events_at_tick_ = 0;
  std::uint64_t next_look_ = 0;  // at so many events it is looked at again, while they are quick
  bool quick_ = false;           // so quickly come events that they are timed several together
  TimePoint last_poll_;
  std::uint64_t events_at_poll_ = 0;
  std::uint64_t other_work_since_poll_ = 0;  // turns, and what was deferred
  std::size_t holds_ = 0;
  std::size_t background_sources_ = 0;
  TimePoint flush_deadline_ = kNever;
  bool in_turn_ = false;
  bool timers_due_ = false;
  bool attached_ = false;
  bool stopping_ = false;
  bool stop_announced_ = false;
  bool aborted_ = false;
  int exit_code_ = 0;

  // What other threads may touch: the bells they have rung.
  std::atomic<bool> remote_any_{false};
  std::mutex remote_mutex_;
  IntrusiveList<SourceBell, SourceBell> rung_;
};

}  // namespace snowfox
