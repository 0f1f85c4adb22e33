#include "spawner/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

namespace snowfox::node {
namespace {

constexpr std::uint32_t kNeeded = 1U << CAP_DAC_READ_SEARCH | 1U << CAP_KILL | 1U << CAP_SETGID | 1U << CAP_SETUID;

}  // namespace

void keep_only_needed_capabilities() {
  if (::geteuid() != 0) return;
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) {
    throw std::system_error(errno, std::system_category(), "read capabilities");
  }
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  // A container may have less to begin with.
  sets[0].permitted &= kNeeded;
  sets[1].permitted = 0;
  for (auto& set : sets) {
    set.effective = set.permitted;
    set.inheritable = 0;
  }
  if (::syscall(SYS_capset, &header, sets.data()) != 0) {
    throw std::system_error(errno, std::system_category(), "drop capabilities");
  }
}

}  // namespace snowfox::node
