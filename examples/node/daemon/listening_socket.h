#pragma once

#include <sys/types.h>

#include <optional>
#include <utility>

#include <snowfox/core/address.h>
#include <snowfox/core/io.h>

namespace snowfox::node {

/// A Unix socket that the daemon makes for one of its children to listen on. The child thus needs no rights in the run
/// directory, and whoever connects while it is not there waits.
class ListeningSocket {
 public:
  /// Throws std::system_error if it cannot be made. `owner` and `group`: if not the daemon's own.
  ListeningSocket(Io& io, const Address& address, unsigned mode, std::optional<uid_t> owner,
                  std::optional<gid_t> group);
  /// One that somebody else has made, to whom its file belongs.
  explicit ListeningSocket(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}
  ~ListeningSocket() { close(); }
  ListeningSocket(const ListeningSocket&) = delete;
  ListeningSocket& operator=(const ListeningSocket&) = delete;

  int fd() const noexcept { return descriptor_.get(); }
  /// Gives the socket away; who takes it also removes the file.
  Descriptor take() noexcept { return std::move(descriptor_); }
  /// Removes the file, if we have made it, and closes our descriptor; those of children stay.
  void close() noexcept;

 private:
  std::optional<Address> address_;  // of the file that is to be removed
  Descriptor descriptor_;
};

}  // namespace snowfox::node
