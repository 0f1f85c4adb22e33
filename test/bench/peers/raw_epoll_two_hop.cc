// raw_epoll_two_hop (--tcp PORT | --unix PATH) (--back-tcp PORT | --back-unix PATH): passes what clients ask on to an
// echo server, and its answers back to who has asked, found by correlation id in a flat table; by hand, on epoll alone.
// One read and one write a connection and turn. A request that gets no answer is forgotten after 30 seconds.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <vector>

#include "echo_work.h"
#include "listen.h"
#include "waiting_table.h"

namespace snowfox::peers {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kEvents = 256;
constexpr std::chrono::nanoseconds kPatience = std::chrono::seconds(30);
constexpr std::chrono::nanoseconds kSweepPeriod = std::chrono::seconds(1);

std::int64_t now() { return std::chrono::nanoseconds(Clock::now().time_since_epoch()).count(); }

class Front {
 public:
  explicit Front(const ServerOptions& options) : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    if (epoll_ < 0) fail("epoll_create1");
    back_ = &add(connect_to(options.back));
    listener_ = listen_at(options, "raw_epoll_two_hop");
    watch(EPOLL_CTL_ADD, listener_, EPOLLIN, nullptr);
  }

  void run() {
    std::array<epoll_event, kEvents> events;
    for (;;) {
      const int count = epoll_wait(epoll_, events.data(), kEvents, waiting_.size() == 0 ? -1 : 1000);
      if (count < 0 && errno != EINTR) fail("epoll_wait");
      now_ = now();
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.ptr == nullptr) {
          accept_all();
        } else {
          auto& connection = *static_cast<Connection*>(event.data.ptr);
          if ((event.events & EPOLLOUT) != 0) flush(connection);
          if ((event.events & ~EPOLLOUT) != 0 && connection.fd >= 0) on_readable(connection);
        }
      }
      for (Connection* connection : dirty_) flush(*connection);
      dirty_.clear();
      for (std::uint32_t index : gone_) free_.push_back(index);
      gone_.clear();
      if (now_ >= next_sweep_) {
        waiting_.erase_late(now_);
        next_sweep_ = now_ + kSweepPeriod.count();
      }
    }
  }

 private:
  /// Used again for another connection, with another generation, when it is over.
  struct Connection {
    int fd = -1;
    std::uint32_t index = 0;
    std::uint32_t generation = 0;
    bool dirty = false;
    bool watches_write = false;
    Unframed unframed;
    Bytes output;
  };

  void watch(int operation, int fd, std::uint32_t events, Connection* connection) {
    epoll_event event{};
    event.events = events;
    event.data.ptr = connection;
    if (epoll_ctl(epoll_, operation, fd, &event) != 0) fail("epoll_ctl");
  }

  Connection& add(int fd) {
    std::uint32_t index = 0;
    if (free_.empty()) {
      index = static_cast<std::uint32_t>(connections_.size());
      connections_.push_back(std::make_unique<Connection>());
      connections_.back()->index = index;
    } else {
      index = free_.back();
      free_.pop_back();
    }
    Connection& connection = *connections_[index];
    connection.fd = fd;
    watch(EPOLL_CTL_ADD, fd, EPOLLIN, &connection);
    return connection;
  }

  void drop(Connection& connection) {
    if (&connection == back_) throw std::runtime_error("the back is gone");
    if (connection.fd < 0) return;
    close(connection.fd);
    connection.fd = -1;
    ++connection.generation;
    connection.unframed = Unframed();
    connection.output.release();
    connection.watches_write = false;
    gone_.push_back(connection.index);
  }

  void accept_all() {
    for (;;) {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) return;
      set_no_delay(fd);
      add(fd);
    }
  }

  void on_readable(Connection& connection) {
    const std::span<char> room = connection.unframed.room(received_.get());
    const ssize_t count = recv(connection.fd, room.data(), room.size(), MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (count <= 0) return drop(connection);
    const auto all = connection.unframed.received(received_.get(), static_cast<std::size_t>(count));
    const std::size_t used = for_each_frame(all, [&](std::span<const char> bytes) {
      if (!parse(bytes, message_)) return false;
      return &connection == back_ ? answer() : ask(connection);
    });
    if (used == kMalformed) return drop(connection);
    connection.unframed.used(all, used);
  }

  bool ask(const Connection& client) {
    if (!waiting_.insert(message_.correlation_id(), client.index, client.generation, now_ + kPatience.count())) {
      return false;
    }
    say(*back_);
    return true;
  }

  bool answer() {
    const WaitingTable::Waiting* waiting = waiting_.find(message_.correlation_id());
    if (waiting == nullptr) return true;
    Connection& client = *connections_[waiting->connection];
    if (client.generation == waiting->generation) say(client);
    waiting_.erase(*waiting);
    return true;
  }

  void say(Connection& connection) {
    append_frame(message_, connection.output);
    if (connection.dirty) return;
    connection.dirty = true;
    dirty_.push_back(&connection);
  }

  void flush(Connection& connection) {
    connection.dirty = false;
    if (connection.output.empty()) return;
    const ssize_t count =
        send(connection.fd, connection.output.data(), connection.output.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno != EAGAIN && errno != EINTR) return drop(connection);
    if (count > 0) connection.output.consume(static_cast<std::size_t>(count));
    const bool more = !connection.output.empty();
    if (more == connection.watches_write) return;
    connection.watches_write = more;
    // A client that does not read is not read from.
    const std::uint32_t reading = more && &connection != back_ ? 0U : std::uint32_t{EPOLLIN};
    watch(EPOLL_CTL_MOD, connection.fd, more ? reading | EPOLLOUT : reading, &connection);
  }

  int epoll_;
  int listener_ = -1;
  Connection* back_ = nullptr;
  std::int64_t now_ = now();
  std::int64_t next_sweep_ = now_;
  Envelope message_;
  WaitingTable waiting_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> gone_;
  std::vector<Connection*> dirty_;
  std::unique_ptr<char[]> received_ = std::make_unique_for_overwrite<char[]>(2 * kReceiveBytes);
};

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "raw_epoll_two_hop", [](const ServerOptions& options) { Front(options).run(); });
}
