#pragma once

#include <sys/signalfd.h>

#include <csignal>
#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <string>

#include <snowfox/core/address.h>
#include <snowfox/core/clock.h>
#include <snowfox/simulation/simulation.h>

namespace snowfox::simulation {

/// What a descriptor stands for.
class Object {
 public:
  Object() = default;
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  virtual std::string describe() const = 0;
  virtual bool readable() const = 0;
  virtual bool writable() const { return false; }
  /// Both are told, as epoll does.
  virtual bool failed() const { return false; }
  /// The last descriptor of it is closed; `silently`: nobody else hears of it.
  virtual void closed(bool silently) = 0;
};

/// One end of a connection or a pipe.
class StreamEnd final : public Object, public std::enable_shared_from_this<StreamEnd> {
 public:
  enum class Kind { Tcp, Unix, Pipe };
  StreamEnd(Simulation::World& world, Host::State& host, Kind kind, std::size_t room);

  /// Makes two into a connection.
  static void join(const std::shared_ptr<StreamEnd>& one, const std::shared_ptr<StreamEnd>& other);

  std::string describe() const override;
  bool readable() const override;
  bool writable() const override;
  bool failed() const override { return error_ != 0; }
  void closed(bool silently) override;

  /// As read(2): the count, 0 at the end, a negative errno.
  ssize_t read(char* into, std::size_t most);
  /// As write(2). So much of `bytes` as fits goes on its way.
  ssize_t write(std::string_view bytes);
  void shut_down_writing();
  /// So many bytes that were written are still under way.
  std::size_t undelivered() const noexcept;
  /// The connection is broken for both.
  void reset();

  Kind kind() const noexcept { return kind_; }
  bool connecting() const noexcept { return connecting_; }
  /// The end of being under way: 0, or why it failed.
  void connected(int error);
  /// What is to be told of it once: then it is forgotten.
  int take_error() noexcept { return std::exchange(error_, 0); }

  Host::State& host;
  Address local{};
  std::optional<Address> remote{};
  std::optional<PeerCredentials> credentials{};
  bool slow = false;

 private:
  friend class Kernel;
  struct Segment {
    std::string bytes{};
    bool end = false;
    int error = 0;
    TimePoint arrives{};
  };
  void send(Segment segment);
  void arrive();

  Simulation::World& world_;
  Kind kind_;
  std::weak_ptr<StreamEnd> peer_;
  Host::State* peer_host_ = nullptr;
  std::string received_;
  std::size_t room_;
  std::size_t under_way_ = 0;  // bytes sent to here that have not arrived
  std::deque<Segment> arriving_;
  bool connecting_ = false;
  bool ended_ = false;        // the peer sends no more
  bool write_ended_ = false;  // nor do we
  bool peer_silent_ = false;  // the peer's machine lost its power
  bool was_reset_ = false;
  int error_ = 0;
};

/// Those who have connected and wait to be accepted.
class Listener final : public Object {
 public:
  Listener(const Address& bound, std::size_t most, pid_t listening) : address(bound), backlog(most), pid(listening) {}
  std::string describe() const override { return "listener " + address.str(); }
  bool readable() const override { return !waiting.empty(); }
  void closed(bool silently) override;

  Address address;
  std::size_t backlog;
  pid_t pid;  // who made it
  std::deque<std::shared_ptr<StreamEnd>> waiting;
};

/// Signals that were sent and not read.
class SignalQueue final : public Object {
 public:
  explicit SignalQueue(const sigset_t& taken) : signals(taken) {}
  std::string describe() const override { return "signals"; }
  bool readable() const override { return !pending.empty(); }
  void closed(bool) override {}

  sigset_t signals;
  std::deque<signalfd_siginfo> pending;
};

/// Stands for a process.
class ProcessHandle final : public Object {
 public:
  ProcessHandle(Simulation::World& world, pid_t whose) : pid(whose), world_(world) {}
  std::string describe() const override { return "process " + std::to_string(pid); }
  bool readable() const override;
  void closed(bool) override {}

  pid_t pid;

 private:
  Simulation::World& world_;
};

}  // namespace snowfox::simulation
