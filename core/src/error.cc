#include <snowfox/core/error.h>

#include <typeinfo>

namespace snowfox {
namespace {

class SnowFoxCategory final : public std::error_category {
 public:
  const char* name() const noexcept override { return "snowfox"; }
  std::string message(int code) const override {
    switch (static_cast<Errc>(code)) {
      case Errc::EndOfStream: return "the peer closed the connection";
      case Errc::FrameTooLarge: return "frame larger than the limit";
      case Errc::BadFrame: return "malformed frame";
      case Errc::TruncatedFrame: return "the peer closed the connection in the middle of a frame";
      case Errc::IdleTimeout: return "nothing received for the idle timeout";
      case Errc::FrameTimeout: return "frame not completed in time";
      case Errc::DrainStalled: return "the peer took nothing for the stall timeout";
      case Errc::DrainOverflow: return "more output waits than the drain's hard limit";
      case Errc::DeadlineExceeded: return "deadline exceeded";
      case Errc::PromiseBroken: return "promise broken: whoever should have settled it is gone";
      case Errc::DuplicateId: return "a promise is already kept under this correlation id";
      case Errc::TypeMismatch: return "value of another type than the promise's";
      case Errc::AlreadySettled: return "promise settled already";
      case Errc::ShuttingDown: return "shutting down";
      case Errc::LimitReached: return "limit reached";
    }
    return "unknown error " + std::to_string(code);
  }
};

}  // namespace

const std::error_category& snowfox_category() noexcept {
  static const SnowFoxCategory category;
  return category;
}

std::error_code make_error_code(Errc code) noexcept { return {static_cast<int>(code), snowfox_category()}; }

ProtocolError::ProtocolError(Errc code, const std::string& what) : std::system_error(make_error_code(code), what) {}

std::string describe(const std::exception_ptr& error) {
  if (!error) return "no error";
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& exception) {
    return exception.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

std::exception_ptr make_error(std::error_code code) noexcept {
  try {
    return std::make_exception_ptr(std::system_error(code));
  } catch (...) {
    return std::current_exception();
  }
}

std::error_code code_of(const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const std::system_error& failure) {
    return failure.code();
  } catch (const std::bad_alloc&) {
    return std::make_error_code(std::errc::not_enough_memory);
  } catch (...) {
    return Errc::BadFrame;
  }
}

}  // namespace snowfox
