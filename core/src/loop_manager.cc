#include <snowfox/core/loop_manager.h>

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

#include <snowfox/core/error.h>
#include <snowfox/core/explanation.h>
#include <snowfox/core/fault_point.h>
#include <snowfox/core/null_drain.h>

namespace snowfox {
namespace {

constexpr std::string_view kComponent = "loop";
/// So many timers expire, and so many continuations run, before events have their turn again.
constexpr std::size_t kTimersPerPoll = 1024;
constexpr unsigned kDeferredPerEvent = 1024;
/// An event that takes less is quick, and of quick ones so many are timed together.
constexpr Duration kQuick = std::chrono::microseconds(1);
constexpr unsigned kUntimedEvents = 16;
/// While they are, the kernel is asked so many times less often.
constexpr unsigned kQuickTurns = 16;
/// When the loop ends, so often it looks whether what was sent has arrived.
constexpr Duration kDeliveryCheck = std::chrono::milliseconds(10);
/// A source for whose event there was no memory is asked again after this.
constexpr Duration kStarved = std::chrono::milliseconds(10);

}  // namespace

// --- what the loop holds ---

template <typename T>
std::uint64_t LoopManager::Registry<T>::add(T& item) {
  if (free == kNone) {
    slots.emplace_back(1, kNone);
    free = static_cast<std::uint32_t>(slots.size() - 1);
  }
  const std::uint32_t index = free;
  Slot& slot = slots[index];
  const std::uint64_t generation = slot.generation();
  free = slot.next_free();
  slot = Slot(item);
  ++count;
  return generation << 32 | index;
}

template <typename T>
bool LoopManager::Registry<T>::remove(std::uint64_t id) noexcept {
  if (find(id) == nullptr) return false;
  const auto index = static_cast<std::uint32_t>(id);
  const auto generation = static_cast<std::uint32_t>(id >> 32);
  slots[index] = Slot(generation + 1, free);
  --count;
  // A slot used up 2^31 times retires, so that an old id never names something new.
  if (generation != kLastGeneration) free = index;
  return true;
}

LoopManager::LoopManager(LoopOptions options)
    : options_(options),
      own_sink_(std::make_unique<DescriptorLogSink>(STDERR_FILENO)),
      own_log_(std::make_unique<Log>(*own_sink_)),
      log_(*own_log_),
      io_(Io::system()),
      poller_(std::make_unique<UvPoller>()),
      ids_(options.id_seed ? CorrelationIdGenerator(*options.id_seed) : CorrelationIdGenerator()),
      timers_(poller_->now()),
      null_drain_(std::make_unique<NullDrain>(*this)),
      last_coarse_(poller_->coarse_now()),
      last_poll_(last_coarse_) {}

LoopManager::LoopManager(std::unique_ptr<Poller> poller, Io& io, Log& log, LoopOptions options)
    : options_(options),
      log_(log),
      io_(io),
      poller_(std::move(poller)),
      ids_(options.id_seed ? CorrelationIdGenerator(*options.id_seed) : CorrelationIdGenerator()),
      timers_(poller_->now()),
      null_drain_(std::make_unique<NullDrain>(*this)),
      last_coarse_(poller_->coarse_now()),
      last_poll_(last_coarse_) {}

LoopManager::~LoopManager() {
  detach();
  // What runs with nobody waiting for it goes first, while all it may refer to is still there.
  forget_deferred();
  // What one of them destroys may make or remove others: by index, not by iterator.
  for (std::size_t i = 0; i < sources_.slots.size(); ++i) {
    EventSource* source = sources_.slots[i].item();
    if (source != nullptr && source->owned_) remove(source->id());
  }
  bury();
  for (std::size_t i = 0; i < drains_.slots.size(); ++i) {
    EventDrain* drain = drains_.slots[i].item();
    if (drain != nullptr && drain->owned_) remove(drain->id());
  }
  bury();
  null_drain_.reset();
  // Work on other threads ends now, while all it may ask of the loop is still there.
  poller_.reset();
  forget_deferred();
}

EventSource* LoopManager::source(SourceId id) const noexcept { return sources_.find(static_cast<std::uint64_t>(id)); }
EventDrain* LoopManager::drain(DrainId id) const noexcept { return drains_.find(static_cast<std::uint64_t>(id)); }

void LoopManager::own(EventSource& source) noexcept { source.owned_ = true; }
void LoopManager::own(EventDrain& drain) noexcept { drain.owned_ = true; }

void LoopManager::attach_source(EventSource& source) {
  // What is listed already, and each source once.
  for (auto* list : {&pause_changed_, &pause_told_}) {
    const std::size_t needed = list->size() + sources_.count + 1;
    if (list->capacity() < needed) list->reserve(2 * needed);
  }
  source.id_ = SourceId{sources_.add(source)};
  keep_awake();
}
void LoopManager::attach_drain(EventDrain& drain) { drain.id_ = DrainId{drains_.add(drain)}; }

void LoopManager::detach_source(EventSource& source) noexcept {
  if (!sources_.remove(static_cast<std::uint64_t>(source.id_))) return;
  if (current_ == &source) current_ = nullptr;
  source.unlink();
  source.set_background(false);
  source.id_ = kNoSource;
}

void LoopManager::detach_drain(EventDrain& drain) noexcept {
  if (!drains_.remove(static_cast<std::uint64_t>(drain.id_))) return;
  if (drain.congested_) drain.set_congested(false);
  drain.unlink();
  drain.id_ = kNoDrain;
}

void LoopManager::remove(SourceId id) noexcept {
  EventSource* found = source(id);
  if (found == nullptr) return;
  detach_source(*found);
  found->on_removed();
  if (found->owned_) dead_sources_.push_back(*found);
}

void LoopManager::remove(DrainId id) noexcept {
  EventDrain* found = drain(id);
  if (found == nullptr) return;
  detach_drain(*found);
  found->on_removed();
  found->dropped();
  if (found->owned_) dead_drains_.push_back(*found);
}

void LoopManager::bury() noexcept {
  while (!dead_sources_.empty() || !dead_drains_.empty()) {
    while (!dead_sources_.empty()) delete &dead_sources_.pop_front();
    if (!dead_drains_.empty()) delete &dead_drains_.pop_front();
  }
}

Audit LoopManager::audit() {
  Audit audit;
  std::uint64_t pending = 0;
  std::vector<std::uint32_t> drain_pauses(sources_.slots.size());
  for (const auto& slot : drains_.slots) {
    const EventDrain* drain = slot.item();
    if (drain == nullptr) continue;
    pending += drain->pending_bytes_;
    audit.expect(drain->congested_ || drain->pending_bytes_ <= drain->watermarks_->high,
                 [&] { return drain->name() + " is above its high watermark and does not say so"; });
    if (!drain->congested_) continue;
    audit.expect(drain->pending_bytes_ > drain->watermarks_->low || drain->linked(),
                 [&] { return drain->name() + " is at its low watermark and still pauses its sources"; });
    const auto paused_by_it = [&](SourceId id) {
      if (source(id) != nullptr) ++drain_pauses[static_cast<std::uint32_t>(id)];
    };
    for (const SourceId id : drain->bound()) paused_by_it(id);
  }
  const LoopCounters& n = counters_;
  audit.expect(n.enqueued_bytes == n.flushed_bytes + n.dropped_bytes + pending, [&] {
    return "of " + std::to_string(n.enqueued_bytes) + " bytes enqueued " + std::to_string(n.flushed_bytes) +
           " were flushed, " + std::to_string(n.dropped_bytes) + " dropped, " + std::to_string(pending) +
           " are pending";
  });
  audit.expect(n.settled_twice == 0, "a promise was settled twice");
  for (std::size_t i = 0; i < sources_.slots.size(); ++i) {
    const EventSource* source = sources_.slots[i].item();
    if (source == nullptr) continue;
    audit.expect(source->drain_pauses_ == drain_pauses[i], [&] {
      return source->name() + " is paused by " + std::to_string(source->drain_pauses_) + " drains, of which " +
             std::to_string(drain_pauses[i]) + " are congested";
    });
    audit.expect(source->pauses_ >= source->drain_pauses_,
                 [&] { return source->name() + " was resumed more often than paused"; });
    audit.expect(!source->ready_ || source->paused() || source->linked() || stopping_,
                 [&] { return source->name() + " is ready and nobody will ask it"; });
    audit.expect(source->paused() == source->pause_announced_ || source->pause_listed_,
                 [&] { return source->name() + " was not told whether it is paused"; });
  }
  lifecycle_.audit(audit);
  return audit;
}

Explanation LoopManager::explain(const CorrelationId& id) {
  Explanation explanation(id, now());
  lifecycle_.explain(explanation);
  return explanation;
}

// --- who has something ---

void LoopManager::source_ready(EventSource& source) noexcept {
  if (source.ready_ || source.id_ == kNoSource) return;
  source.ready_ = true;
  if (SNOWFOX_MUTANT(LostWakeUp)) return;
  if (!source.paused() && !source.linked()) ready_.push_back(source);
}

void LoopManager::source_paused(EventSource& source) noexcept {
  if (source.id_ == kNoSource) return;
  if (current_ == &source) current_ = nullptr;
  source.unlink();
  list_pause(source);
}

void LoopManager::source_resumed(EventSource& source) noexcept {
  if (source.id_ == kNoSource) return;
  if (source.ready_ && !source.linked()) ready_.push_back(source);
  list_pause(source);
}

void LoopManager::list_pause(EventSource& source) noexcept {
  if (source.pause_listed_) return;
  source.pause_listed_ = true;
  pause_changed_.push_back(source.id_);
}

void LoopManager::rung(SourceBell& bell) noexcept {
  {
    const std::lock_guard lock(remote_mutex_);
    if (!bell.linked()) rung_.push_back(bell);
    remote_any_.store(true, std::memory_order_release);
  }
  poller_->wake();
}

void LoopManager::take_down(SourceBell& bell) noexcept {
  const std::lock_guard lock(remote_mutex_);
  bell.unlink();
}

void LoopManager::take_remote() noexcept {
  if (!remote_any_.load(std::memory_order_acquire)) return;
  const std::lock_guard lock(remote_mutex_);
  while (!rung_.empty()) source_ready(rung_.pop_front().source_);
  remote_any_.store(false, std::memory_order_relaxed);
}

void LoopManager::drain_dirty(EventDrain& drain) noexcept {
  if (!drain.linked() && drain.id_ != kNoDrain) dirty_.push_back(drain);
}

// --- a turn ---

void LoopManager::begin_turn() noexcept {
  in_turn_ = true;
  current_ = nullptr;
  turn_.take(ready_);
}

[[gnu::always_inline]] inline EventRef LoopManager::ask(EventSource& source) noexcept {
  try {
    return source.parse();
  } catch (...) {
    parse_failed(source, std::current_exception());
    return nullptr;
  }
}

void LoopManager::parse_failed(EventSource& source, const std::exception_ptr& error) noexcept {
  if (ends_loop(error) || source.id_ == kNoSource) return;
  const std::error_code code = code_of(error);
  if (code == std::errc::not_enough_memory) return ask_later(source);
  log_if_possible([&] {
    log_.warning(kComponent, "source failed", {{"source", source.name()}, {"error", describe(error)}});
  });
  source.fail(code);
}

// What has no memory now may have some when others have let go of theirs; to ask at once would be to ask in a circle.
void LoopManager::ask_later(EventSource& source) noexcept {
  log_if_possible([&] { log_.warning(kComponent, "no memory for an event", {{"source", source.name()}}); });
  source.ready_ = true;
  if (source.paused()) return;  // asked when it is resumed
  if (current_ == &source) current_ = nullptr;
  source.unlink();
  starved_.push_back(source);
  if (!feed_starved_.armed()) arm(feed_starved_, kStarved);
}

// Each source that was ready when the turn began is asked until it has nothing more or its share is used up. What
// becomes ready meanwhile is for the next turn, so a turn ends.
EventRef LoopManager::next_event() noexcept {
  while (!stopping_) {
    if (current_ == nullptr) {
      if (turn_.empty()) return nullptr;
      current_ = &turn_.front();
      turn_events_ = 0;
      source_began_ = last_coarse_;
    }
    EventSource& source = *current_;
    if (turn_events_ >= options_.events_per_turn || last_coarse_ - source_began_ > options_.time_per_turn) {
      source.unlink();
      ready_.push_back(source);
      current_ = nullptr;
      continue;
    }
    source.ready_ = false;  // a call of ready() from within parse() counts for the next time
    EventRef event = ask(source);
    if (event != nullptr) {
      ++turn_events_;
      if (source.id_ != kNoSource) source.ready_ = true;
      event->loop_ = this;
      event->id_ = ++next_event_id_;
      lifecycle_.event_initialise(*event);
      return event;
    }
    if (current_ == &source) {
      source.unlink();
      if (source.ready_) ready_.push_back(source);
      current_ = nullptr;
    }
  }
  return nullptr;
}

void LoopManager::end_turn() noexcept {
  in_turn_ = false;
  current_ = nullptr;
  ready_.take(turn_);  // left over only if the loop is stopping
  ++counters_.turns;
  ++events_since_poll_;
  flush_dirty();
  announce_pauses();
  bury();
}

void LoopManager::flush_dirty() noexcept {
  if (dirty_.empty()) return;
  IntrusiveList<EventDrain, EventDrain> flushing;
  flushing.take(dirty_);
  while (!flushing.empty()) {
    EventDrain& drain = flushing.pop_front();
    try {
      drain.flush();
      if (drain.pending_bytes_ > drain.watermarks_->hard_limit) {
        throw std::system_error(make_error_code(Errc::DrainOverflow), std::to_string(drain.pending_bytes_) + " bytes");
      }
    } catch (...) {
      const std::exception_ptr error = std::current_exception();
      log_if_possible([&] {
        log_.warning(kComponent, "drain failed", {{"drain", drain.name()}, {"error", describe(error)}});
      });
      drain.fail(code_of(error));
      continue;
    }
    if (drain.congested_ && drain.pending_bytes_ <= drain.watermarks_->low) drain.set_congested(false);
    if (drain.closing_ && drain.empty() && drain.leases_ == 0 && drain.may_go()) remove(drain.id_);
  }
}

// From levels, once a turn: whoever was paused and resumed within it is told nothing.
void LoopManager::announce_pauses() noexcept {
  while (!pause_changed_.empty()) {
    pause_told_.swap(pause_changed_);
    // By index: who is told may make a source, for which there must be room.
    for (std::size_t i = 0; i < pause_told_.size(); ++i) {
      EventSource* changed = source(pause_told_[i]);
      if (changed == nullptr) continue;
      changed->pause_listed_ = false;
      if (changed->paused() == changed->pause_announced_) continue;
      changed->pause_announced_ = changed->paused();
      changed->on_pause_changed();
    }
    pause_told_.clear();
  }
}

void LoopManager::run_deferred() noexcept {
  for (unsigned i = 0; i < kDeferredPerEvent && !deferred_.empty(); ++i) {
    ++events_since_poll_;
    deferred_.pop_front().run();
  }
}

void LoopManager::forget_deferred() noexcept {
  while (!parked_.empty()) parked_.pop_front().on_loop_gone();
  while (!deferred_.empty()) deferred_.pop_front().on_loop_gone();
}

void LoopManager::poll(TimePoint until) noexcept {
  ++counters_.polls;
  events_since_poll_ = 0;
  const TimePoint next_timer = timers_due_ ? TimePoint::min() : timers_.next();
  try {
    const TimePoint wake_up = std::min(until, next_timer);
    if (options_.spin == Duration::zero() || !spin(wake_up)) poller_->wait(wake_up);
  } catch (...) {
    log_if_possible([&] { log_.critical(kComponent, "cannot wait", {{"error", describe(std::current_exception())}}); });
    aborted_ = true;
    stop(1);
    return;
  }
  take_remote();
  if (next_timer != kNever) timers_due_ = timers_.expire(now(), kTimersPerPoll) == kTimersPerPoll;
  look_at_clock();
  last_poll_ = last_coarse_;
}

// True if there is something to do.
bool LoopManager::spin(TimePoint until) {
  TimePoint time = now();
  const TimePoint end = std::min(until, deadline_after(time, options_.spin));
  while (time < end) {
    poller_->wait(TimePoint::min());
    if (work_left() || stopping_ || remote_any_.load(std::memory_order_acquire)) return true;
    // Where time only passes by waiting, as in a simulation, this would not end.
    const TimePoint before = std::exchange(time, now());
    if (time == before) return false;
  }
  return false;
}

bool LoopManager::poll_is_due() const noexcept {
  const unsigned most = quick_ ? kQuickTurns * options_.events_per_turn : options_.events_per_turn;
  return events_since_poll_ >= most || last_coarse_ - last_poll_ > options_.time_per_turn;
}

bool LoopManager::work_left() const noexcept {
  return !ready_.empty() || !deferred_.empty() || !dirty_.empty() || !pause_changed_.empty() || timers_due_;
}

bool LoopManager::all_flushed() const noexcept {
  return std::all_of(drains_.slots.begin(), drains_.slots.end(),
                     [](const auto& slot) { return slot.item() == nullptr || slot.item()->empty(); });
}

bool LoopManager::all_delivered() const noexcept {
  return std::all_of(drains_.slots.begin(), drains_.slots.end(),
                     [](const auto& slot) { return slot.item() == nullptr || slot.item()->delivered(); });
}

bool LoopManager::anything_to_wait_for() noexcept {
  return sources_.count > background_sources_ || holds_ != 0 || timers_.next() != kNever || !all_flushed();
}

// --- running ---

EventRef LoopManager::wait(Duration timeout) {
  if (in_turn_ && deferred_.empty()) {
    if (EventRef event = next_event()) return event;
  }
  return wait_for_event(timeout);
}

EventRef LoopManager::wait_for_event(Duration timeout) {
  TimePoint deadline = kNever;
  for (bool polled = false;;) {
    if (!deferred_.empty()) run_deferred();
    if (!in_turn_) begin_turn();
    if (EventRef event = next_event()) return event;
    end_turn();
    if (stopping_) return nullptr;
    if (work_left()) {
      if (timers_due_ || poll_is_due()) poll(TimePoint::min());
      continue;
    }
    if (!anything_to_wait_for()) return nullptr;
    // The clock is read only now, when there is nothing to do; and what is ready is looked at once in any case.
    if (timeout != Duration::max()) {
      if (polled && now() >= deadline) return nullptr;
      if (!polled) deadline = deadline_after(now(), timeout);
    }
    poll(deadline);
    polled = true;
  }
}

int LoopManager::run() {
  stopping_ = stop_announced_ = aborted_ = false;
  exit_code_ = 0;
  flush_deadline_ = kNever;
  lifecycle_.process_init(*this);
  last_coarse_ = last_poll_ = poller_->coarse_now();
  while (EventRef event = wait(Duration::max())) dispatch(std::move(event));
  announce_stop();
  while (!finished()) poll(next_look_at_end());
  return exit_code_;
}

void LoopManager::announce_stop() noexcept {
  if (std::exchange(stop_announced_, true)) return;
  flush_deadline_ = deadline_after(now(), options_.flush_timeout);
  for (std::size_t i = 0; i < sources_.slots.size(); ++i) {
    if (EventSource* source = sources_.slots[i].item()) source->on_stopping();
  }
  lifecycle_.process_exit(*this, exit_code_);
}

// A turn without events, after the last of those. True if nothing is left to do, or no time to do it in.
bool LoopManager::finished() noexcept {
  if (!aborted_ && !deferred_.empty()) run_deferred();
  hush_ready();
  end_turn();
  const bool done = deferred_.empty() && all_delivered();
  if (!aborted_ && !done && now() < flush_deadline_) return false;
  if (!aborted_ && !all_delivered())
    log_.warning(kComponent, "ended with output that its readers did not take in time");
  for (const auto& slot : sources_.slots) {
    EventSource* source = slot.item();
    if (source == nullptr || !std::exchange(source->hushed_, false)) continue;
    source->resume();
    if (source->ready_ && !source->paused() && !source->linked()) ready_.push_back(*source);
  }
  end_turn();
  return true;
}

// That something has arrived at the other end no descriptor tells: it must be asked.
TimePoint LoopManager::next_look_at_end() const noexcept {
  if (work_left()) return TimePoint::min();
  return all_flushed() ? std::min(flush_deadline_, deadline_after(now(), kDeliveryCheck)) : flush_deadline_;
}

// Nobody is asked for events any more: a descriptor that can be read must not end each wait at once.
void LoopManager::hush_ready() noexcept {
  ready_.take(turn_);
  while (!ready_.empty()) {
    EventSource& hushed = ready_.pop_front();
    if (!std::exchange(hushed.hushed_, true)) hushed.pause();
  }
}

void LoopManager::stop(int exit_code) noexcept {
  if (std::exchange(stopping_, true)) return;
  exit_code_ = exit_code;
  poller_->wake();
}

void LoopManager::attach() {
  stopping_ = stop_announced_ = aborted_ = false;
  exit_code_ = 0;
  poller_->drive([this] { return driven_turn(); });
  attached_ = true;
  last_coarse_ = last_poll_ = poller_->coarse_now();
  keep_awake();
  lifecycle_.process_init(*this);
}

void LoopManager::detach() noexcept {
  if (!std::exchange(attached_, false)) return;
  poller_->set_active(false);
  poller_->drive(nullptr);
  if (!stop_announced_) lifecycle_.process_exit(*this, exit_code_);
}

TimePoint LoopManager::driven_turn() noexcept {
  take_remote();
  timers_due_ = timers_.next() != kNever && timers_.expire(now(), kTimersPerPoll) == kTimersPerPoll;
  last_coarse_ = last_poll_ = poller_->coarse_now();
  if (!deferred_.empty()) run_deferred();
  begin_turn();
  while (attached_) {
    EventRef event = next_event();
    if (event == nullptr) break;
    dispatch(std::move(event));
    if (!deferred_.empty()) run_deferred();
  }
  end_turn();
  if (!attached_) return kNever;
  if (stopping_) {
    announce_stop();
    if (finished()) {
      detach();
      return kNever;
    }
    poller_->set_active(true);
    return std::min(next_look_at_end(), timers_.next());
  }
  poller_->set_active(anything_to_wait_for());
  return work_left() ? TimePoint::min() : timers_.next();
}

// --- one event ---

[[gnu::always_inline]] inline void LoopManager::handle(Event& event) noexcept {
  if (event.deadline_ != kNever && now() >= event.deadline_) [[unlikely]] {
    ++counters_.expired;
    rescue(event, make_error(Errc::DeadlineExceeded));
    return;
  }
  try {
    event.handle();
  } catch (...) {
    const std::exception_ptr error = std::current_exception();
    if (ends_loop(error)) return;
    lifecycle_.event_error(event, error);
    rescue(event, error);
  }
}

// To look at the clock costs as much as the rest of an event whose handler does next to nothing. So where events take
// less than a microsecond each several are timed together; where they take longer, each by itself.
void LoopManager::dispatch(EventRef event) noexcept {
  ++counters_.events;
  ++events_since_poll_;
  const bool timed = !quick_;
  if (timed) last_coarse_ = poller_->coarse_now();
  const TimePoint began = last_coarse_;
  lifecycle_.event_handle(*event);
  handle(*event);
  lifecycle_.event_done(*event);
  if (timed || ++untimed_events_ == kUntimedEvents) look_for_slowness(*event, began, timed);
}

void LoopManager::look_for_slowness(const Event& last, TimePoint began, bool timed) noexcept {
  look_at_clock();
  const Duration took = last_coarse_ - began;
  if (took <= options_.slow_handler) return;
  if (timed) {
    report_slow(last, took);
  } else {
    report_slow_events(took);
  }
}

void LoopManager::look_at_clock() noexcept {
  last_coarse_ = poller_->coarse_now();
  untimed_events_ = 0;
  if (last_coarse_ == last_tick_) return;
  const std::uint64_t events = counters_.events - std::exchange(events_at_tick_, counters_.events);
  quick_ = last_coarse_ - std::exchange(last_tick_, last_coarse_) < static_cast<std::int64_t>(events) * kQuick;
}

void LoopManager::rescue(Event& event, const std::exception_ptr& error) noexcept {
  try {
    event.rescue(error);
    ++counters_.rescued;
  } catch (...) {
    const std::exception_ptr second = std::current_exception();
    if (ends_loop(second)) return;
    ++counters_.failed;
    report(event, second, "event not handled");
  }
}

bool LoopManager::ends_loop(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const CleanExit&) {
    stop(0);
    return true;
  } catch (const AbortError& abort) {
    log_.critical(kComponent, "aborted", {{"error", abort.what()}});
    aborted_ = true;
    exit_code_ = 1;
    stopping_ = true;
    return true;
  } catch (...) {
    return false;
  }
}

