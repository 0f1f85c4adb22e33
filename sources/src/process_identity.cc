#include <snowfox/sources/process_identity.h>

#include <fcntl.h>

#include <array>
#include <charconv>
#include <csignal>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include <snowfox/sources/child_io.h>

namespace snowfox {
namespace {

/// The number of the fields before the start time and after the name, which may itself hold any character (proc(5)).
constexpr int kFieldsBetween = 19;

std::optional<std::uint64_t> start_of(std::string_view stat) {
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  std::size_t at = name_end + 1;
  for (int field = 0; field < kFieldsBetween; ++field) {
    at = stat.find(' ', at + 1);
    if (at == std::string_view::npos) return std::nullopt;
  }
  std::uint64_t ticks = 0;
  const auto [end, error] = std::from_chars(stat.data() + at + 1, stat.data() + stat.size(), ticks);
  if (error != std::errc()) return std::nullopt;
  return ticks;
}

}  // namespace

std::optional<ProcessIdentity> identify_process(Io& io, pid_t pid) noexcept try {
  if (pid <= 0) return std::nullopt;
  const Descriptor file(io, io.open("/proc/" + std::to_string(pid) + "/stat", O_RDONLY));
  if (!file) return std::nullopt;
  std::array<char, 2048> text{};
  const ssize_t size = io.read(file.get(), std::as_writable_bytes(std::span(text)));
  if (size <= 0) return std::nullopt;
  const auto start = start_of(std::string_view(text.data(), static_cast<std::size_t>(size)));
  if (!start) return std::nullopt;
  return ProcessIdentity{pid, *start};
} catch (const std::exception&) {
  return std::nullopt;
}

void kill_left_group(Io& io, const ProcessIdentity& leader) noexcept {
  if (leader.pid <= 1) return;  // to kill(2) these are other things than groups
  const auto there = identify_process(io, leader.pid);
  if (there && *there != leader) return;
  ChildIo& children = io.children() != nullptr ? *io.children() : ChildIo::system();
  children.signal_group(leader.pid, SIGKILL);
}

}  // namespace snowfox
