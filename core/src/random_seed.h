#pragma once

#include <cstdint>

namespace snowfox {

/// 64 bits that nobody can guess. Throws std::system_error if the system has none.
std::uint64_t random_seed();

}  // namespace snowfox
