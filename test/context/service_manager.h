#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <system_error>
#include <vector>

#include <snowfox/core/io.h>

#include "support/sockets.h"

namespace snowfox {

/// What a service manager hears on its notification socket.
class ServiceManager {
 public:
  /// `name` is a path, or begins with `@` for an abstract socket.
  explicit ServiceManager(const std::string& name)
      : socket_(Io::system(), ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), name.size());
    if (name[0] == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) {
      throw std::system_error(errno, std::system_category(), "bind " + name);
    }
  }

  /// The datagrams since the last time.
  std::vector<std::string> heard() {
    std::vector<std::string> all;
    char text[2048];
    for (ssize_t size = 0; (size = ::recv(socket_.get(), text, sizeof text, MSG_DONTWAIT)) >= 0;) {
      all.emplace_back(text, static_cast<std::size_t>(size));
    }
    return all;
  }

 private:
  Descriptor socket_;
};

}  // namespace snowfox
