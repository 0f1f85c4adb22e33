#pragma once

#include <string>

#include <snowfox/core/address.h>

namespace snowfox::node {

/// The directory in which the parts of one node find each other's sockets.
class RunDirectory {
 public:
  /// `path` as given; empty: the default, /run/snow-fox for root, $XDG_RUNTIME_DIR/snow-fox for others.
  /// Throws std::invalid_argument if there is no default, or if the path is too long for the sockets in it.
  explicit RunDirectory(const std::string& path);

  const std::string& path() const noexcept { return path_; }
  /// Where the daemon waits for its children.
  Address daemon_socket() const { return socket("daemon.sock"); }
  /// Where the spawner waits for the manager.
  Address spawner_socket() const { return socket("spawner.sock"); }
  /// Where the manager waits for clients.
  Address public_socket() const { return socket("public.sock"); }

  /// Where the spawner writes down what it has started, for who comes after it.
  std::string spawner_state() const { return path_ + "/spawner"; }
  /// Where the manager does the same, and makes the pipes into which services write.
  std::string manager_state() const { return path_ + "/manager"; }
  /// The pipe for the output of a service.
  std::string service_output(const std::string& id) const { return manager_state() + "/" + id + ".output"; }

  /// What a client uses that was told nothing: the public socket of the user's own node if there is one, else that of
  /// the system's.
  static Address default_public_socket();

 private:
  Address socket(const std::string& name) const { return Address::unix_socket(path_ + "/" + name); }

  std::string path_;
};

}  // namespace snowfox::node
