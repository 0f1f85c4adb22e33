#pragma once

#include <sys/types.h>

#include <vector>

namespace snowfox::node {

/// All groups that `user` is in, as the system's databases say, and `group`.
std::vector<gid_t> groups_of(const char* user, gid_t group);

}  // namespace snowfox::node
