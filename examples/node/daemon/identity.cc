#include "daemon/identity.h"

#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "common/groups.h"

namespace snowfox::node {
namespace {

template <typename Number>
bool read_number(const std::string& text, Number& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

const passwd& find_user(const std::string& name) {
  uid_t number = 0;
  const passwd* found = getpwnam(name.c_str());
  if (found == nullptr && read_number(name, number)) found = getpwuid(number);
  if (found == nullptr) throw std::invalid_argument("--user: there is no user '" + name + "'");
  return *found;
}

gid_t find_group(const std::string& name) {
  gid_t number = 0;
  if (const group* found = getgrnam(name.c_str())) return found->gr_gid;
  if (read_number(name, number)) return number;
  throw std::invalid_argument("--group: there is no group '" + name + "'");
}

std::vector<gid_t> own_groups() {
  std::vector<gid_t> groups(static_cast<std::size_t>(std::max(getgroups(0, nullptr), 0)));
  groups.resize(static_cast<std::size_t>(std::max(getgroups(static_cast<int>(groups.size()), groups.data()), 0)));
  groups.push_back(getegid());
  return groups;
}

}  // namespace

Identity Identity::find(const std::string& user, const std::string& group) {
  Identity found{geteuid(), getegid(), own_groups(), {}, false, std::nullopt};
  const bool root = geteuid() == 0;
  if (!user.empty()) {
    const passwd& entry = find_user(user);
    if (!root && entry.pw_uid != geteuid()) {
      throw std::invalid_argument("--user: only root can run the manager as another user");
    }
    found.changed = entry.pw_uid != geteuid();
    found.user = entry.pw_uid;
    if (root) {
      found.group = entry.pw_gid;
      found.groups = groups_of(entry.pw_name, found.group);
    }
    if (found.changed) found.shared_group = found.group;
  }
  if (const passwd* entry = getpwuid(found.user)) found.name = entry->pw_name;
  if (!group.empty()) {
    const gid_t number = find_group(group);
    if (root) {
      found.changed = found.changed || number != found.group;
      found.group = number;
      found.groups = found.user == 0 ? std::vector{number} : groups_of(found.name.c_str(), number);
    } else if (std::find(found.groups.begin(), found.groups.end(), number) == found.groups.end()) {
      throw std::invalid_argument("--group: you are not in the group '" + group + "'");
    }
    found.shared_group = number;
  }
  return found;
}

}  // namespace snowfox::node
