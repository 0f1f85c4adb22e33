#include <snowfox/sources/scheduler_source.h>

#include <array>
#include <cassert>
#include <new>
#include <vector>

#include <snowfox/core/fault_point.h>
#include <snowfox/core/loop_manager.h>

namespace snowfox {

struct SchedulerSource::Entry final : Timer, ListNode<SchedulerSource> {
  SchedulerSource* scheduler = nullptr;
  EventRef event;                               // of a one-shot timer
  std::shared_ptr<const MakeEvent> make_event;  // of a periodic one
  Duration period{};
  std::uint32_t index = 0;
  std::uint32_t generation = 1;
  Entry* next_free = nullptr;
  bool used = false;

  TimerId id() const noexcept { return TimerId{std::uint64_t{generation} << 32 | index}; }
  bool due() const noexcept { return ListNode<SchedulerSource>::linked(); }
  void leave_due() noexcept { ListNode<SchedulerSource>::unlink(); }

 private:
  void expire() noexcept override {
    scheduler->due_.push_back(*this);
    scheduler->ready();
  }
};

/// Entries in blocks that never move, each used again when free.
struct SchedulerSource::Slab {
  static constexpr std::size_t kBlock = 256;
  std::vector<std::unique_ptr<std::array<Entry, kBlock>>> blocks;
  Entry* free = nullptr;

  Entry* find(TimerId id) noexcept {
    const auto index = static_cast<std::uint32_t>(static_cast<std::uint64_t>(id));
    if (index / kBlock >= blocks.size()) return nullptr;
    Entry& entry = (*blocks[index / kBlock])[index % kBlock];
    return entry.used && entry.id() == id ? &entry : nullptr;
  }
};

SchedulerSource::SchedulerSource(LoopManager& loop) : EventSource(loop), slab_(std::make_unique<Slab>()) {
  set_background(true);  // its timers keep the loop going while there are any
}

SchedulerSource::SchedulerSource(LoopManager& loop, Duration period, MakeEvent make_event) : SchedulerSource(loop) {
  every(period, std::move(make_event));
}

SchedulerSource::~SchedulerSource() = default;

SchedulerSource::Entry& SchedulerSource::make_entry() {
  if (SNOWFOX_FAULT(SchedulerAdd)) throw std::bad_alloc();
  if (slab_->free == nullptr) {
    const auto first = static_cast<std::uint32_t>(slab_->blocks.size() * Slab::kBlock);
    auto& block = *slab_->blocks.emplace_back(std::make_unique<std::array<Entry, Slab::kBlock>>());
    for (std::uint32_t i = Slab::kBlock; i-- > 0;) {
      Entry& entry = block[i];
      entry.scheduler = this;
      entry.index = first + i;
      entry.next_free = slab_->free;
      slab_->free = &entry;
    }
  }
  Entry& entry = *slab_->free;
  slab_->free = entry.next_free;
  entry.used = true;
  ++size_;
  return entry;
}

void SchedulerSource::free_entry(Entry& entry) noexcept {
  entry.disarm();
  entry.leave_due();
  entry.event.reset();
  entry.make_event = nullptr;
  entry.used = false;
  ++entry.generation;
  entry.next_free = slab_->free;
  slab_->free = &entry;
  --size_;
}

TimerId SchedulerSource::after(Duration wait, EventRef event) {
  return at(deadline_after(loop().now(), wait), std::move(event));
}

TimerId SchedulerSource::at(TimePoint deadline, EventRef event) {
  assert(event != nullptr);
  Entry& entry = make_entry();
  entry.event = std::move(event);
  loop().arm(entry, deadline);
  return entry.id();
}

TimerId SchedulerSource::every(Duration period, MakeEvent make_event) {
  assert(period > Duration::zero() && make_event);
  auto shared = std::make_shared<const MakeEvent>(std::move(make_event));
  Entry& entry = make_entry();
  entry.make_event = std::move(shared);
  entry.period = period;
  loop().arm(entry, deadline_after(loop().now(), period));
  return entry.id();
}

bool SchedulerSource::cancel(TimerId id) noexcept {
  Entry* entry = slab_->find(id);
  if (entry == nullptr) return false;
  free_entry(*entry);
  return true;
}

EventRef SchedulerSource::parse() {
  while (!due_.empty()) {
    Entry& entry = due_.pop_front();
    if (entry.make_event) {
      loop().arm(entry, deadline_after(loop().now(), entry.period));
      const auto make_event = entry.make_event;  // it may cancel its own timer
      if (EventRef event = (*make_event)()) return event;
      continue;
    }
    EventRef event = std::move(entry.event);
    free_entry(entry);
    return event;
  }
  return nullptr;
}

}  // namespace snowfox
