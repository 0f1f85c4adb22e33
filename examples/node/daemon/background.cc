#include "daemon/background.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace snowfox::node {
namespace {

constexpr char kReady = '\0';  // no reason begins with it

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::system_category(), what); }

void write_all(int fd, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// Waits for what the daemon reports, and ends as that says.
[[noreturn]] void wait_and_exit(int report) noexcept {
  std::string text;
  std::array<char, 1024> part;
  for (;;) {
    const ssize_t count = ::read(report, part.data(), part.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(count));
    if (text.front() == kReady) _exit(EXIT_SUCCESS);
  }
  if (text.empty()) text = "the daemon ended before it was ready";
  write_all(STDERR_FILENO, "snow-fox-daemon: " + text + "\n");
  _exit(EXIT_FAILURE);
}

void leave_terminal() {
  const Descriptor null(Io::system(), ::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) fail("open /dev/null");
  for (int fd = 0; fd <= 2; ++fd) {
    if (fd == STDIN_FILENO || ::isatty(fd) != 0) ::dup2(null.get(), fd);
  }
}

/// What is said for the process that was started is for us, who go on in its place.
void take_over_variables(pid_t starter) {
  for (const char* name : {"LISTEN_PID", "WATCHDOG_PID"}) {
    const char* pid = std::getenv(name);
    if (pid != nullptr && pid == std::to_string(starter)) ::setenv(name, std::to_string(::getpid()).c_str(), 1);
  }
}

}  // namespace

Background Background::enter() {
  const pid_t starter = ::getpid();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) fail("make a pipe");
  Descriptor reader(Io::system(), ends[0]);
  Descriptor writer(Io::system(), ends[1]);
  const pid_t child = ::fork();
  if (child < 0) fail("fork");
  if (child > 0) {
    writer.reset();
    wait_and_exit(reader.get());
  }
  ::setsid();
  // The leader of a session might come to have a terminal again; its child cannot.
  const pid_t daemon = ::fork();
  if (daemon < 0) fail("fork");
  if (daemon > 0) _exit(EXIT_SUCCESS);
  leave_terminal();
  take_over_variables(starter);
  return Background(std::move(writer));
}

void Background::ready() noexcept {
  write_all(report_.get(), std::string_view(&kReady, 1));
  report_.reset();
}

bool Background::failed(const std::string& reason) noexcept {
  if (!report_) return false;
  write_all(report_.get(), reason);
  report_.reset();
  return true;
}

}  // namespace snowfox::node
