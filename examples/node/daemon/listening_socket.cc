#include "daemon/listening_socket.h"

#include <unistd.h>

#include <string>

namespace snowfox::node {

ListeningSocket::ListeningSocket(Io& io, const Address& address, unsigned mode, std::optional<uid_t> owner,
                                 std::optional<gid_t> group)
    : address_(address),
      descriptor_(io.listen(address, {.unix_mode = mode, .unix_owner = owner, .unix_group = group})) {}

void ListeningSocket::close() noexcept {
  if (!descriptor_) return;
  if (address_) ::unlink(address_->path().data());
  descriptor_.reset();
}

}  // namespace snowfox::node