void LoopManager::report(const Event& event, const std::exception_ptr& error, std::string_view message) noexcept {
  log_if_possible([&] {
    log_.error(kComponent, message, {{"event", event.name()}, {"event_id", event.id()}, {"error", describe(error)}},
               event.correlation_id());
  });
}

void LoopManager::report_slow(const Event& event, Duration took) noexcept {
  ++counters_.slow;
  log_.warning(kComponent, "slow handler",
               {{"event", event.name()},
                {"event_id", event.id()},
                {"milliseconds", std::int64_t{std::chrono::duration_cast<std::chrono::milliseconds>(took).count()}}},
               event.correlation_id());
}

void LoopManager::report_slow_events(Duration took) noexcept {
  ++counters_.slow;
  log_.warning(kComponent, "slow events",
               {{"events", kUntimedEvents},
                {"milliseconds", std::int64_t{std::chrono::duration_cast<std::chrono::milliseconds>(took).count()}}});
}

std::vector<LoopManager::Waiting> LoopManager::waiting() const {
  std::vector<Waiting> all;
  for (const auto& slot : sources_.slots) {
    if (slot.item() == nullptr) continue;
    all.push_back({slot.item()->name(),
                   slot.item()->paused() ? "paused"
                   : slot.item()->ready_ ? "ready"
                                         : "waiting",
                   0});
  }
  for (const auto& slot : drains_.slots) {
    if (slot.item() == nullptr || slot.item() == null_drain_.get()) continue;
    all.push_back({slot.item()->name(),
                   slot.item()->congested() ? "congested"
                   : slot.item()->empty()   ? "empty"
                                            : "pending",
                   slot.item()->pending_bytes()});
  }
  return all;
}

}  // namespace snowfox
