#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "echo.pb.h"
#include "examples/node_fixture.h"
#include "support/framed.h"

namespace snowfox::node {
namespace {

constexpr std::size_t kClients = 40;
constexpr int kUnderWay = 100;

/// Asks with many requests under way and looks at every byte that comes, up to the end of the connection.
class EagerClient {
 public:
  /// Makes the frame of request `number`.
  using MakeRequest = std::function<std::string(std::uint64_t number)>;
  /// Which request a message answers; none that was asked if it answers none.
  using NumberOf = std::function<std::uint64_t(std::string_view message)>;

  EagerClient(Descriptor socket, MakeRequest make_request, NumberOf number_of, int under_way = kUnderWay)
      : socket_(std::move(socket)), make_request_(std::move(make_request)), number_of_(std::move(number_of)) {
    for (int i = 0; i < under_way; ++i) ask();
  }

  int fd() const { return socket_.get(); }
  short events() const { return static_cast<short>(POLLIN | (unsent_.empty() ? 0 : POLLOUT)); }
  bool ended() const { return ended_; }
  std::uint64_t answers() const { return answers_; }
  std::uint64_t unanswered() const { return asked_.size() - answers_; }
  /// Requests without an answer that were taken: a later one of the same connection has been answered.
  std::uint64_t forgotten() const {
    const auto last = std::find(asked_.rbegin(), asked_.rend(), true).base();
    return static_cast<std::uint64_t>(std::count(asked_.begin(), last, false));
  }

  /// Sends what is taken, and reads nothing. How much that was.
  std::size_t only_send() { return send_more(); }
  /// Takes what has come, and asks anew for each answer.
  void go_on() {
    send_more();
    for (;;) {
      std::array<char, 65536> part;
      const ssize_t count = ::recv(fd(), part.data(), part.size(), MSG_DONTWAIT);
      if (count < 0 && errno == EAGAIN) break;
      if (count <= 0) {
        ended_ = true;
        EXPECT_TRUE(received_.empty()) << "an answer was cut off after " << received_.size() << " bytes";
        return;
      }
      received_.append(part.data(), static_cast<std::size_t>(count));
      take_answers();
    }
    send_more();
  }

