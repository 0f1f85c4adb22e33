#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <stdexcept>
#include <string_view>
#include <system_error>

#include <fmt/format.h>

#include "parts.h"

namespace snowfox::appservice_bench {
namespace {

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::system_category(), what); }

/// A connection that waits for an answer.
struct Connection {
  int fd = -1;
  std::string received;

  void open(std::uint16_t port) {
    fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) fail("connect");
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  }

  void send(const std::string& body) const {
    const std::string text = fmt::format(
        "POST /_snowfox/appservice/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Content-Length: {}\r\n\r\n{}",
        body.size(), body);
    for (std::size_t sent = 0; sent < text.size();) {
      const ssize_t taken = ::send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (taken < 0) fail("send");
      sent += static_cast<std::size_t>(taken);
    }
  }

  /// Whether the answer is there. Throws if it says anything but 200.
  bool receive() {
    std::array<char, 16384> buffer{};
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got <= 0) fail("recv");
    received.append(buffer.data(), static_cast<std::size_t>(got));
    const std::size_t head = received.find("\r\n\r\n");
    if (head == std::string::npos) return false;
    constexpr std::string_view kLength = "Content-Length: ";
    const std::size_t at = received.find(kLength);
    std::size_t length = 0;
    if (at < head) {
      const char* const begin = received.data() + at + kLength.size();
      std::from_chars(begin, received.data() + head, length);
    }
    if (received.size() < head + 4 + length) return false;
    if (!received.starts_with("HTTP/1.1 200")) throw std::runtime_error("a submission was refused: " + received);
    received.clear();
    return true;
  }
};

}  // namespace

double submit_over_http(std::uint16_t port, const std::vector<std::string>& bodies, std::size_t connections) {
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) fail("epoll_create1");
  std::vector<Connection> open(std::min(connections, bodies.size()));
  for (Connection& connection : open) {
    connection.open(port);
    epoll_event watch{.events = EPOLLIN, .data = {.ptr = &connection}};
    if (::epoll_ctl(epoll, EPOLL_CTL_ADD, connection.fd, &watch) != 0) fail("epoll_ctl");
  }
  const std::int64_t begun = now_ns();
  std::size_t next = 0;
  std::size_t answered = 0;
  for (const Connection& connection : open) connection.send(bodies[next++]);
  std::array<epoll_event, 256> ready{};
  while (answered < bodies.size()) {
    const int count = ::epoll_wait(epoll, ready.data(), ready.size(), 60'000);
    if (count <= 0) fail("epoll_wait");
    for (int i = 0; i < count; ++i) {
      auto& connection = *static_cast<Connection*>(ready[static_cast<std::size_t>(i)].data.ptr);
      if (!connection.receive()) continue;
      ++answered;
      if (next < bodies.size()) connection.send(bodies[next++]);
    }
  }
  const double seconds = static_cast<double>(now_ns() - begun) / 1e9;
  for (const Connection& connection : open) ::close(connection.fd);
  ::close(epoll);
  return seconds;
}

}  // namespace snowfox::appservice_bench
