#pragma once

#include <cstdint>

namespace snowfox {

/// Names a source or a drain in its loop. A value that is never used again: once what it names is gone, looking it up
/// gives null, so an id may be kept where a pointer must not.
enum class SourceId : std::uint64_t {};
enum class DrainId : std::uint64_t {};

inline constexpr SourceId kNoSource{0};
inline constexpr DrainId kNoDrain{0};

}  // namespace snowfox
