#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include <snowfox/core/event_source.h>
#include <snowfox/core/intrusive_list.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/core/poller.h>

namespace snowfox {

/// The descriptors that libcurl wants watched, each with one watch from its first use until it is closed. A kept
/// connection that nobody uses stays watched, too: its server closing it is the one thing that happens there.
class CurlSockets {
 public:
  class Owner {
   public:
    virtual void on_socket_ready() noexcept = 0;
    /// A kept connection that is not in use has something to read: most likely its end.
    virtual void on_idle_socket() noexcept = 0;

   protected:
    ~Owner() = default;
  };

  CurlSockets(Poller& poller, Owner& owner) noexcept;
  ~CurlSockets();

  /// Libcurl has opened a connection on `fd`: closing() will be called before it closes it. False without memory.
  bool opened(int fd) noexcept;
  /// libcurl is about to close it.
  void closing(int fd) noexcept;
  std::size_t connections() const noexcept { return connections_; }

  /// What libcurl wants of `fd`, in its own words: CURL_POLL_…. False if the system refuses to watch it.
  bool set(int fd, int wanted) noexcept;

  /// One that is ready and for what (CURL_CSELECT_…); false if there is none.
  bool next_ready(int& fd, int& ready) noexcept;

 private:
  class Socket;
  Socket* find(int fd) const noexcept;
  Socket& make(int fd);

  Poller& poller_;
  Owner& owner_;
  std::vector<std::unique_ptr<Socket>> sockets_;  // by descriptor
  IntrusiveList<Socket, Socket> ready_;
  std::size_t connections_ = 0;
};

}  // namespace snowfox
