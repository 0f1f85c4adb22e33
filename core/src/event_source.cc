#include <snowfox/core/event_source.h>

#include <snowfox/core/loop_manager.h>

namespace snowfox {

EventSource::EventSource(LoopManager& loop) : loop_(loop) { loop_.attach_source(*this); }

EventSource::~EventSource() { loop_.detach_source(*this); }

void EventSource::parse_all(EventSink& sink) {
  while (const EventRef event = parse()) {
    if (!sink.handle(*event)) return;
  }
}

void EventSource::become_ready() noexcept { loop_.source_ready(*this); }

void EventSource::ready_to_end() noexcept {
  const bool was_paused = paused();
  last_words_ = true;
  if (was_paused) loop_.source_resumed(*this);
  ready();
}

void EventSource::pause() noexcept {
  if (pauses_++ == 0 && !last_words_) loop_.source_paused(*this);
}

void EventSource::resume() noexcept {
  if (--pauses_ == 0 && !last_words_) loop_.source_resumed(*this);
}

void EventSource::set_background(bool background) noexcept {
  if (background == background_ || id_ == kNoSource) return;
  background_ = background;
  if (background) {
    ++loop_.background_sources_;
  } else {
    --loop_.background_sources_;
  }
}

void EventSource::fail(std::error_code) noexcept { loop_.remove(id_); }

SourceBell::~SourceBell() { source_.loop_.take_down(*this); }

void SourceBell::ring() noexcept { source_.loop_.rung(*this); }

}  // namespace snowfox
