#include <snowfox/core/timer.h>

#include <bit>
#include <utility>

namespace snowfox {

bool TimerWheel::Slot::empty() noexcept {
  for (; filled_ != 0; filled_ &= filled_ - 1) {
    if (!lanes_[static_cast<unsigned>(std::countr_zero(filled_))].empty()) return false;
  }
  return true;
}

void TimerWheel::Slot::push(Timer& timer) noexcept {
  if (lanes_[in_].empty() && empty()) in_ = out_ = 0;
  lanes_[in_].push_back(timer);
  filled_ |= 1U << in_;
  in_ = (in_ + 1) % kLanes;
}

Timer& TimerWheel::Slot::pop() noexcept {
  while (lanes_[out_].empty()) out_ = (out_ + 1) % kLanes;
  Timer& first = lanes_[out_].pop_front();
  out_ = (out_ + 1) % kLanes;
  return first;
}

void TimerWheel::Slot::take(Slot& other) noexcept {
  filled_ = std::exchange(other.filled_, 0);
  for (unsigned left = filled_; left != 0; left &= left - 1) {
    const auto lane = static_cast<unsigned>(std::countr_zero(left));
    lanes_[lane].take(other.lanes_[lane]);
  }
  in_ = other.in_;
  out_ = other.out_;
}

std::uint64_t TimerWheel::tick_at_or_after(TimePoint time) const noexcept {
  if (time <= start_) return 0;
  const auto since = static_cast<std::uint64_t>((time - start_).count());
  constexpr auto kNanoseconds = static_cast<std::uint64_t>(kTick.count());
  return since / kNanoseconds + (since % kNanoseconds != 0 ? 1 : 0);
}

void TimerWheel::arm(Timer& timer, TimePoint deadline) noexcept {
  // What is put off stays where it is, where it will be looked at in time; its neighbours are not touched.
  const bool put_off = timer.armed() && deadline >= timer.deadline_ && deadline != kNever;
  timer.deadline_ = deadline;
  if (put_off) return;
  timer.unlink();
  if (deadline != kNever) place(timer);
}

// A timer's level is the highest digit (of kBits bits) in which its tick differs from now's: when now's digit reaches
// the timer's, the lower digits decide, and it moves to a lower level.
void TimerWheel::place(Timer& timer) noexcept {
  const std::uint64_t tick = tick_at_or_after(timer.deadline_);
  if (tick <= now_tick_) {
    due_.push(timer);
    return;
  }
  const unsigned highest_bit = 63U - static_cast<unsigned>(std::countl_zero(tick ^ now_tick_));
  const unsigned level = highest_bit / kBits;
  const unsigned slot = static_cast<unsigned>(tick >> (level * kBits)) & (kSlots - 1);
  slots_[level][slot].push(timer);
  occupied_[level] |= std::uint64_t{1} << slot;
}

// The first slot that has a timer, and the tick at which it begins. All slots of a level come before all of the next.
bool TimerWheel::next_slot(std::uint64_t& tick, unsigned& level) noexcept {
  for (level = 0; level < kLevels; ++level) {
    while (occupied_[level] != 0) {
      const auto slot = static_cast<unsigned>(std::countr_zero(occupied_[level]));
      if (slots_[level][slot].empty()) {
        occupied_[level] &= ~(std::uint64_t{1} << slot);
        continue;
      }
      const unsigned shift = level * kBits;
      const std::uint64_t above = shift + kBits < 64 ? (now_tick_ >> (shift + kBits)) << (shift + kBits) : 0;
      tick = above | (std::uint64_t{slot} << shift);
      return true;
    }
  }
  return false;
}

TimePoint TimerWheel::next() noexcept {
  if (!due_.empty()) return start_;
  std::uint64_t tick = 0;
  unsigned level = 0;
  if (!next_slot(tick, level)) return kNever;
  constexpr auto kNanoseconds = static_cast<std::uint64_t>(kTick.count());
  const auto most = static_cast<std::uint64_t>((kNever - start_).count());
  return tick >= most / kNanoseconds ? kNever : start_ + Duration(static_cast<Duration::rep>(tick * kNanoseconds));
}

std::size_t TimerWheel::expire(TimePoint now, std::size_t limit) noexcept {
  const std::uint64_t now_tick =
      now <= start_ ? 0
                    : static_cast<std::uint64_t>((now - start_).count()) / static_cast<std::uint64_t>(kTick.count());
  std::size_t expired = 0;
  for (;;) {
    const TimePoint reached = start_ + Duration(static_cast<Duration::rep>(now_tick_) * kTick.count());
    while (!due_.empty()) {
      if (expired == limit) return expired;
      Timer& timer = due_.pop();
      if (timer.deadline_ > reached) {  // it has been put off
        place(timer);
        continue;
      }
      ++expired;
      timer.expire();
    }
    std::uint64_t tick = 0;
    unsigned level = 0;
    if (!next_slot(tick, level) || tick > now_tick) {
      if (now_tick > now_tick_) now_tick_ = now_tick;
      return expired;
    }
    now_tick_ = tick;
    const unsigned slot = static_cast<unsigned>(tick >> (level * kBits)) & (kSlots - 1);
    occupied_[level] &= ~(std::uint64_t{1} << slot);
    Slot& reached_slot = slots_[level][slot];
    if (level == 0) {
      due_.take(reached_slot);
    } else {
      while (!reached_slot.empty()) place(reached_slot.pop());  // none comes back to where it was
    }
  }
}

}  // namespace snowfox
