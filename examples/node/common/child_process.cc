#include "common/child_process.h"

#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

namespace snowfox::node {

Descriptor take_listener() {
  int listens = 0;
  socklen_t size = sizeof listens;
  if (getsockopt(kListenerDescriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) {
    throw std::runtime_error("not started by snow-fox-daemon: start that, it starts its parts");
  }
  return {Io::system(), kListenerDescriptor};
}

pid_t parent_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  std::getline(file, line);
  // The second field is the program's name in parentheses, which may itself hold any character.
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return 0;
  std::istringstream rest(line.substr(name_end + 1));
  char state = '\0';
  pid_t parent = 0;
  rest >> state >> parent;
  return rest ? parent : 0;
}

DaemonsSignals::DaemonsSignals(LoopManager& loop, std::string_view component)
    : source_(loop, {SIGTERM, SIGINT, SIGHUP}, [&loop, component](int signal) {
        loop.log().info(component, "signal ignored: it is for the daemon, this process's parent",
                        {{"signal", strsignal(signal)}, {"daemon", getppid()}});
      }) {
  // Whoever read our standard error may go.
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace snowfox::node
