#include "common/child_process.h"

#include <sys/socket.h>

#include <csignal>
#include <cstring>
#include <stdexcept>

namespace snowfox::node {

Descriptor take_listener() {
  int listens = 0;
  socklen_t size = sizeof listens;
  if (getsockopt(kListenerDescriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) {
    throw std::runtime_error("not started by snow-fox-daemon: start that, it starts its parts");
  }
  return {Io::system(), kListenerDescriptor};
}

pid_t daemon_pid(LoopManager& loop) { return loop.io().parent_of(loop.io().process_id()); }

DaemonsSignals::DaemonsSignals(LoopManager& loop, std::string_view component)
    : source_(loop, {SIGTERM, SIGINT, SIGHUP}, [&loop, component](int signal) {
        loop.log().info(component, "signal ignored: it is for the daemon, this process's parent",
                        {{"signal", strsignal(signal)}, {"daemon", daemon_pid(loop)}});
      }) {
  // Whoever read our standard error may go.
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace snowfox::node
