#pragma once

#include <string>
#include <string_view>
#include <system_error>

#include <snowfox/core/clock.h>

namespace snowfox {

/// Tells the service manager that started the process how it is, by the protocol of sd_notify(3): systemd's, which
/// containers and other supervisors understand, too. Without such a manager nobody is told, and nothing fails. A
/// program that has a loop uses a ServiceNotifier, as Process does.
class Notifier {
 public:
  /// Tells nobody.
  Notifier() = default;
  /// Tells who reads datagrams at `socket`: a path, or after a `@` the name of an abstract socket. A sign of life is
  /// expected at least every `watchdog`; zero: not at all.
  explicit Notifier(std::string socket, Duration watchdog = Duration::zero());
  /// As $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID say. They are removed, so that children do not speak for this
  /// process.
  static Notifier from_environment();

  bool connected() const noexcept { return !socket_.empty(); }
  /// The longest silence before the manager takes the process for dead; zero if it does not watch.
  Duration watchdog() const noexcept { return watchdog_; }

  /// Sends one datagram, such as one of the states below. Never waits: of a manager that is busy the error is
  /// std::errc::resource_unavailable_try_again.
  std::error_code send(std::string_view state) const noexcept;

  static std::string ready_state() { return "READY=1"; }
  /// With the time, by which a manager knows which READY is the answer.
  static std::string reloading_state();
  static std::string stopping_state() { return "STOPPING=1"; }
  /// A line for people; control characters become blanks.
  static std::string status_state(std::string_view text);

 private:
  std::string socket_;
  Duration watchdog_ = Duration::zero();
};

}  // namespace snowfox
