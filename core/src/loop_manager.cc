#include <snowfox/core/loop_manager.h>

#include <unistd.h>

#include <algorithm>
#include <exception>
#include <utility>

#include <snowfox/core/error.h>
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
constexpr unsigned kUntimedEvents = 64;
/// While they are, the kernel is asked so many times less often.
constexpr unsigned kQuickTurns = 16;
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
      coarse_lag_(poller_->coarse_lag()),
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
      coarse_lag_(poller_->coarse_lag()),
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
  if (asked_ == &source) asked_ = nullptr;
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
void LoopManager::serve_turn() noexcept {
  const bool driven = attached_;
  EventSink sink(*this);
  if (!in_turn_) begin_turn();
  while (!stopping_ && attached_ == driven && (current_ != nullptr || begin_share())) {
    EventSource& source = *current_;
    if (last_event_id_ < share_end_) {
      source.ready_ = false;  // a call of ready() from within parse_all() counts for the next time
      asked_ = &source;
      try {
        source.parse_all(sink);
      } catch (...) {
        parse_failed(source, std::current_exception());
      }
      asked_ = nullptr;
    }
    if (current_ == &source) put_back(source);
  }
  end_turn();
}

// A source may pause or remove itself and still give an event, and it may be gone when that has been handled: it is
// touched only if it is still the one whose turn it is.
bool LoopManager::take(Event& event) noexcept {
  EventSource* const source = asked_;
  if (source != nullptr) source->ready_ = true;  // as far as is known
  take_hold(event);
  process(event);
  if (!deferred_.empty()) run_deferred();
  if (current_ == nullptr || current_ != source || last_event_id_ >= share_end_) return false;
  source->ready_ = false;
  return true;
}

bool EventSink::handle(Event& event) noexcept { return loop_.take(event); }

void LoopManager::put_back(EventSource& source) noexcept {
  source.unlink();
  if (source.ready_) ready_.push_back(source);
  current_ = nullptr;
}

// The same for who wants to handle events himself.
EventRef LoopManager::next_event() noexcept {
  while (!stopping_ && (current_ != nullptr || begin_share())) {
    EventSource& source = *current_;
    if (last_event_id_ >= share_end_) {
      put_back(source);
      continue;
    }
    source.ready_ = false;  // a call of ready() from within parse() counts for the next time
    EventRef event = ask(source);
    if (event != nullptr) {
      if (source.id_ != kNoSource) source.ready_ = true;
      take_hold(*event);
      return event;
    }
    if (current_ == &source) put_back(source);
  }
  return nullptr;
}

[[gnu::always_inline]] inline void LoopManager::take_hold(Event& event) noexcept {
  event.loop_ = this;
  event.id_ = ++last_event_id_;
  lifecycle_.event_initialise(event);
}

bool LoopManager::begin_share() noexcept {
  if (turn_.empty()) return false;
  current_ = &turn_.front();
  share_end_ = last_event_id_ + options_.events_per_turn;
  source_began_ = last_coarse_;
  return true;
}

void LoopManager::end_turn() noexcept {
  in_turn_ = false;
  current_ = nullptr;
  ready_.take(turn_);  // left over only if the loop is stopping
  ++counters_.turns;
  ++other_work_since_poll_;
  flush_dirty();
  announce_pauses();
  bury();
}

void LoopManager::flush_dirty() noexcept {
  if (dirty_.empty()) return;
  IntrusiveList<EventDrain, EventDrain> flushing;
  flushing.take(dirty_);
  while (!flushing.empty()) flush(flushing.pop_front());
}

void LoopManager::flush_now(EventDrain& drain) noexcept {
  if (!drain.linked() || drain.id_ == kNoDrain) return;
  drain.unlink();
  flush(drain);
}

void LoopManager::flush(EventDrain& drain) noexcept {
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
    return;
  }
  if (drain.congested_ && drain.pending_bytes_ <= drain.watermarks_->low) drain.set_congested(false);
  if (drain.closing_ && drain.empty() && drain.leases_ == 0 && drain.may_go()) remove(drain.id_);
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
    ++other_work_since_poll_;
    deferred_.pop_front().run();
  }
}

void LoopManager::forget_deferred() noexcept {
  while (!parked_.empty()) parked_.pop_front().on_loop_gone();
  while (!deferred_.empty()) deferred_.pop_front().on_loop_gone();
}

