#include "common/groups.h"

#include <grp.h>

#include <cstddef>

namespace snowfox::node {

std::vector<gid_t> groups_of(const char* user, gid_t group) {
  std::vector<gid_t> groups(64);
  int count = static_cast<int>(groups.size());
  while (getgrouplist(user, group, groups.data(), &count) < 0) groups.resize(static_cast<std::size_t>(count));
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

}  // namespace snowfox::node
