#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <snowfox/context/configuration_place.h>
#include <snowfox/context/static_scope.h>
#include <snowfox/context/yaml_mapping.h>
#include <snowfox/core/address.h>
#include <snowfox/core/clock.h>

namespace snowfox::node {

/// Who may use the public API, and how.
struct ApiConfiguration {
  std::vector<Located<Address>> listen;  ///< besides the public socket of the run directory
  /// Who may, of those whom the sockets' files let in; if both are empty, all of them. Root and the manager's own user
  /// always may.
  std::vector<uid_t> users;
  std::vector<gid_t> groups;
  std::size_t max_clients = 1000;            ///< 0: no limit
  Duration idle_timeout = Duration::zero();  ///< a client silent for so long is disconnected; zero: never
};

enum class Restart : std::uint8_t { Never, OnFailure, Always };

/// A process that the node is to run.
struct ServiceConfiguration {
  Located<std::string> id;
  std::string version;
  std::vector<std::string> command;  ///< the program and its arguments
  std::map<std::string, std::string> environment;
  std::string user;
  std::string group;
  std::string working_directory;
  Restart restart = Restart::OnFailure;
  Duration backoff = std::chrono::seconds(1);
  int stop_signal = 15;
  Duration stop_timeout = std::chrono::seconds(10);
  bool autostart = true;
};

/// A node's configuration, as its files say.
struct Configuration {
  std::string node_name;  ///< the host's name if the files give none
  LogSettings log;
  ApiConfiguration api;
  Duration tick = std::chrono::seconds(1);  ///< how often the manager looks after its links
  std::vector<ServiceConfiguration> services;
};

void read_yaml(YamlMapping& yaml, ApiConfiguration& api);
void read_yaml(YamlMapping& yaml, ServiceConfiguration& service);
void read_yaml(YamlMapping& yaml, Configuration& configuration);

}  // namespace snowfox::node
