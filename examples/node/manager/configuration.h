#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
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
/// What becomes of a service when the node ends in order.
enum class OnShutdown : std::uint8_t { Stop, Leave };

/// Whom a service runs as. What is not set is as the spawner.
struct ServiceUser {
  std::optional<uid_t> user;
  std::optional<gid_t> group;
  std::vector<gid_t> groups;  ///< the supplementary ones, `group` among them
  std::string name;           ///< of the user; empty if it has no entry
  std::string home;
  std::string shell;
};

/// Where the output of a service goes.
struct OutputSettings {
  enum class Kind : std::uint8_t { Log, Discard, File };

  Kind kind = Kind::Log;
  std::string file;
  std::uint64_t limit_bytes = 10U << 20;  ///< then the file is put aside
  unsigned files = 3;                     ///< so many that were put aside are kept

  friend bool operator==(const OutputSettings&, const OutputSettings&) = default;
};

/// A process that the node is to run.
struct ServiceConfiguration {
  Located<std::string> id;
  std::string version;
  std::vector<std::string> command;                ///< the program and its arguments
  std::map<std::string, std::string> environment;  ///< all of it
  ServiceUser user;
  bool no_new_privileges = true;  ///< whatever it executes gives it no more rights than it has
  std::string working_directory;  ///< empty: /
  Restart restart = Restart::OnFailure;
  Duration backoff = std::chrono::seconds(1);        ///< before the first restart; then twice as long each time
  Duration backoff_limit = std::chrono::minutes(1);  ///< but no longer than this
  Duration stable_after = std::chrono::minutes(1);   ///< once it has run for so long, all that is forgotten
  std::uint32_t restart_limit = 0;                   ///< so many in a row; 0: no limit
  int stop_signal = 15;
  Duration stop_timeout = std::chrono::seconds(10);
  bool autostart = true;
  OnShutdown on_shutdown = OnShutdown::Stop;
  OutputSettings output;
  /// Of all that its process is made of: while it stays the same, the process stays.
  std::string fingerprint;
};

inline constexpr std::size_t kMostServices = 1000;

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
