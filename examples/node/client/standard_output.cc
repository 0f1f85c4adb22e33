#include "client/standard_output.h"

#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace snowfox::node {

void print(std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "standard output");
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace snowfox::node
