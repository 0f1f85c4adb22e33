#include "load_generator.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>
#include <stdexcept>
#include <string>

namespace snowfox::peers {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;
// So many of the idle connections are being opened at a time.
constexpr std::size_t kOpening = 64;

}  // namespace

std::uint64_t now_nanoseconds() noexcept {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<std::uint64_t>(time.tv_sec) * kSecond + static_cast<std::uint64_t>(time.tv_nsec);
}

LoadGenerator::LoadGenerator(const LoadOptions& options)
    : options_(options), requests_(options.body_bytes), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) fail("epoll_create1");
  raise_descriptor_limit();
}

LoadGenerator::~LoadGenerator() {
  for (auto* all : {&connections_, &idle_}) {
    for (const auto& connection : *all) close(connection->fd);
  }
  close(epoll_);
}

void LoadGenerator::watch(Connection& connection, int operation, bool write) {
  connection.watches_write = write;
  epoll_event event{};
  event.events = write ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.ptr = &connection;
  if (epoll_ctl(epoll_, operation, connection.fd, &event) != 0) fail("epoll_ctl");
}

void LoadGenerator::open(Connection& connection) {
  const int family = options_.server.tcp() ? AF_INET : AF_UNIX;
  connection.fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (connection.fd < 0) fail("socket");
  int result = 0;
  if (options_.server.tcp()) {
    set_no_delay(connection.fd);
    // The ports of one address do not last long when each is left for a minute after its use, so there are many.
    const int on = 1;
    setsockopt(connection.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in source = loopback_address(0);
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + next_source_++ % 60'000);
    if (bind(connection.fd, reinterpret_cast<const sockaddr*>(&source), sizeof source) != 0) fail("bind");
    const sockaddr_in address = loopback_address(options_.server.port);
    result = ::connect(connection.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } else {
    const sockaddr_un address = unix_address(options_.server.path);
    result = ::connect(connection.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  }
  if (result != 0 && errno != EINPROGRESS) fail("connect");
  connection.under_way.resize(options_.churn ? 1 : options_.depth);
  watch(connection, EPOLL_CTL_ADD, false);
}

void LoadGenerator::connect() {
  last_answer_at_ = now_nanoseconds();
  while (connections_.size() < options_.connections) {
    connections_.push_back(std::make_unique<Connection>());
    open(*connections_.back());
  }
}

void LoadGenerator::connect_idle(std::size_t count) {
  asking_ = false;
  last_answer_at_ = now_nanoseconds();
  for (const std::size_t wanted = idle_.size() + count; idle_.size() < wanted;) {
    for (std::size_t i = 0; i < kOpening && idle_.size() < wanted; ++i) {
      idle_.push_back(std::make_unique<Connection>());
      open(*idle_.back());
      ask(*idle_.back(), now_nanoseconds());
      send_asked(*idle_.back(), asked_);
    }
    finish();
  }
}

void LoadGenerator::ask(Connection& connection, std::uint64_t now) {
  Request& request = connection.under_way[(connection.first + connection.count) % connection.under_way.size()];
  requests_.make(request, asked_);
  request.sent_at = now;
  ++connection.count;
  ++under_way_;
}

/// Sends `asked`, which is empty then; what the kernel does not take waits in the connection.
void LoadGenerator::send_asked(Connection& connection, Bytes& asked) {
  if (connection.unsent.empty()) {
    const ssize_t count = send(connection.fd, asked.data(), asked.size(), MSG_NOSIGNAL);
    if (count < 0 && errno != EAGAIN) fail("send a request");
    if (count > 0) asked.consume(static_cast<std::size_t>(count));
  }
  if (!asked.empty()) {
    connection.unsent.append(asked.span());
    asked.clear();
    if (!connection.watches_write) watch(connection, EPOLL_CTL_MOD, true);
  }
}

void LoadGenerator::on_writable(Connection& connection) {
  const ssize_t count = send(connection.fd, connection.unsent.data(), connection.unsent.size(), MSG_NOSIGNAL);
  if (count < 0 && errno != EAGAIN) fail("send a request");
  if (count > 0) connection.unsent.consume(static_cast<std::size_t>(count));
  if (connection.unsent.empty()) watch(connection, EPOLL_CTL_MOD, false);
}

bool LoadGenerator::on_answer(Connection& connection, std::span<const char> message, std::uint64_t now) {
  if (connection.count == 0) throw std::runtime_error("an answer came that nobody asked for");
  auto at = [&](std::size_t i) -> Request& {
    return connection.under_way[(connection.first + i) % connection.under_way.size()];
  };
  // Answers may come in another order than their requests, though they seldom do.
  if (!requests_.answers(at(0), message)) {
    std::size_t i = 1;
    while (i < connection.count && !requests_.has_id_of(at(i), message)) ++i;
    if (i >= connection.count || !requests_.answers(at(i), message)) {
      throw std::runtime_error("a wrong answer: its id, code or body is not that of a request under way");
    }
    std::swap(at(0), at(i));
  }
  latencies_->add(now - (options_.churn && connection.opened_at != 0 ? connection.opened_at : at(0).sent_at));
  connection.first = (connection.first + 1) % connection.under_way.size();
  --connection.count;
  --under_way_;
  last_answer_at_ = now;
  return true;
}

/// Ends a connection that was used once, and begins the next one.
void LoadGenerator::reopen(Connection& connection) {
  close(connection.fd);
  connection.opened_at = now_nanoseconds();
  open(connection);
  ask(connection, connection.opened_at);
  send_asked(connection, asked_);
}

void LoadGenerator::on_readable(Connection& connection) {
  const std::span<char> room = connection.unframed.room(received_.get());
  const ssize_t count = recv(connection.fd, room.data(), room.size(), 0);
  if (count < 0 && errno == EAGAIN) return;
  if (count < 0) fail("receive an answer");
  if (count == 0) throw std::runtime_error("the server closed a connection");
  const std::uint64_t now = now_nanoseconds();
  const auto all = connection.unframed.received(received_.get(), static_cast<std::size_t>(count));
  std::size_t answered = 0;
  const std::size_t used = for_each_frame(all, [&](std::span<const char> message) {
    ++answered;
    return on_answer(connection, message, now);
  });
  if (used == kMalformed) throw std::runtime_error("an answer is longer than any may be");
  connection.unframed.used(all, used);
  if (!asking_ || answered == 0) return;
  if (options_.churn) {
    reopen(connection);
  } else {
    for (; answered != 0; --answered) ask(connection, now);
    send_asked(connection, asked_);
  }
}

bool LoadGenerator::turn(int timeout_ms) {
  const int count =
      epoll_wait(epoll_, events_.data(), static_cast<int>(events_.size()), options_.spin ? 0 : timeout_ms);
  if (count < 0 && errno != EINTR) fail("epoll_wait");
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = events_[static_cast<std::size_t>(i)];
    auto& connection = *static_cast<Connection*>(event.data.ptr);
    if ((event.events & EPOLLOUT) != 0) on_writable(connection);
    if ((event.events & ~EPOLLOUT) != 0) on_readable(connection);
  }
  now_ = now_nanoseconds();
  const auto patience = static_cast<std::uint64_t>(options_.patience_seconds * static_cast<double>(kSecond));
  if (under_way_ != 0 && now_ > last_answer_at_ + patience) throw std::runtime_error("no answer comes any more");
  return count > 0;
}

void LoadGenerator::run(double seconds, std::uint64_t wanted) {
  const auto end = now_nanoseconds() + static_cast<std::uint64_t>(seconds * static_cast<double>(kSecond));
  now_ = now_nanoseconds();
  asking_ = true;
  last_answer_at_ = now_;
  for (const auto& connection : connections_) {
    if (connection->count != 0) continue;
    if (options_.churn && connection->opened_at != 0) {
      reopen(*connection);
      continue;
    }
    connection->opened_at = now_;
    while (connection->count < connection->under_way.size()) ask(*connection, now_);
    send_asked(*connection, asked_);
  }
  while (wanted != 0 ? answers() < wanted : now_ < end) turn(100);
}

void LoadGenerator::finish() {
  asking_ = false;
  while (under_way_ != 0) turn(100);
}

namespace {

/// A connection that blocks, but not for ever.
class Visitor {
 public:
  explicit Visitor(const Place& server) : fd_(connect_to(server)) {
    const timeval patience{5, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  }
  ~Visitor() { close(fd_); }
  Visitor(const Visitor&) = delete;
  Visitor& operator=(const Visitor&) = delete;

  void say(std::span<const char> bytes) {
    while (!bytes.empty()) {
      const ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) fail("send");
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
  }
  std::string hear(std::size_t bytes) {
    std::string heard(bytes, '\0');
    for (std::size_t at = 0; at < bytes;) {
      const ssize_t count = recv(fd_, heard.data() + at, bytes - at, 0);
      if (count == 0) throw std::runtime_error("the server closed a connection that it should not");
      if (count < 0) fail("receive");
      at += static_cast<std::size_t>(count);
    }
    return heard;
  }
  void expect_end(const char* after) {
    char byte = 0;
    const ssize_t count = recv(fd_, &byte, 1, 0);
    if (count > 0 || (count < 0 && errno == EAGAIN)) {
      throw std::runtime_error(std::string("the server does not close a connection after ") + after);
    }
  }

 private:
  int fd_;
};

void expect_answers(Visitor& visitor, EchoRequests& requests, const std::vector<Request>& asked) {
  for (const Request& request : asked) {
    const std::string answer = visitor.hear(requests.frame_bytes());
    if (frame_bytes(answer.data()) != answer.size() - kHeaderBytes ||
        !requests.answers(request, std::span(answer).subspan(kHeaderBytes))) {
      throw std::runtime_error("a wrong answer: its id, code or body is not that of the request");
    }
  }
}

void check_bodies(const Place& server, std::size_t count, std::size_t body_bytes, std::size_t piece_bytes) {
  EchoRequests requests(body_bytes);
  Visitor visitor(server);
  std::vector<Request> asked(count);
  Bytes bytes;
  for (Request& request : asked) requests.make(request, bytes);
  while (!bytes.empty()) {
    const std::size_t piece = std::min(piece_bytes, bytes.size());
    visitor.say(bytes.span().first(piece));
    bytes.consume(piece);
  }
  expect_answers(visitor, requests, asked);
}

void check_refusal(const Place& server, const std::string& nonsense, const char* what) {
  EchoRequests requests(64);
  Visitor bystander(server);
  Visitor visitor(server);
  visitor.say(nonsense);
  visitor.expect_end(what);
  std::vector<Request> asked(1);
  Bytes bytes;
  requests.make(asked[0], bytes);
  bystander.say(bytes.span());
  expect_answers(bystander, requests, asked);
}

}  // namespace

void check_server(const Place& server) {
  check_bodies(server, 3, 64, 1);
  check_bodies(server, 3, 64, 1 << 20);
  check_bodies(server, 3, 16'384, 10'000);
  // One at a time: who has not read its answers need not be read from.
  check_bodies(server, 1, 200'000, 1 << 20);
  check_bodies(server, 1, 2'000'000, 1 << 20);
  using namespace std::string_literals;
  check_refusal(server, "\x01\x00\x00\x01"s, "the header of a frame that is too long");
  check_refusal(server, "\x00\x00\x00\x04\xff\xff\xff\xff"s, "a message that is none");
  check_refusal(server, "\x00\x00\x00\x02\x10\x01"s, "a message without a correlation id");
}

}  // namespace snowfox::peers
