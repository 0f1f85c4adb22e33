#include "common/state_file.h"

#include <fcntl.h>
#include <sys/uio.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <span>
#include <system_error>

namespace snowfox::node {
namespace {

constexpr std::size_t kMaxBytes = 16U << 20;

[[noreturn]] void fail(ssize_t error, const std::string& what) {
  throw std::system_error(static_cast<int>(-error), std::system_category(), what);
}

}  // namespace

void write_state_file(Io& io, const std::string& path, std::string_view content) {
  const std::string draft = path + ".new";
  {
    const Descriptor file(io, io.open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
    if (!file) fail(file.get(), "write " + draft);
    while (!content.empty()) {
      // It is only read from.
      const iovec part{const_cast<char*>(content.data()), content.size()};
      const ssize_t written = io.write(file.get(), std::span(&part, 1));
      if (written < 0) {
        io.remove(draft);
        fail(written, "write " + draft);
      }
      content.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  if (const int error = io.rename(draft, path); error != 0) fail(error, "rename " + draft);
}

std::optional<std::string> read_state_file(Io& io, const std::string& path) {
  const Descriptor file(io, io.open(path, O_RDONLY | O_NOFOLLOW));
  if (!file) return std::nullopt;
  std::string content;
  std::array<std::byte, 8192> part;
  for (;;) {
    const ssize_t count = io.read(file.get(), part);
    if (count < 0 || content.size() > kMaxBytes) return std::nullopt;
    if (count == 0) return content;
    content.append(reinterpret_cast<const char*>(part.data()), static_cast<std::size_t>(count));
  }
}

std::string boot_id(Io& io) {
  std::string id = read_state_file(io, "/proc/sys/kernel/random/boot_id").value_or("");
  while (!id.empty() && id.back() == '\n') id.pop_back();
  return id;
}

}  // namespace snowfox::node
