#pragma once

namespace snowfox {

/// Built with the address sanitizer: slower, and with needs of its own.
#if defined(__has_feature)
inline constexpr bool kSanitized = __has_feature(address_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace snowfox
