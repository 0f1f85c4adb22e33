#include <snowfox/core/address.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <stdexcept>

namespace snowfox {
namespace {

/// The front of what was given, on one line, and so that what() does not end in it.
std::string shown(std::string_view text) {
  constexpr std::size_t kMost = 200;
  std::size_t size = std::min(text.size(), kMost);
  while (size != 0 && size != text.size() && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  std::string front(text.substr(0, size));
  std::replace_if(
      front.begin(), front.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return front;
}

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
  throw std::invalid_argument("address '" + shown(text).append("': ").append(why));
}

}  // namespace

Address Address::parse(std::string_view text) {
  if (text.starts_with("unix:")) return unix_socket(text.substr(5));
  std::string_view rest = text.starts_with("tcp:") ? text.substr(4) : text;
  const std::size_t colon = rest.rfind(':');
  std::string_view host = "127.0.0.1";
  std::string_view digits = rest;
  if (colon != std::string_view::npos) {
    host = rest.substr(0, colon);
    digits = rest.substr(colon + 1);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
      host = host.substr(1, host.size() - 2);
    } else if (host.find(':') != std::string_view::npos) {
      refuse(text, "an IPv6 address must stand in brackets: [::1]:7000");
    }
  }
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) {
    refuse(text, "expected unix:PATH, tcp:HOST:PORT, HOST:PORT or PORT, with a port of 0 to 65535");
  }
  return tcp(host, port);
}

Address Address::tcp(std::string_view host, std::uint16_t port) {
  const std::string name(host == "localhost" ? "127.0.0.1" : host == "*" ? "0.0.0.0" : host);
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  // inet_pton() would not see what comes after a zero byte.
  if (name.find('\0') != std::string::npos) refuse(host, "an IP address has no zero byte");
  if (inet_pton(AF_INET, name.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    return from_sockaddr(reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  }
  if (inet_pton(AF_INET6, name.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    return from_sockaddr(reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
  }
  refuse(host, "expected an IP address, localhost or *; other names are not looked up");
}

Address Address::unix_socket(std::string_view path) {
  sockaddr_un address{};
  if (path.empty()) refuse("unix:", "the path of the socket is missing");
  if (path.size() >= sizeof address.sun_path) {
    refuse(path, "the path of a Unix socket has at most 107 bytes, this one has " + std::to_string(path.size()));
  }
  if (path.find('\0') != std::string_view::npos) refuse(path, "the path of a Unix socket has no zero byte");
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  return from_sockaddr(reinterpret_cast<const sockaddr*>(&address),
                       static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1));
}

Address Address::from_sockaddr(const sockaddr* address, socklen_t size) {
  Address result;
  result.size_ = size <= sizeof result.storage_ ? size : static_cast<socklen_t>(sizeof result.storage_);
  std::memcpy(&result.storage_, address, result.size_);
  return result;
}

std::string_view Address::path() const noexcept {
  if (!is_unix() || size_ <= offsetof(sockaddr_un, sun_path)) return {};
  const char* path = reinterpret_cast<const sockaddr_un*>(&storage_)->sun_path;
  return {path, strnlen(path, size_ - offsetof(sockaddr_un, sun_path))};
}

std::uint16_t Address::port() const noexcept {
  if (family() == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in*>(&storage_)->sin_port);
  if (family() == AF_INET6) return ntohs(reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_port);
  return 0;
}

std::string Address::str() const {
  if (is_unix()) return std::string("unix:").append(path());
  char host[INET6_ADDRSTRLEN] = "?";
  std::string text = "tcp:";
  if (family() == AF_INET) {
    inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in*>(&storage_)->sin_addr, host, sizeof host);
    text.append(host);
  } else if (family() == AF_INET6) {
    inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr, host, sizeof host);
    text.append("[").append(host).append("]");
  } else {
    return "none";
  }
  return text.append(":").append(std::to_string(port()));
}

bool operator==(const Address& left, const Address& right) noexcept {
  if (left.family() != right.family()) return false;
  if (left.is_unix()) return left.path() == right.path();
  return left.size_ == right.size_ && std::memcmp(&left.storage_, &right.storage_, left.size_) == 0;
}

}  // namespace snowfox
