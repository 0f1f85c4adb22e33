#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>

namespace snowfox {

/// Why a connection or a wait ended, where errno has no word for it.
enum class Errc {
  EndOfStream = 1,   ///< the peer has closed its side
  FrameTooLarge,     ///< a frame longer than the limit was announced
  BadFrame,          ///< bytes that are no frame of the protocol
  TruncatedFrame,    ///< the peer has closed its side in the middle of a frame
  IdleTimeout,       ///< nothing was received for the connection's idle timeout
  FrameTimeout,      ///< a frame was begun and not completed in time
  DrainStalled,      ///< the peer took nothing of what was written for the stall timeout
  DrainOverflow,     ///< more was enqueued than the drain's hard limit
  DeadlineExceeded,  ///< the answer did not come, or the work was not begun, in time
  PromiseBroken,     ///< whoever should have settled a promise is gone
  DuplicateId,       ///< a promise is already kept under this correlation id
  TypeMismatch,      ///< the value is not of the type the promise was kept with
  AlreadySettled,    ///< a promise was settled a second time
  ShuttingDown,      ///< the process ends and takes on nothing more
  LimitReached,      ///< a queue, table or pool is full
};

const std::error_category& snowfox_category() noexcept;
std::error_code make_error_code(Errc code) noexcept;

/// Thrown from a handler: ends the loop in order. Listeners close, drains flush within a deadline, exit code 0.
class CleanExit : public std::exception {
 public:
  const char* what() const noexcept override { return "clean exit"; }
};

/// Thrown from a handler: ends the loop at once with a critical log line and exit code 1.
class AbortError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Thrown by a protocol's parser: what was received makes no sense. Ends that connection only.
class ProtocolError : public std::system_error {
 public:
  ProtocolError(Errc code, const std::string& what);
};

/// The one-line text of an exception, whatever was thrown.
std::string describe(const std::exception_ptr& error);
/// The code of an exception: its own, std::errc::not_enough_memory of std::bad_alloc, else Errc::BadFrame.
std::error_code code_of(const std::exception_ptr& error) noexcept;

/// std::system_error with `code`; std::bad_alloc if there is no memory for that. For what must end with an error and
/// may not throw one.
std::exception_ptr make_error(std::error_code code) noexcept;
/// The same with what `text()` gives, or without if there is no memory for the text.
template <typename Text>
std::exception_ptr make_error(std::error_code code, const Text& text) noexcept {
  try {
    return std::make_exception_ptr(std::system_error(code, text()));
  } catch (...) {
    return make_error(code);
  }
}

}  // namespace snowfox

template <>
struct std::is_error_code_enum<snowfox::Errc> : std::true_type {};
