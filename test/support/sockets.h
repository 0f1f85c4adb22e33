#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <snowfox/core/address.h>
#include <snowfox/core/io.h>

namespace snowfox {

/// Two ends of a connection, neither of them blocking.
inline std::pair<Descriptor, Descriptor> make_socket_pair() {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    throw std::system_error(errno, std::system_category(), "make a socket pair");
  }
  return {Descriptor(Io::system(), fds[0]), Descriptor(Io::system(), fds[1])};
}

/// A connected socket, for the side of a connection that is no loop. It blocks in connecting and in nothing else. If
/// `receive_buffer` is not 0, no more than about twice so many bytes wait to be read from it.
inline Descriptor connect_to(const Address& address, int receive_buffer = 0) {
  Descriptor socket(Io::system(), ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (receive_buffer != 0) setsockopt(socket.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  if (!socket || ::connect(socket.get(), address.data(), address.size()) != 0) {
    throw std::system_error(errno, std::system_category(), "connect to " + address.str());
  }
  return socket;
}

/// Writes what the kernel takes without blocking; returns how much that was.
inline std::size_t send_some(int fd, std::string_view bytes) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t count = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count <= 0) break;
    sent += static_cast<std::size_t>(count);
  }
  return sent;
}

/// Reads all that is there, at most about `most` bytes.
inline std::string receive_some(int fd, std::size_t most = SIZE_MAX) {
  std::string received;
  std::array<char, 65536> part;
  while (received.size() < most) {
    const ssize_t count = ::recv(fd, part.data(), std::min(part.size(), most - received.size()), MSG_DONTWAIT);
    if (count <= 0) break;
    received.append(part.data(), static_cast<std::size_t>(count));
  }
  return received;
}

/// Whether the peer has closed its side, or the whole connection, and all it sent has been read.
inline bool at_end(int fd) {
  char byte = 0;
  const ssize_t count = ::recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
  return count == 0 || (count < 0 && errno != EAGAIN);
}

}  // namespace snowfox
