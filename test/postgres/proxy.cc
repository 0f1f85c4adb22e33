#include "proxy.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <list>
#include <stdexcept>
#include <vector>

#include <snowfox/core/address.h>
#include <snowfox/core/io.h>

namespace snowfox {
namespace {

struct Pair {
  int client;
  int server;
  bool swallowing = false;
};

bool send_all(int fd, const std::string& bytes) {
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t count = ::send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (count <= 0) return false;
    sent += static_cast<std::size_t>(count);
  }
  return true;
}

}  // namespace

Proxy::Proxy(const std::string& server_port)
    : server_port_(server_port), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const Address any = Address::tcp("127.0.0.1", 0);
  if (::bind(listener_, any.data(), any.size()) != 0 || ::listen(listener_, 100) != 0)
    throw std::runtime_error("no port");
  port_ = std::to_string(Io::system().local_address(listener_).port());
  thread_ = std::thread([this] { run(); });
}

Proxy::~Proxy() {
  ended_ = true;
  thread_.join();
  ::close(listener_);
}

void Proxy::set(Cut cut, const std::string& text) {
  const std::lock_guard lock(mutex_);
  cut_ = cut;
  text_ = text;
}

bool Proxy::fires(bool request, const std::string& bytes, bool& swallow) {
  const std::lock_guard lock(mutex_);
  if (cut_ == Cut::None || request != (cut_ == Cut::Request) || bytes.find(text_) == bytes.npos) return false;
  swallow = cut_ == Cut::Swallow;
  cut_ = Cut::None;
  return true;
}

void Proxy::run() {
  std::list<Pair> pairs;
  std::string bytes(65'536, '\0');
  while (!ended_) {
    std::vector<pollfd> polled{{listener_, POLLIN, 0}};
    for (const Pair& pair : pairs) {
      polled.push_back({pair.client, POLLIN, 0});
      polled.push_back({pair.server, POLLIN, 0});
    }
    if (::poll(polled.data(), polled.size(), 20) <= 0) continue;
    std::size_t at = 1;
    for (auto pair = pairs.begin(); pair != pairs.end();) {
      bool over = false;
      for (const bool request : {true, false}) {
        if (polled[at++].revents == 0 || over) continue;
        bytes.resize(65'536);
        const ssize_t count = ::recv(request ? pair->client : pair->server, bytes.data(), bytes.size(), 0);
        over = count <= 0;
        if (over) continue;
        bytes.resize(static_cast<std::size_t>(count));
        bool swallow = false;
        if (fires(request, bytes, swallow)) {
          pair->swallowing = swallow;
          over = !swallow;
        } else if (!pair->swallowing) {
          over = !send_all(request ? pair->server : pair->client, bytes);
        }
      }
      if (!over) {
        ++pair;
        continue;
      }
      ::close(pair->client);
      ::close(pair->server);
      pair = pairs.erase(pair);
    }
    if (polled[0].revents != 0) {
      Pair pair{::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC), ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
      const Address server = Address::tcp("127.0.0.1", static_cast<std::uint16_t>(std::stoi(server_port_)));
      if (::connect(pair.server, server.data(), server.size()) == 0) {
        pairs.push_back(pair);
      } else {
        ::close(pair.client);
        ::close(pair.server);
      }
    }
  }
  for (const Pair& pair : pairs) {
    ::close(pair.client);
    ::close(pair.server);
  }
}

}  // namespace snowfox
