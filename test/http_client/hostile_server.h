#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

namespace snowfox {

/// A server on 127.0.0.1 that does what its test says, byte by byte, each connection on a thread of its own.
class HostileServer {
 public:
  /// One connection, which blocks, until the server goes.
  class Connection {
   public:
    explicit Connection(int fd) noexcept : fd_(fd) {}
    /// Reads until the header of a request has ended, and its body by its Content-Length. Empty if none comes.
    std::string read_request();
    /// False if the client has gone.
    bool write(std::string_view bytes);
    /// Reads until the client has gone.
    void hang();
    /// Closes it so that the client gets a reset.
    void reset();

   private:
    int fd_;
    std::string rest_;
  };
  using Script = std::function<void(Connection&)>;

  /// `script` is called for each connection, on another thread; the connection is closed when it returns.
  explicit HostileServer(Script script);
  /// Ends all connections and waits for their scripts.
  ~HostileServer();

  int port() const noexcept { return port_; }
  std::string url(std::string_view path = "/") const;
  int connections() const noexcept { return connections_; }

 private:
  void serve();

  Script script_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<int> connections_{0};
  std::mutex mutex_;
  bool ending_ = false;
  std::list<int> open_;
  std::list<std::thread> threads_;
  std::thread acceptor_;
};

/// A whole response.
std::string response_with(std::string_view body, std::string_view status = "200 OK", std::string_view fields = "");

}  // namespace snowfox
