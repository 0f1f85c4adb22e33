#pragma once

#include <deque>
#include <functional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <snowfox/core/event_source.h>

namespace snowfox {

/// A source that gives what a test has put in, and remembers what the loop did to it.
class ScriptedSource : public EventSource {
 public:
  explicit ScriptedSource(LoopManager& loop, std::string name = "scripted")
      : EventSource(loop), name_(std::move(name)) {}
  ~ScriptedSource() override {
    if (on_destroyed) on_destroyed();
  }

  /// One more event, which calls `handler`.
  void give(std::function<void()> handler) { give(make_event(std::move(handler))); }
  void give(EventRef event) {
    events_.push_back(std::move(event));
    ready();
  }
  std::size_t waiting() const noexcept { return events_.size(); }

  EventRef parse() override {
    ++parses;
    if (on_parse) on_parse();
    if (events_.empty()) return nullptr;
    EventRef event = std::move(events_.front());
    events_.pop_front();
    return event;
  }
  std::string name() const override { return name_; }

  using EventSource::ready;
  using EventSource::ready_to_end;
  void ready_from_any_thread() noexcept { bell_.ring(); }

  std::function<void()> on_parse;
  std::function<void()> on_pauses;  // after each change
  std::function<void()> on_destroyed;
  std::size_t parses = 0;
  std::vector<bool> pauses_told;
  std::vector<std::error_code> failures;
  bool removed = false;
  bool stopping = false;
  bool survives_failure = false;

 private:
  void on_pause_changed() noexcept override {
    pauses_told.push_back(paused());
    if (on_pauses) on_pauses();
  }
  void on_removed() noexcept override { removed = true; }
  void on_stopping() noexcept override { stopping = true; }
  void fail(std::error_code error) noexcept override {
    failures.push_back(error);
    if (!survives_failure) loop().remove(id());
  }

  SourceBell bell_{*this};
  std::string name_;
  std::deque<EventRef> events_;
};

}  // namespace snowfox
