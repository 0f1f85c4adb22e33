#pragma once

#include <cstdint>
#include <string>
#include <system_error>

#include <snowfox/core/event.h>
#include <snowfox/core/id.h>
#include <snowfox/core/intrusive_list.h>

namespace snowfox {

class LoopManager;

/// Takes the events of a source whose turn it is; see EventSource::parse_all.
class EventSink {
 public:
  /// Handles `event` now, and runs what was deferred meanwhile. False: the source has to return at once, for its share
  /// of the turn is used up, it is paused, or the loop ends; it may even be gone. The event stays the caller's, who may
  /// use it again for the next one.
  [[nodiscard]] bool handle(Event& event) noexcept;

 private:
  friend class LoopManager;
  explicit EventSink(LoopManager& loop) noexcept : loop_(loop) {}
  LoopManager& loop_;
};

/// Where events come from. When something has happened the source says so with ready(); the loop then asks it until it
/// has nothing more or its share of the turn is used up, and handles each event before the next one is made.
///
/// A source belongs to the loop it was made with from construction to destruction. Either its maker owns it, or the
/// loop does, by LoopManager::add.
class EventSource : public ListNode<EventSource> {
 public:
  virtual ~EventSource();
  EventSource(const EventSource&) = delete;
  EventSource& operator=(const EventSource&) = delete;

  /// The next event, or null if there is none now: then ready() must be called when there is one again. CleanExit and
  /// AbortError end the loop; after std::bad_alloc the source is asked again a little later; anything else that it
  /// throws ends this source alone: fail() is called with it.
  virtual EventRef parse() = 0;

  /// Gives `sink` all its events, one after the other, until it has none or the sink has enough: the same as asking
  /// parse() again and again, which is what it does unless overridden. A source of many small events may give them
  /// without an object of its own for each. Exceptions as in parse().
  virtual void parse_all(EventSink& sink);

  /// The descriptor it waits for, or -1 if it does not wait for one.
  virtual int fd() const noexcept { return -1; }
  /// What status and log lines call it: a kind and what it is about, such as `listener tcp:127.0.0.1:7000`. Made when
  /// asked for.
  virtual std::string name() const = 0;

  SourceId id() const noexcept { return id_; }
  LoopManager& loop() const noexcept { return loop_; }
  /// A paused source is not asked for events: a drain that is bound to it is above its high watermark, or pause() was
  /// called.
  bool paused() const noexcept { return pauses_ != 0 && !last_words_; }
  /// Stops asking it for events until resume(). Calls nest, also with those of drains.
  void pause() noexcept;
  void resume() noexcept;

  /// Whether it is in the background: then the loop does not go on for its sake alone. Off unless set.
  bool background() const noexcept { return background_; }
  void set_background(bool background) noexcept;

 protected:
  explicit EventSource(LoopManager& loop);

  /// Says that parse() may have something. May be called at any time, also when it is known already.
  void ready() noexcept {
    if (!ready_) become_ready();
  }
  /// The same for a source that ends: from now on nothing pauses it, so that its last event comes.
  void ready_to_end() noexcept;

 private:
  friend class Channel;
  friend class EventDrain;
  friend class LoopManager;
  friend class SourceBell;

  // In the list of those that are to be asked.
  using ListNode<EventSource>::linked;
  using ListNode<EventSource>::unlink;

  void become_ready() noexcept;
  void pause_for_drain() noexcept {
    ++drain_pauses_;
    pause();
  }
  void resume_for_drain() noexcept {
    --drain_pauses_;
    resume();
  }

  /// Its descriptor can be read: by default ready().
  virtual void on_readable() noexcept { ready(); }
  /// It was paused or resumed: called at most once a turn, at its end, with what holds then. A source that watches a
  /// descriptor stops or goes on watching.
  virtual void on_pause_changed() noexcept {}
  /// Nothing will be asked of it any more: it is to let go of what it watches.
  virtual void on_removed() noexcept {}
  /// The loop is about to end, only drains are still flushed: what takes on new work stops.
  virtual void on_stopping() noexcept {}
  /// It cannot go on: its drain has failed, or parse() has thrown. By default the loop removes it; whoever
  /// overrides this does so itself, now or after a last event.
  virtual void fail(std::error_code error) noexcept;

  LoopManager& loop_;
  SourceId id_ = kNoSource;
  std::uint32_t pauses_ = 0;
  std::uint32_t drain_pauses_ = 0;    // of those, by drains
  bool ready_ = false;                // has something, though it may be paused
  bool hushed_ = false;               // paused because the loop ends
  bool pause_listed_ : 1 = false;     // among those to be told that they were paused or resumed
  bool pause_announced_ : 1 = false;  // what on_pause_changed() was told last
  bool owned_ : 1 = false;            // by the loop
  bool background_ : 1 = false;
  bool last_words_ : 1 = false;  // no pause counts any more
};

/// By which other threads say that a source has something: a part of each source that they give something to.
class SourceBell : private ListNode<SourceBell> {
 public:
  /// `source` is what this is a part of.
  explicit SourceBell(EventSource& source) noexcept : source_(source) {}
  ~SourceBell();

  /// The source's ready(). May be called from any thread, as long as the source lives.
  void ring() noexcept;

 private:
  friend class LoopManager;
  friend class IntrusiveList<SourceBell, SourceBell>;
  EventSource& source_;
};

}  // namespace snowfox
