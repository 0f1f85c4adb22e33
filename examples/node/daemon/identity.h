#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace snowfox::node {

/// Whom the manager runs as, and which group may reach the node.
struct Identity {
  uid_t user = 0;
  gid_t group = 0;
  std::vector<gid_t> groups;          ///< all that the manager is in, `group` among them
  std::string name;                   ///< of the user, for people
  bool changed = false;               ///< another than the daemon's own
  std::optional<gid_t> shared_group;  ///< who is in it may reach the node's public socket

  /// Reads `user` and `group`, names or numbers. Without a user: as the daemon; without a group: the user's own.
  /// Throws std::invalid_argument if there is no such user or group, or if the daemon may not become or use it.
  static Identity find(const std::string& user, const std::string& group);
};

}  // namespace snowfox::node
