#pragma once

#include <sys/types.h>

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <snowfox/context/notifier.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/timer.h>

namespace snowfox {

/// Tells the service manager how the process is without ever waiting for it: what a busy one does not take now is told
/// again soon, in order. A status takes the place of an older one, a sign of life that comes too late is left out.
///
/// That it cannot be told is logged once, and again only after it could be.
class ServiceNotifier {
 public:
  /// So many wait for a manager that does not listen; then the oldest goes.
  static constexpr std::size_t kMostUntold = 16;

  /// `loop` must outlive it.
  ServiceNotifier(LoopManager& loop, Notifier notifier) : loop_(loop), notifier_(std::move(notifier)) {}
  ServiceNotifier(const ServiceNotifier&) = delete;
  ServiceNotifier& operator=(const ServiceNotifier&) = delete;

  bool connected() const noexcept { return notifier_.connected(); }
  Duration watchdog() const noexcept { return notifier_.watchdog(); }

  void ready() noexcept { tell(&Notifier::ready_state); }
  /// The same, and that this is the process to watch, whichever was started.
  void ready_as(pid_t main_process) noexcept;
  void reloading() noexcept { tell(&Notifier::reloading_state); }
  void stopping() noexcept { tell(&Notifier::stopping_state); }
  /// A line for people. What was said already is not said again.
  void status(std::string_view text) noexcept;
  void alive() noexcept;

 private:
  struct Again final : Timer {
    explicit Again(ServiceNotifier& whose) noexcept : notifier(whose) {}
    void expire() noexcept override { notifier.tell_again(); }
    ServiceNotifier& notifier;
  };

  void tell(std::string (*state)()) noexcept;
  void tell(std::string state);
  void tell_again() noexcept;
  std::error_code send(const std::string& state) noexcept;
  void warn(std::error_code error, std::string_view state) noexcept;

  LoopManager& loop_;
  Notifier notifier_;
  std::deque<std::string> untold_;
  std::string status_;
  bool warned_ = false;
  Again again_{*this};
};

}  // namespace snowfox
