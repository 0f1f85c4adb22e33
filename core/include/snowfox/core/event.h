#pragma once

#include <cstdint>
#include <exception>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

#include <snowfox/core/clock.h>
#include <snowfox/core/correlation_id.h>
#include <snowfox/core/id.h>
#include <snowfox/core/pool.h>

namespace snowfox {

class EventDrain;
class LoopManager;

/// Something that has happened and what is to be done about it. A source makes it, the loop handles it at once, on its
/// own thread; whoever wants to handle it later keeps the EventRef.
class Event : public Pooled {
 public:
  /// `id` joins it with the other events of its chain; `drain` is where an answer goes.
  explicit Event(const CorrelationId& id, DrainId drain = kNoDrain) noexcept : correlation_id_(id), drain_id_(drain) {}
  /// It belongs to no chain, or will be told to which.
  explicit Event(DrainId drain) noexcept : drain_id_(drain) {}
  /// Nobody is answered either.
  Event() noexcept = default;
  virtual ~Event() = default;
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;

  /// Does what is to be done. Must not block. CleanExit and AbortError end the loop; any other exception goes to
  /// rescue().
  virtual void handle() = 0;

  /// Called with what handle() threw, or with Errc::DeadlineExceeded if the deadline had passed before it began. The
  /// default throws it again: the loop then logs it, counts it and goes on.
  virtual void rescue(std::exception_ptr error);

  /// What log lines call this kind of event. The default is the class's name.
  virtual std::string_view name() const noexcept;

  /// Unique in its loop, given when the loop first takes hold of it; 0 before.
  std::uint64_t id() const noexcept { return id_; }
  const CorrelationId& correlation_id() const noexcept { return correlation_id_; }

  /// Past this time handle() is not begun. kNever unless set.
  TimePoint deadline() const noexcept { return deadline_; }
  void set_deadline(TimePoint deadline) noexcept { deadline_ = deadline; }

  DrainId drain_id() const noexcept { return drain_id_; }
  /// Where an answer goes: the loop's NullDrain if there is none, or none any more. Only for an event that a loop has
  /// taken hold of.
  EventDrain& drain() const noexcept;
  /// The loop that handles it. Only for an event that a loop has taken hold of.
  LoopManager& loop() const noexcept { return *loop_; }

 protected:
  void set_correlation_id(const CorrelationId& id) noexcept { correlation_id_ = id; }
  /// False, and it has the id it had, if `text` spells none.
  bool set_correlation_id(std::string_view text) noexcept { return correlation_id_.set(text); }

 private:
  friend class EventQueue;
  friend class LoopManager;

  Event* next_ = nullptr;  // in a queue
  LoopManager* loop_ = nullptr;
  std::uint64_t id_ = 0;
  TimePoint deadline_ = kNever;
  CorrelationId correlation_id_;
  DrainId drain_id_ = kNoDrain;
};

/// An event has one holder at a time. Null where there is none.
using EventRef = std::unique_ptr<Event>;

/// What an event made of a function is besides.
struct EventOptions {
  CorrelationId id{};          ///< joins it with the other events of its chain
  DrainId drain = kNoDrain;    ///< where an answer goes
  std::string_view name = {};  ///< in log lines; borrowed, so normally a literal. Empty: the function's type
};

/// An event that calls a function: for what is too small to be a class.
template <typename Function>
class FunctionEvent final : public Event {
 public:
  template <typename F>
  explicit FunctionEvent(F&& function, const EventOptions& options = {})
      : Event(options.id, options.drain), function_(std::forward<F>(function)), name_(options.name) {}
  void handle() override {
    if constexpr (std::is_invocable_v<Function&, Event&>) {
      function_(*this);
    } else {
      function_();
    }
  }
  std::string_view name() const noexcept override { return name_.empty() ? Event::name() : name_; }

 private:
  Function function_;
  std::string_view name_;
};

/// An event that calls `function` when it is handled, with the event itself if it takes an `Event&`:
///
///     make_event([](Event& event) { event.drain().enqueue("pong\n"); }, {.drain = client, .name = "Ping"})
template <typename F>
EventRef make_event(F&& function, const EventOptions& options = {}) {
  return std::make_unique<FunctionEvent<std::decay_t<F>>>(std::forward<F>(function), options);
}

}  // namespace snowfox
