#pragma once

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace snowfox::peers {

/// A place to listen at or to connect to: a port of 127.0.0.1, or a Unix socket if there is a path.
struct Place {
  std::uint16_t port = 0;
  std::string path;
  bool tcp() const noexcept { return path.empty(); }
};

struct ServerOptions {
  Place at;
  Place back;         ///< of a two-hop front: where the requests go
  bool spin = false;  ///< wait for events without sleeping
};

[[noreturn]] inline void fail(const std::string& what) { throw std::system_error(errno, std::system_category(), what); }

/// NAME (--tcp PORT | --unix PATH) [--back-tcp PORT | --back-unix PATH] [--spin]
inline ServerOptions parse_options(int argc, char** argv) {
  ServerOptions options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--spin") {
      options.spin = true;
      continue;
    }
    if (++i == argc) throw std::invalid_argument(std::string(option) + ": its value is missing");
    if (option == "--tcp" || option == "--back-tcp") {
      (option == "--tcp" ? options.at : options.back).port = static_cast<std::uint16_t>(std::stoul(argv[i]));
    } else if (option == "--unix" || option == "--back-unix") {
      (option == "--unix" ? options.at : options.back).path = argv[i];
    } else {
      throw std::invalid_argument("what is '" + std::string(option) + "'?");
    }
  }
  return options;
}

/// Ten thousand connections are more descriptors than a process may have unless it asks.
inline void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

inline sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::invalid_argument(path + " is too long for a socket");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

inline sockaddr_in loopback_address(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

/// A listening socket that does not block, and a line on stdout that says where.
inline int listen_at(const ServerOptions& options, const char* name) {
  raise_descriptor_limit();
  const int family = options.at.tcp() ? AF_INET : AF_UNIX;
  const int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  std::string where = options.at.path;
  if (options.at.tcp()) {
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address = loopback_address(options.at.port);
    socklen_t size = sizeof address;
    if (bind(fd, reinterpret_cast<const sockaddr*>(&address), size) != 0) fail("bind");
    getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
    where = std::to_string(ntohs(address.sin_port));
  } else {
    const sockaddr_un address = unix_address(options.at.path);
    unlink(options.at.path.c_str());
    if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) fail("bind to " + where);
  }
  if (listen(fd, SOMAXCONN) != 0) fail("listen");
  std::printf("%s: listening on %s\n", name, where.c_str());
  std::fflush(stdout);
  return fd;
}

/// Answers are not to wait for more. Fails where it means nothing, on a Unix socket.
inline void set_no_delay(int fd) noexcept {
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/// A connection that does not block, once it is there.
inline int connect_to(const Place& place) {
  const int fd = socket(place.tcp() ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) fail("socket");
  int result = 0;
  if (place.tcp()) {
    const sockaddr_in address = loopback_address(place.port);
    result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    set_no_delay(fd);
  } else {
    const sockaddr_un address = unix_address(place.path);
    result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  if (result != 0) fail("connect");
  return fd;
}

/// What each peer's main() does around its server: `serve(options)` does not return.
template <typename Serve>
int run_server(int argc, char** argv, const char* name, Serve&& serve) {
  try {
    serve(parse_options(argc, argv));
    return EXIT_SUCCESS;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", name, error.what());
    return EXIT_FAILURE;
  }
}

}  // namespace snowfox::peers