 private:
  void ask() {
    unsent_ += make_request_(asked_.size());
    asked_.push_back(false);
  }
  std::size_t send_more() {
    const ssize_t count = ::send(fd(), unsent_.data(), unsent_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    // The connection is over: what was answered until then is still to be read.
    if (count < 0 && errno != EAGAIN) unsent_.clear();
    if (count <= 0) return 0;
    unsent_.erase(0, static_cast<std::size_t>(count));
    return static_cast<std::size_t>(count);
  }
  void take_answers() {
    std::size_t begin = 0;
    while (received_.size() - begin >= 4) {
      std::size_t size = 0;
      for (std::size_t i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(received_[begin + i]);
      if (received_.size() - begin < 4 + size) break;
      const std::uint64_t number = number_of_(std::string_view(received_).substr(begin + 4, size));
      begin += 4 + size;
      EXPECT_LT(number, asked_.size());
      if (number >= asked_.size()) continue;
      EXPECT_FALSE(asked_[number]) << "request " << number << " was answered twice";
      asked_[number] = true;
      ++answers_;
      ask();
    }
    received_.erase(0, begin);
  }

  Descriptor socket_;
  MakeRequest make_request_;
  NumberOf number_of_;
  std::string unsent_;
  std::string received_;
  std::vector<bool> asked_;  // and whether it was answered
  std::uint64_t answers_ = 0;
  bool ended_ = false;
};

class ShutdownLoadTest : public NodeTest {
 protected:
  void run_until(const std::function<bool()>& condition) {
    const auto give_up = std::chrono::steady_clock::now() + kPatience;
    std::vector<pollfd> waiting;
    while (!condition() && std::chrono::steady_clock::now() < give_up) {
      waiting.clear();
      for (const auto& client : clients_) {
        waiting.push_back({client->ended() ? -1 : client->fd(), client->events(), 0});
      }
      poll(waiting.data(), waiting.size(), 10);
      for (std::size_t i = 0; i < clients_.size(); ++i) {
        if (waiting[i].revents != 0) clients_[i]->go_on();
      }
    }
    EXPECT_TRUE(condition());
  }
  std::uint64_t answers() const {
    std::uint64_t all = 0;
    for (const auto& client : clients_) all += client->answers();
    return all;
  }
  /// Sends TERM while all ask, and looks at what becomes of them.
  void expect_orderly_end(const Program& server, std::string_view name) {
    run_until([&] {
      return std::all_of(clients_.begin(), clients_.end(), [](const auto& client) { return client->answers() > 200; });
    });
    const std::uint64_t before = answers();
    const auto asked = std::chrono::steady_clock::now();
    server.kill(SIGTERM);
    run_until([&] {
      return std::all_of(clients_.begin(), clients_.end(), [](const auto& client) { return client->ended(); });
    });
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - asked;
    std::uint64_t unanswered = 0;
    for (const auto& client : clients_) {
      unanswered += client->unanswered();
      EXPECT_EQ(client->forgotten(), 0);
    }
    fmt::print(
        "{}: {} clients with {} requests each under way; {} answers before TERM, {} after it, {} told by the end of "
        "their connection, {:.0f} ms after TERM\n",
        name, clients_.size(), kUnderWay, before, answers() - before, unanswered, took.count());
  }

  std::vector<std::unique_ptr<EagerClient>> clients_;
};

// Goal: whoever asks while the node is told to end gets a whole answer, or learns that none will come, and soon.
TEST_F(ShutdownLoadTest, ANodeEndsInOrderWhileManyAskIt) {
  configure("api:\n  listen: ['tcp:127.0.0.1:0']\n");
  start();
  const auto info = status();
  std::vector<Address> addresses{socket()};
  for (const std::string& text : info.details().api().listening()) {
    if (text.starts_with("tcp:")) addresses.push_back(Address::parse(text));
  }
  ASSERT_EQ(addresses.size(), 2);
  for (std::size_t i = 0; i < kClients; ++i) {
    RawClient introduced(addresses[i % 2]);
    introduced.introduce();
    const std::string prefix = introduced.id() + "/";
    clients_.push_back(std::make_unique<EagerClient>(
        introduced.take_socket(),
        [prefix](std::uint64_t number) {
          RawClient::Message message;
          message.set_code(public_api::NODE_INFO_REQUEST);
          message.set_correlation_id(prefix + std::to_string(number));
          // These wait for the spawner.
          message.mutable_node_info_request()->set_details(number % 4 == 0);
          return framed(message);
        },
        [prefix](std::string_view bytes) {
          RawClient::Message message;
          EXPECT_TRUE(message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
          EXPECT_TRUE(message.has_node_info_response() || message.has_error());
          EXPECT_TRUE(message.correlation_id().starts_with(prefix));
          return std::stoull(message.correlation_id().substr(prefix.size()));
        }));
  }
  expect_orderly_end(*daemon_, "node");
  EXPECT_EQ(daemon_->wait(), 0);
  EXPECT_FALSE(said("child killed"));
  expect_nothing_left();
}

/// A client of an echo server whose requests have up to `bytes` of body.
std::unique_ptr<EagerClient> make_echo_client(const Address& address, std::size_t bytes, int under_way = kUnderWay) {
  return std::make_unique<EagerClient>(
      connect_to(address),
      [bytes](std::uint64_t number) {
        echo::Envelope message;
        message.set_correlation_id(std::to_string(number));
        message.set_body(std::string(number * 7919 % bytes, 'x'));
        return framed(message);
      },
      [bytes](std::string_view text) {
        echo::Envelope message;
        EXPECT_TRUE(message.ParseFromArray(text.data(), static_cast<int>(text.size())));
        const std::uint64_t number = std::stoull(message.correlation_id());
        EXPECT_EQ(message.code(), 1);
        EXPECT_EQ(message.body().size(), number * 7919 % bytes);
        return number;
      },
      under_way);
}

class EchoShutdownTest : public ShutdownLoadTest, public testing::WithParamInterface<std::string> {
 protected:
  void start_server() {
    const std::string where = GetParam() == "tcp" ? "0" : path("echo.sock");
    server_.emplace("echo_server", std::vector<std::string>{"--" + GetParam(), where},
                    Program::Setup{.output = path("output"), .error = path("log")});
    ASSERT_TRUE(eventually([&] { return server_->output().find('\n') != std::string::npos; })) << server_->error();
    const std::string told = server_->output();
    address_ = Address::parse(told.substr(told.rfind(' ') + 1, told.size() - told.rfind(' ') - 2));
  }
  std::optional<Program> server_;
  std::optional<Address> address_;
};

INSTANTIATE_TEST_SUITE_P(All, EchoShutdownTest, testing::Values("tcp", "unix"),
                         [](const auto& family) { return family.param; });

TEST_P(EchoShutdownTest, EndsInOrderWhileManyAsk) {
  start_server();
  for (std::size_t i = 0; i < kClients; ++i) clients_.push_back(make_echo_client(*address_, 1000));
  expect_orderly_end(*server_, "echo_server, " + GetParam());
  EXPECT_EQ(server_->wait(), 0) << server_->error();
}

// Goal: what was answered comes to who reads it late, though the server is told to end meanwhile and there are requests
// that it will not read any more.
TEST_P(EchoShutdownTest, GivesItsAnswersToWhoReadsThemLate) {
  start_server();
  for (std::size_t i = 0; i < 2; ++i) clients_.push_back(make_echo_client(*address_, 200'000, 300));
  // Until the server takes nothing more, for its answers are not read.
  EXPECT_TRUE(eventually([&, since = std::chrono::steady_clock::now()]() mutable {
    for (const auto& client : clients_) {
      if (client->only_send() > 0) since = std::chrono::steady_clock::now();
    }
    return std::chrono::steady_clock::now() - since > 200ms;
  }));
  server_->kill(SIGTERM);
  ASSERT_TRUE(eventually([&] { return server_->error().find("SIGTERM") != std::string::npos; }));
  run_until([&] {
    return std::all_of(clients_.begin(), clients_.end(), [](const auto& client) { return client->ended(); });
  });
  for (const auto& client : clients_) {
    EXPECT_GT(client->answers(), 0);
    EXPECT_EQ(client->forgotten(), 0);
  }
  EXPECT_EQ(server_->wait(), 0) << server_->error();
}

}  // namespace
}  // namespace snowfox::node
