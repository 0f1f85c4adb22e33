#pragma once

#include <cstddef>
#include <string_view>

namespace snowfox::node {

inline constexpr std::size_t kMaxServiceIdBytes = 64;

/// Whether `id` may be a service's: 1 to 64 letters, digits and `.-_@+`, not first a dot. It names files, so nothing
/// else is let in.
bool is_service_id(std::string_view id) noexcept;

}  // namespace snowfox::node
