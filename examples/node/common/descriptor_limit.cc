#include "common/descriptor_limit.h"

#include <utility>

namespace snowfox::node {

rlim_t raise_descriptor_limit() noexcept {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return RLIM_INFINITY;
  const rlim_t former = std::exchange(limit.rlim_cur, limit.rlim_max);
  setrlimit(RLIMIT_NOFILE, &limit);
  return former;
}

}  // namespace snowfox::node
