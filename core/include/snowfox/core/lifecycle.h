#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace snowfox {

class Audit;
class Event;
class EventDrain;
class Explanation;
class LoopManager;
struct Step;

/// A list of functions to call at one moment of the loop's life. Nobody listening costs one comparison.
template <typename... Arguments>
class Hook {
 public:
  using Function = std::function<void(Arguments...)>;

  /// Calls `function` each time from now on, after those that came before, until the token is destroyed. The token may
  /// outlive the hook. `function` must not throw.
  class Token;
  [[nodiscard]] Token add(Function function) {
    auto entry = std::make_shared<Function>(std::move(function));
    // A moment that does not come for long, as the end, must not collect those who have gone meanwhile.
    if (depth_ == 0 && functions_.size() == functions_.capacity()) {
      forget_gone();
      // Room for as many again, or the next few would each look through all.
      functions_.reserve(2 * functions_.size() + 1);
    }
    functions_.push_back(entry);
    any_ = true;
    return Token(std::move(entry));
  }

  bool empty() const noexcept { return !any_; }
  /// How many it remembers, some of which may have gone.
  std::size_t size() const noexcept { return functions_.size(); }
  void operator()(Arguments... arguments) {
    if (empty()) return;
    call(arguments...);
  }

  class Token {
   public:
    Token() = default;

   private:
    friend class Hook;
    explicit Token(std::shared_ptr<Function> entry) : entry_(std::move(entry)) {}
    std::shared_ptr<Function> entry_;  // the hook holds it weakly: both may go first
  };

 private:
  void call(Arguments... arguments) {
    // A function may add others, drop tokens or call the hook again while it runs: those added now are called from the
    // next time on.
    const std::size_t count = functions_.size();
    bool gone = false;
    ++depth_;
    for (std::size_t i = 0; i < count; ++i) {
      if (auto function = functions_[i].lock()) {
        (*function)(arguments...);
      } else {
        gone = true;
      }
    }
    // A call further out still goes by its count.
    if (--depth_ == 0 && gone) forget_gone();
  }
  void forget_gone() noexcept {
    std::erase_if(functions_, [](const auto& function) { return function.expired(); });
    any_ = !functions_.empty();
  }

  std::vector<std::weak_ptr<Function>> functions_;  // some of them gone
  bool any_ = false;                                // whether it has any: what the loop asks at each event
  unsigned depth_ = 0;
};

/// The moments at which metrics, tracing and inspection can look on.
struct Lifecycle {
  Hook<LoopManager&> process_init;               ///< run() begins
  Hook<LoopManager&, int> process_exit;          ///< run() ends, with this exit code; drains are still flushed
  Hook<Event&> event_initialise;                 ///< the loop has taken hold of an event
  Hook<Event&> event_handle;                     ///< handle() is about to be called
  Hook<Event&, std::exception_ptr> event_error;  ///< handle() has thrown, before rescue()
  Hook<Event&> event_done;                       ///< handled, or rescued, or given up
  Hook<EventDrain&, std::size_t> drain_enqueue;  ///< so many bytes were enqueued
  Hook<EventDrain&, std::size_t> drain_flush;    ///< so many bytes were taken
  Hook<EventDrain&, std::size_t> drain_drop;     ///< so many bytes will not be flushed any more
  Hook<const Step&> step;                        ///< what goes by a correlation id has come a step further
  Hook<Explanation&> explain;                    ///< LoopManager::explain() asks each part what it knows
  Hook<Audit&> audit;                            ///< LoopManager::audit() asks each part for its own books
};

}  // namespace snowfox
