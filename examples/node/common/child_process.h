#pragma once

#include <sys/types.h>

#include <string_view>

#include <snowfox/core/io.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/signal_source.h>

namespace snowfox::node {

/// As this descriptor the daemon gives each of its children the socket to listen on.
inline constexpr int kListenerDescriptor = 3;
/// As this one, the lock on the run directory: it is held for as long as any process of the node lives.
inline constexpr int kLockDescriptor = 4;
/// From this one on, the manager gets the sockets that a service manager has passed to the daemon; their names, between
/// colons, are in the variable.
inline constexpr int kFirstInheritedDescriptor = 5;
inline constexpr const char* kInheritedVariable = "SNOW_FOX_LISTENERS";

/// Takes over the socket that the daemon gave. Throws std::runtime_error if there is none: the program was not started
/// by a daemon.
Descriptor take_listener();

/// The daemon that started this process: its parent.
pid_t daemon_pid(LoopManager& loop);

/// Ignores SIGTERM, SIGINT and SIGHUP, but for a line in the log. They are the daemon's to act on, which then tells its
/// children by their links; a service manager or a terminal that sends them to all processes must not end the children
/// out of turn. SIGPIPE is ignored, too.
class DaemonsSignals {
 public:
  DaemonsSignals(LoopManager& loop, std::string_view component);

 private:
  SignalSource source_;
};

}  // namespace snowfox::node
