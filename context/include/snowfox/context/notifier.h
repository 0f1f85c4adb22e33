#pragma once

#include <string>
#include <string_view>
#include <system_error>

#include <snowfox/core/clock.h>

namespace snowfox {

/// Tells the service manager that started the process how it is, by the protocol of sd_notify(3): systemd's, which
/// containers and other supervisors understand, too. Without such a manager nobody is told, and nothing fails.
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

  // Each gives the error if the manager could not be told.
  std::error_code ready() const noexcept { return send("READY=1", true); }
  std::error_code reloading() const noexcept;
  std::error_code stopping() const noexcept { return send("STOPPING=1", true); }
  /// A line for people; control characters become blanks.
  std::error_code status(std::string_view text) const noexcept;
  std::error_code alive() const noexcept { return send("WATCHDOG=1", false); }

 private:
  /// What is `important` waits up to a second for a manager that is busy.
  std::error_code send(std::string_view state, bool important) const noexcept;

  std::string socket_;
  Duration watchdog_ = Duration::zero();
};

}  // namespace snowfox
