#include "curl_sockets.h"

#include <curl/curl.h>

#include <exception>
#include <utility>

#include <snowfox/core/log.h>

namespace snowfox {

class CurlSockets::Socket final : public PollTarget, public ListNode<Socket> {
 public:
  Socket(CurlSockets& sockets, int fd) : PollTarget(fd), sockets_(sockets) { sockets_.poller_.watch(*this); }
  ~Socket() { sockets_.poller_.unwatch(*this); }

  void want(bool readable, bool writable) {
    sockets_.poller_.set_interest(*this, readable, writable);
    if (!readable && !writable) {
      unlink();
      ready_ = 0;
    }
  }
  int take_ready() noexcept {
    unlink();
    return std::exchange(ready_, 0);
  }

  bool connection = false;  // closing() will come
  bool in_use = true;

 private:
  void on_poll(bool readable, bool writable) noexcept override {
    if (!in_use) {
      log_if_possible([&] { want(false, false); });
      return sockets_.owner_.on_idle_socket();
    }
    ready_ |= (readable ? CURL_CSELECT_IN : 0) | (writable ? CURL_CSELECT_OUT : 0);
    if (!linked()) sockets_.ready_.push_back(*this);
    sockets_.owner_.on_socket_ready();
  }

  CurlSockets& sockets_;
  int ready_ = 0;
};

CurlSockets::CurlSockets(Poller& poller, Owner& owner) noexcept : poller_(poller), owner_(owner) {}

CurlSockets::~CurlSockets() = default;

CurlSockets::Socket* CurlSockets::find(int fd) const noexcept {
  const auto index = static_cast<std::size_t>(fd);
  return index < sockets_.size() ? sockets_[index].get() : nullptr;
}

CurlSockets::Socket& CurlSockets::make(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= sockets_.size()) sockets_.resize(index + 1);
  sockets_[index] = std::make_unique<Socket>(*this, fd);
  return *sockets_[index];
}

bool CurlSockets::opened(int fd) noexcept {
  try {
    make(fd).connection = true;
    ++connections_;
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

void CurlSockets::closing(int fd) noexcept {
  if (find(fd) == nullptr) return;
  if (sockets_[static_cast<std::size_t>(fd)]->connection) --connections_;
  sockets_[static_cast<std::size_t>(fd)].reset();
}

bool CurlSockets::set(int fd, int wanted) noexcept {
  Socket* socket = find(fd);
  try {
    if (wanted == CURL_POLL_REMOVE) {
      if (socket == nullptr) return true;
      if (!socket->connection) {
        closing(fd);
        return true;
      }
      socket->in_use = false;
      static_cast<void>(socket->take_ready());
      socket->want(true, false);
      return true;
    }
    if (socket == nullptr) socket = &make(fd);
    socket->in_use = true;
    socket->want((wanted & CURL_POLL_IN) != 0, (wanted & CURL_POLL_OUT) != 0);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

bool CurlSockets::next_ready(int& fd, int& ready) noexcept {
  if (ready_.empty()) return false;
  Socket& socket = ready_.front();
  fd = socket.fd();
  ready = socket.take_ready();
  return true;
}

}  // namespace snowfox
