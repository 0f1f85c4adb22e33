#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace snowfox {

/// Where a stream socket listens or connects to: a TCP address and port, or the path of a Unix socket.
class Address {
 public:
  /// Reads `unix:PATH`, `tcp:HOST:PORT`, `HOST:PORT` or `PORT`. HOST is an IPv4 address, an IPv6 address in brackets,
  /// `localhost` or `*` (every interface); without it, 127.0.0.1. Names are not looked up: that would block.
  /// Throws std::invalid_argument, saying what is wrong, otherwise.
  static Address parse(std::string_view text);
  static Address tcp(std::string_view host, std::uint16_t port);
  /// Throws std::invalid_argument if `path` is empty or longer than a Unix address holds (107 bytes).
  static Address unix_socket(std::string_view path);
  static Address from_sockaddr(const sockaddr* address, socklen_t size);

  Address() = default;

  bool is_unix() const noexcept { return storage_.ss_family == AF_UNIX; }
  /// The path of a Unix socket, followed by a null; empty for TCP and for a peer without a name.
  std::string_view path() const noexcept;
  /// The port of a TCP address; 0 for Unix. 0 to listen on means: any that is free.
  std::uint16_t port() const noexcept;

  /// As parse() reads it: `tcp:127.0.0.1:7000`, `tcp:[::1]:7000`, `unix:/run/x.sock`.
  std::string str() const;

  const sockaddr* data() const noexcept { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const noexcept { return size_; }
  int family() const noexcept { return storage_.ss_family; }

  friend bool operator==(const Address& left, const Address& right) noexcept;

 private:
  sockaddr_storage storage_{};
  socklen_t size_ = 0;
};

/// Who is at the other end of a Unix socket, as the kernel says (SO_PEERCRED): its process when it connected.
struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

}  // namespace snowfox
