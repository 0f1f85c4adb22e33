#include "daemon/listening_socket.h"

#include <unistd.h>

#include <cerrno>
#include <string>
#include <system_error>

namespace snowfox::node {

ListeningSocket::ListeningSocket(const Address& address, unsigned mode, std::optional<uid_t> owner,
                                 std::optional<gid_t> group)
    : address_(address), descriptor_(Io::system().listen(address, {.unix_mode = mode})) {
  const std::string path(address.path());
  if ((owner || group) && ::lchown(path.c_str(), owner.value_or(uid_t(-1)), group.value_or(gid_t(-1))) != 0) {
    const int error = errno;
    close();
    throw std::system_error(error, std::system_category(), "change the owner of " + path);
  }
}

void ListeningSocket::close() noexcept {
  if (!descriptor_) return;
  ::unlink(std::string(address_.path()).c_str());
  descriptor_.reset();
}

}  // namespace snowfox::node
