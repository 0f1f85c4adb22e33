#pragma once

#include <netinet/in.h>
#include <sys/epoll.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "echo_requests.h"
#include "latency_histogram.h"
#include "peers/echo_work.h"
#include "peers/listen.h"

namespace snowfox::peers {

struct LoadOptions {
  Place server;
  std::size_t connections = 1;
  std::size_t depth = 1;  ///< requests under way on each
  std::size_t body_bytes = 64;
  bool churn = false;            ///< each connection is for one request, then the next one takes its place
  bool spin = false;             ///< wait for answers without sleeping
  double patience_seconds = 20;  ///< without an answer, until that is an error
};

/// Keeps an echo server busy: so many requests are always under way, each answer is checked, and the next request goes
/// out when it has come. Everything that is not as it must be is thrown as std::runtime_error.
class LoadGenerator {
 public:
  explicit LoadGenerator(const LoadOptions& options);
  ~LoadGenerator();

  /// Makes the connections.
  void connect();
  /// Makes so many further connections, on each of which one request is answered and then nothing happens.
  void connect_idle(std::size_t count);

  /// Asks until `seconds` have gone by, or `answers` have come if that is not 0. Requests stay under way between two
  /// calls.
  void run(double seconds, std::uint64_t answers = 0);
  /// Waits for all that was asked.
  void finish();

  /// Requests answered, with churn as many as connections closed, since the last reset().
  std::uint64_t answers() const noexcept { return latencies_->count(); }
  const LatencyHistogram& latencies() const noexcept { return *latencies_; }
  void reset() { latencies_ = std::make_unique<LatencyHistogram>(); }

 private:
  struct Connection {
    int fd = -1;
    bool watches_write = false;
    Unframed unframed;
    Bytes unsent;
    std::vector<Request> under_way;  // a ring
    std::size_t first = 0;
    std::size_t count = 0;
    std::uint64_t opened_at = 0;
  };

  void open(Connection& connection);
  void reopen(Connection& connection);
  void watch(Connection& connection, int operation, bool write);
  void ask(Connection& connection, std::uint64_t now);
  void send_asked(Connection& connection, Bytes& asked);
  void on_readable(Connection& connection);
  bool on_answer(Connection& connection, std::span<const char> message, std::uint64_t now);
  void on_writable(Connection& connection);
  bool turn(int timeout_ms);

  LoadOptions options_;
  EchoRequests requests_;
  int epoll_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>> idle_;
  std::array<epoll_event, 256> events_{};
  std::unique_ptr<LatencyHistogram> latencies_ = std::make_unique<LatencyHistogram>();
  std::unique_ptr<char[]> received_ = std::make_unique_for_overwrite<char[]>(2 * kReceiveBytes);
  Bytes asked_;
  bool asking_ = false;
  std::size_t under_way_ = 0;
  std::uint64_t now_ = 0;
  std::uint64_t last_answer_at_ = 0;
  std::uint32_t next_source_ = 0;
};

std::uint64_t now_nanoseconds() noexcept;

/// Whether the server keeps the protocol: frames in pieces and several at once, large bodies; and that it ends
/// connections over which nonsense comes, and no others. Throws std::runtime_error if not.
void check_server(const Place& server);

}  // namespace snowfox::peers
