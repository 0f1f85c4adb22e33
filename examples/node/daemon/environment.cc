#include "daemon/environment.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace snowfox::node {
namespace {

constexpr std::array<std::string_view, 12> kKept{
    "LANG",          "LC_ALL",       "LC_TIME",    "TZ",         "XDG_RUNTIME_DIR", "NOTIFY_SOCKET",
    "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",  "INVOCATION_ID"};
constexpr const char* kPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

void clean_variables() {
  std::vector<std::pair<std::string, std::string>> kept;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string_view text(*variable);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = text.substr(0, equals);
    if (std::find(kKept.begin(), kKept.end(), name) != kKept.end()) kept.emplace_back(name, text.substr(equals + 1));
  }
  clearenv();
  for (const auto& [name, value] : kept) setenv(name.c_str(), value.c_str(), 1);
  setenv("PATH", kPath, 1);
}

unsigned number(const char* variable) {
  const char* value = std::getenv(variable);
  const std::string_view text = value == nullptr ? "" : value;
  unsigned number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

/// How many descriptors a service manager has passed to us; what it says may have been for a parent of ours.
unsigned passed_descriptors() { return std::cmp_equal(number("LISTEN_PID"), ::getpid()) ? number("LISTEN_FDS") : 0; }

void open_streams() {
  for (int fd = 0; fd <= 2; ++fd) {
    // open() takes the lowest free number, and those below are open by now.
    if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) < 0) {
      throw std::system_error(errno, std::system_category(), "open /dev/null");
    }
  }
}

}  // namespace

void prepare_environment() {
  open_streams();
  close_range(3 + passed_descriptors(), ~0U, 0);
  clean_variables();
  if (chdir("/") != 0) throw std::system_error(errno, std::system_category(), "enter /");
}

}  // namespace snowfox::node
