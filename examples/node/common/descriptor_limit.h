#pragma once

#include <sys/resource.h>

namespace snowfox::node {

/// Lets this process have as many descriptors as it may: each client and each service takes some, and the lower limit
/// is there for programs that use select(2). Gives the lower limit, for children who may be such a program.
rlim_t raise_descriptor_limit() noexcept;

}  // namespace snowfox::node
