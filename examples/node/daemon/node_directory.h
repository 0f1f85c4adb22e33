#pragma once

#include <string>

#include <snowfox/core/io.h>
#include <snowfox/core/log.h>

#include "common/run_directory.h"
#include "daemon/identity.h"

namespace snowfox::node {

/// The run directory, as the daemon has it: there, safe, and this node's alone.
///
/// One that is not there is made, and removed at the end: with mode 0700, or, if a group may reach the node, with that
/// group and 0750. One that is there stays as it is, but must belong to us or root, be writable by nobody else, and let
/// the manager through.
///
/// In it are the directories in which the spawner and the manager write down what is to outlive them. They go at the
/// end, unless services were left running.
///
/// The node holds a lock on it for as long as any of its processes lives.
class NodeDirectory {
 public:
  /// Waits a while for the processes of a node that ran here before and is ending. Throws std::runtime_error, or
  /// std::system_error, that says what is wrong: another node runs here, the directory is not safe, …
  NodeDirectory(const RunDirectory& directory, const Identity& manager, Log& log);
  ~NodeDirectory();
  NodeDirectory(const NodeDirectory&) = delete;
  NodeDirectory& operator=(const NodeDirectory&) = delete;

  const RunDirectory& paths() const noexcept { return directory_; }
  /// To be passed to all processes of the node.
  int lock() const noexcept { return handle_.get(); }

 private:
  void make_or_check(const Identity& manager);
  void take_lock(Log& log);
  void make_state(const std::string& path, unsigned mode, uid_t user) const;

  RunDirectory directory_;
  bool made_ = false;
  Descriptor handle_;
};

}  // namespace snowfox::node
