#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <thread>

namespace snowfox {

/// Between a client and a server on 127.0.0.1, on a thread of its own: passes on what each says, until it comes upon
/// what it is to cut at. Then it does what it was told, once, and goes on with the connections that come after.
class Proxy {
 public:
  explicit Proxy(const std::string& server_port);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;

  const std::string& port() const noexcept { return port_; }

  /// Ends the connection in place of passing on the server's next bytes with `text` in them.
  void cut_at_answer(const std::string& text) { set(Cut::Answer, text); }
  /// The same with the client's.
  void cut_at_request(const std::string& text) { set(Cut::Request, text); }
  /// Leaves the connection open, and passes nothing on from there.
  void swallow_at_answer(const std::string& text) { set(Cut::Swallow, text); }

 private:
  enum class Cut { None, Answer, Request, Swallow };
  void set(Cut cut, const std::string& text);
  bool fires(bool request, const std::string& bytes, bool& swallow);
  void run();

  std::string server_port_;
  std::string port_;
  int listener_ = -1;
  std::atomic<bool> ended_ = false;
  std::mutex mutex_;
  Cut cut_ = Cut::None;
  std::string text_;
  std::thread thread_;
};

}  // namespace snowfox
