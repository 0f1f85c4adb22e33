#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <snowfox/core/clock.h>
#include <snowfox/core/intrusive_list.h>

namespace snowfox {

class TimerWheel;

/// Something that is to happen at a time. Destroying an armed timer disarms it.
class Timer : public ListNode<Timer> {
 public:
  bool armed() const noexcept { return linked(); }
  TimePoint deadline() const noexcept { return deadline_; }
  void disarm() noexcept { unlink(); }

 protected:
  ~Timer() = default;

 private:
  friend class TimerWheel;
  /// Called once, by the loop, at or after the deadline, when the timer is no longer armed; it may be armed again.
  virtual void expire() noexcept = 0;

  TimePoint deadline_{};
};

/// Timers by the million: arming and disarming take constant time, whatever is outstanding; an idle loop is woken at
/// most once a level for a far deadline, and once more for one that was put off. Timers expire in the order of their
/// deadlines to within kTick, never early, at most one tick (and the poller's own resolution) late.
///
/// A hierarchy of wheels as in G. Varghese and A. Lauck, "Hashed and Hierarchical Timing Wheels" (1987), scheme 7.
class TimerWheel {
 public:
  /// How finely deadlines are told apart: 2^16 ns, about 66 µs.
  static constexpr Duration kTick{1 << 16};

  explicit TimerWheel(TimePoint start) noexcept : start_(start) {}

  /// Arms `timer`, or moves it if it is armed: to a later deadline at next to no cost. A deadline of kNever disarms it.
  void arm(Timer& timer, TimePoint deadline) noexcept;

  /// When expire() is to be called next: at most one tick after the first deadline; kNever if nothing is armed.
  TimePoint next() noexcept;

  /// Expires what is due at `now`, at most `limit` timers; returns how many it did. If that is `limit`, more may be
  /// due.
  std::size_t expire(TimePoint now, std::size_t limit) noexcept;

 private:
  static constexpr unsigned kBits = 6;
  static constexpr unsigned kSlots = 1U << kBits;
  static constexpr unsigned kLevels = 8;  // 2^(16 + 6*8) ns: all that the clock can tell

  /// Timers lie anywhere in memory, and to walk one list of them is to wait for each in turn. So they are dealt out to
  /// several lists: to take one from a list fetches the next of that list, while those of the others are worked on.
  /// First in, first out, as long as none of them is disarmed.
  class Slot {
   public:
    bool empty() noexcept;
    void push(Timer& timer) noexcept;
    /// It must not be empty.
    Timer& pop() noexcept;
    /// Takes all of `other`. It must be empty.
    void take(Slot& other) noexcept;

   private:
    static constexpr unsigned kLanes = 8;
    std::array<IntrusiveList<Timer, Timer>, kLanes> lanes_;
    unsigned filled_ = 0;  // a bit for each list; as in occupied_ it may stand for one that has become empty
    unsigned in_ = 0;
    unsigned out_ = 0;
  };

  std::uint64_t tick_at_or_after(TimePoint time) const noexcept;
  void place(Timer& timer) noexcept;
  bool next_slot(std::uint64_t& tick, unsigned& level) noexcept;

  TimePoint start_;
  std::uint64_t now_tick_ = 0;  // all ticks up to this one have been expired
  // A set bit may stand for a list that has become empty by disarming: it is cleared when it is come upon.
  std::array<std::uint64_t, kLevels> occupied_{};
  std::array<std::array<Slot, kSlots>, kLevels> slots_;
  Slot due_;
};

}  // namespace snowfox
