#include <snowfox/context/notifier.h>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <utility>

#include <snowfox/core/io.h>

namespace snowfox {
namespace {

std::string take_variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return {};
  std::string text(value);
  ::unsetenv(name);
  return text;
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

std::error_code last_error() { return {errno, std::system_category()}; }

}  // namespace

Notifier::Notifier(std::string socket, Duration watchdog) : socket_(std::move(socket)), watchdog_(watchdog) {}

Notifier Notifier::from_environment() {
  std::string socket = take_variable("NOTIFY_SOCKET");
  const std::string microseconds = take_variable("WATCHDOG_USEC");
  const std::string pid = take_variable("WATCHDOG_PID");
  Duration watchdog = Duration::zero();
  if (pid.empty() || number(pid) == static_cast<std::uint64_t>(::getpid())) {
    constexpr std::uint64_t kLongest = std::chrono::duration_cast<std::chrono::microseconds>(Duration::max()).count();
    watchdog = std::chrono::microseconds(std::min(number(microseconds), kLongest));
  }
  return Notifier(std::move(socket), watchdog);
}

std::string Notifier::reloading_state() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return "RELOADING=1\nMONOTONIC_USEC=" + std::to_string(std::int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000);
}

std::string Notifier::status_state(std::string_view text) {
  std::string state = "STATUS=";
  for (const char c : text.substr(0, 1000)) state += static_cast<unsigned char>(c) < ' ' || c == 0x7f ? ' ' : c;
  return state;
}

std::error_code Notifier::send(std::string_view state) const noexcept {
  if (socket_.empty()) return {};
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if ((socket_[0] != '/' && socket_[0] != '@') || socket_.size() < 2 || socket_.size() >= sizeof address.sun_path) {
    return std::make_error_code(std::errc::invalid_argument);
  }
  std::memcpy(address.sun_path, socket_.data(), socket_.size());
  if (socket_[0] == '@') address.sun_path[0] = '\0';

  const Descriptor sender(Io::system(), ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!sender) return last_error();
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
  const ssize_t sent = ::sendto(sender.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                                reinterpret_cast<const sockaddr*>(&address), size);
  return sent < 0 ? last_error() : std::error_code();
}

}  // namespace snowfox