void LoopManager::poll(TimePoint until) noexcept {
  ++counters_.polls;
  events_at_poll_ = counters_.events;
  other_work_since_poll_ = 0;
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
  return counters_.events - events_at_poll_ + other_work_since_poll_ >= most ||
         last_coarse_ - last_poll_ > options_.time_per_turn;
}

bool LoopManager::work_left() const noexcept {
  return !ready_.empty() || !deferred_.empty() || !dirty_.empty() || !pause_changed_.empty() || timers_due_;
}

bool LoopManager::all_flushed() const noexcept {
  return std::all_of(drains_.slots.begin(), drains_.slots.end(),
                     [](const auto& slot) { return slot.item() == nullptr || slot.item()->empty(); });
}

bool LoopManager::anything_to_wait_for() noexcept {
  return sources_.count > background_sources_ || holds_ != 0 || timers_.next() != kNever || !all_flushed();
}

// --- running ---

EventRef LoopManager::wait(Duration timeout) {
  EventRef event;
  go_on(timeout, [&] {
    if (!in_turn_) begin_turn();
    event = next_event();
    if (event == nullptr) end_turn();
    return event == nullptr;
  });
  return event;
}

void LoopManager::run_for(Duration time) {
  const bool limited = time != Duration::zero() && time != Duration::max();
  const TimePoint end = limited ? deadline_after(now(), time) : kNever;
  go_on(time, [&] {
    serve_turn();
    return last_coarse_ < end;
  });
}

// Turn after turn, until one says that it is enough, or there is nothing to do for so long.
template <typename Turn>
void LoopManager::go_on(Duration time, Turn&& turn) noexcept {
  TimePoint deadline = kNever;
  for (bool polled = false;;) {
    if (!deferred_.empty()) run_deferred();
    if (!turn() || stopping_) return;
    if (work_left()) {
      if (timers_due_ || poll_is_due()) poll(TimePoint::min());
      continue;
    }
    if (!anything_to_wait_for()) return;
    // The clock is read only now, when there is nothing to do; and what is ready is looked at once in any case.
    if (time != Duration::max()) {
      const bool something_came = time == Duration::zero() && counters_.events != events_at_poll_;
      if (polled && !something_came && now() >= deadline) return;
      if (!polled) deadline = deadline_after(now(), time);
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
  run_for(Duration::max());
  announce_stop();
  while (!finished()) poll(next_look_at_end());
  return exit_code_;
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
  share_end_ = 0;
  poller_->set_active(false);
  poller_->drive(nullptr);
  if (!stop_announced_) lifecycle_.process_exit(*this, exit_code_);
}

TimePoint LoopManager::driven_turn() noexcept {
  take_remote();
  timers_due_ = timers_.next() != kNever && timers_.expire(now(), kTimersPerPoll) == kTimersPerPoll;
  last_coarse_ = last_poll_ = poller_->coarse_now();
  if (!deferred_.empty()) run_deferred();
  serve_turn();
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

void LoopManager::dispatch(EventRef event) noexcept { process(*event); }

// To look at the clock costs as much as the rest of an event whose handler does next to nothing. So where events take
// less than a microsecond each several are timed together; where they take longer, each by itself.
[[gnu::always_inline]] inline void LoopManager::process(Event& event) noexcept {
  ++counters_.events;
  if (!quick_) return process_timed(event);
  lifecycle_.event_handle(event);
  handle(event);
  lifecycle_.event_done(event);
  if (counters_.events >= next_look_) look_for_slow_events();
}

void LoopManager::process_timed(Event& event) noexcept {
  const TimePoint began = last_coarse_ = poller_->coarse_now();
  lifecycle_.event_handle(event);
  handle(event);
  lifecycle_.event_done(event);
  look_at_clock();
  const Duration took = last_coarse_ - began;
  if (took > options_.slow_handler) report_slow(event, took);
}

void LoopManager::look_for_slow_events() noexcept {
  const TimePoint began = last_coarse_;
  look_at_clock();
  const Duration took = last_coarse_ - began;
  if (took > options_.slow_handler) report_slow_events(took);
}

void LoopManager::look_at_clock() noexcept {
  last_coarse_ = poller_->coarse_now();
  next_look_ = counters_.events + kUntimedEvents;
  if (last_coarse_ - source_began_ > options_.time_per_turn) share_end_ = last_event_id_;
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
    share_end_ = 0;
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

}  // namespace snowfox
