#pragma once

#include <termios.h>

#include <snowfox/core/io.h>

namespace snowfox {

/// Sees to it that a terminal is left as it was found: when this object is destroyed, at exit(), and while the process
/// is stopped. Also tells when the terminal's size has changed or the process was continued. Signal handlers must find
/// it, so there is one at a time.
class TerminalMode {
 public:
  /// Throws std::system_error if `terminal` is none.
  explicit TerminalMode(int terminal);
  ~TerminalMode();
  TerminalMode(const TerminalMode&) = delete;
  TerminalMode& operator=(const TerminalMode&) = delete;

  /// How the terminal was found.
  const termios& original() const noexcept;
  /// Whether it is in another mode now.
  void set_editing(bool editing) noexcept;

  /// Readable when something has changed.
  int event_fd() const noexcept;
  struct Changes {
    bool resized = false;
    bool continued = false;
  };
  Changes take_changes() noexcept;

 private:
  Descriptor wake_;
};

}  // namespace snowfox
