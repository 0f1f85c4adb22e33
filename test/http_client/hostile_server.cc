#include "hostile_server.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace snowfox {
namespace {

std::size_t content_length(std::string_view header) {
  constexpr std::string_view kName = "Content-Length: ";
  const std::size_t begin = header.find(kName);
  return begin == header.npos ? 0
                              : std::strtoul(std::string(header.substr(begin + kName.size(), 20)).c_str(), nullptr, 10);
}

}  // namespace

std::string HostileServer::Connection::read_request() {
  std::array<char, 65536> room;
  while (true) {
    const std::size_t end = rest_.find("\r\n\r\n");
    if (end != rest_.npos) {
      const std::size_t whole = end + 4 + content_length(std::string_view(rest_).substr(0, end));
      if (rest_.size() >= whole) {
        std::string request = rest_.substr(0, whole);
        rest_.erase(0, whole);
        return request;
      }
    }
    const ssize_t count = ::recv(fd_, room.data(), room.size(), 0);
    if (count <= 0) return {};
    rest_.append(room.data(), static_cast<std::size_t>(count));
  }
}

bool HostileServer::Connection::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return true;
}

void HostileServer::Connection::hang() {
  std::array<char, 4096> room;
  while (::recv(fd_, room.data(), room.size(), 0) > 0) {
  }
}

void HostileServer::Connection::reset() {
  const linger none{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &none, sizeof none);
}

HostileServer::HostileServer(Script script) : script_(std::move(script)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const name = static_cast<sockaddr*>(static_cast<void*>(&address));
  if (::bind(listener_, name, size) != 0 || ::listen(listener_, 1024) != 0 ||
      ::getsockname(listener_, name, &size) != 0) {
    throw std::runtime_error("no port for a server");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { serve(); });
}

HostileServer::~HostileServer() {
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  ::close(listener_);
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& thread : threads_) thread.join();
}

void HostileServer::serve() {
  while (true) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    ++connections_;
    const std::lock_guard lock(mutex_);
    open_.push_back(fd);
    threads_.emplace_back([this, fd] {
      Connection connection(fd);
      script_(connection);
      const std::lock_guard closing(mutex_);
      open_.remove(fd);
      ::close(fd);
    });
  }
}

std::string HostileServer::url(std::string_view path) const {
  return "http://127.0.0.1:" + std::to_string(port_) + std::string(path);
}

std::string response_with(std::string_view body, std::string_view status, std::string_view fields) {
  return "HTTP/1.1 " + std::string(status) + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(fields) + "\r\n" + std::string(body);
}

}  // namespace snowfox
