#include <snowfox/context/drop_privileges.h>

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

namespace snowfox {
namespace {

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::system_category(), what);
}

std::optional<unsigned> number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  // The highest means "leave as it is" to setresuid(2).
  if (error != std::errc() || end != text.data() + text.size() || value == ~0U) return std::nullopt;
  return value;
}

/// Who the process is to be.
struct Identity {
  std::string user_name;  // empty if the user has no entry, or none is asked for
  std::optional<uid_t> user;
  std::optional<gid_t> group;
};

/// Calls one of the getpw*_r and getgr*_r functions with as large a buffer as it needs. False if there is no such
/// entry.
template <typename Entry, typename Call>
bool look_up(Entry& entry, std::vector<char>& buffer, const std::string& what, Call call) {
  for (buffer.resize(4096);; buffer.resize(buffer.size() * 4)) {
    Entry* found = nullptr;
    const int error = call(entry, buffer, found);
    if (error == ERANGE && buffer.size() < (1U << 24)) continue;
    if (error != 0 && error != ENOENT && error != ESRCH) fail(error, what);
    return found != nullptr;
  }
}

void find_user(const std::string& user, Identity& identity) {
  const std::string what = "user '" + user + "'";
  const auto id = number(user);
  passwd entry{};
  std::vector<char> buffer;
  const bool known = look_up(entry, buffer, what, [&](passwd& into, std::vector<char>& space, passwd*& found) {
    return id ? ::getpwuid_r(*id, &into, space.data(), space.size(), &found)
              : ::getpwnam_r(user.c_str(), &into, space.data(), space.size(), &found);
  });
  if (!known && !id) fail(EINVAL, what + " does not exist");
  identity.user = known ? entry.pw_uid : *id;
  if (known) {
    identity.user_name = entry.pw_name;
    identity.group = entry.pw_gid;
  }
}

void find_group(const std::string& group, Identity& identity) {
  const std::string what = "group '" + group + "'";
  identity.group = number(group);
  if (identity.group) return;
  struct group entry {};
  std::vector<char> buffer;
  const bool known =
      look_up(entry, buffer, what, [&](struct group& into, std::vector<char>& space, struct group*& found) {
        return ::getgrnam_r(group.c_str(), &into, space.data(), space.size(), &found);
      });
  if (!known) fail(EINVAL, what + " does not exist");
  identity.group = entry.gr_gid;
}

bool user_is(uid_t user) {
  uid_t real = 0;
  uid_t effective = 0;
  uid_t saved = 0;
  return ::getresuid(&real, &effective, &saved) == 0 && real == user && effective == user && saved == user;
}

bool group_is(gid_t group) {
  gid_t real = 0;
  gid_t effective = 0;
  gid_t saved = 0;
  return ::getresgid(&real, &effective, &saved) == 0 && real == group && effective == group && saved == group;
}

/// Leaves no capability to use, to permit, or to pass on.
void drop_capabilities(const std::string& what) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (::syscall(SYS_capset, &header, sets.data()) != 0) fail(errno, what + ": drop capabilities");
  if (::syscall(SYS_capget, &header, sets.data()) != 0) fail(errno, what + ": read capabilities");
  for (const auto& set : sets) {
    if ((set.effective | set.permitted | set.inheritable) != 0) fail(EPERM, what + ": capabilities are left");
  }
}

}  // namespace

void drop_privileges(const std::string& user, const std::string& group) {
  if (user.empty() && group.empty()) return;
  Identity identity;
  if (!user.empty()) find_user(user, identity);
  if (!group.empty()) find_group(group, identity);
  if (!identity.group) fail(EINVAL, "user " + user + " has no group of its own: name one");

  const bool user_stays = !identity.user || user_is(*identity.user);
  if (::geteuid() != 0 && user_stays && group_is(*identity.group)) return;
  const std::string what = "run as " + (user.empty() ? "" : "user " + user + (group.empty() ? "" : ", ")) +
                           (group.empty() ? "" : "group " + group);
  if (::geteuid() != 0) fail(EPERM, what + ": only root may, and this is user " + std::to_string(::geteuid()));

  const bool by_name = !identity.user_name.empty();
  if ((by_name ? ::initgroups(identity.user_name.c_str(), *identity.group) : ::setgroups(1, &*identity.group)) != 0) {
    fail(errno, what + ": set groups");
  }
  if (::setresgid(*identity.group, *identity.group, *identity.group) != 0) fail(errno, what + ": set group");
  if (!group_is(*identity.group)) fail(EPERM, what + ": the group is another");
  if (!identity.user) return;
  if (::setresuid(*identity.user, *identity.user, *identity.user) != 0) fail(errno, what + ": set user");
  if (!user_is(*identity.user)) fail(EPERM, what + ": the user is another");
  if (*identity.user == 0) return;
  drop_capabilities(what);
  if (::setuid(0) == 0 || ::setgid(0) == 0) fail(EPERM, what + ": root could be had back");
}

}  // namespace snowfox
