#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <snowfox/core/io.h>

namespace snowfox::node {

/// Writes `content` to `path` so that whoever reads it, whenever this process is killed, finds either all of it or what
/// was there before. It is not synced: what it says is of no use after the next boot, see boot_id(). Mode 0600. Throws
/// std::system_error that names the path.
void write_state_file(Io& io, const std::string& path, std::string_view content);

/// What it holds; nothing if it is not there, cannot be read, or is larger than 16 MiB.
std::optional<std::string> read_state_file(Io& io, const std::string& path);

/// Names the time since the system was booted: what was written down under another has ended.
std::string boot_id(Io& io);

}  // namespace snowfox::node
