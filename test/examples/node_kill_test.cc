#include <atomic>
#include <cstdlib>
#include <map>
#include <thread>

#include "examples/node_fixture.h"

namespace snowfox::node {
namespace {

using public_api::Service;
using SteadyClock = std::chrono::steady_clock;

/// Clients that each ask one thing after the other, and connect again when they are cut off.
class Load {
 public:
  Load(const Address& node, std::size_t clients) : node_(node), clients_(clients), thread_([this] { run(); }) {}
  ~Load() { stop(); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  void stop() {
    ended_ = true;
    if (thread_.joinable()) thread_.join();
  }
  /// Whether each client is answered, from now on, at least once.
  bool all_are_answered() {
    ++round_;
    return eventually([&] { return answered_in_round_ == clients_.size(); });
  }
  std::uint64_t answered() const { return answered_; }
  std::uint64_t cut_off() const { return cut_off_; }
  /// So long the one waited who waited longest, for an answer or for being cut off. After stop().
  std::chrono::milliseconds longest() const { return std::chrono::duration_cast<std::chrono::milliseconds>(longest_); }

 private:
  struct Client {
    std::optional<RawClient> connection;
    SteadyClock::time_point asked{};
    std::uint64_t number = 0;
    int round = 0;
  };

  void run() {
    while (!ended_) {
      std::vector<pollfd> watched;
      for (Client& client : clients_) {
        if (!client.connection) connect(client);
        watched.push_back({client.connection ? client.connection->fd() : -1, POLLIN, 0});
      }
      poll(watched.data(), watched.size(), 10);
      for (std::size_t i = 0; i < clients_.size(); ++i) {
        if (watched[i].revents != 0) hear(clients_[i]);
      }
      const int round = round_;
      answered_in_round_ = static_cast<std::size_t>(
          std::count_if(clients_.begin(), clients_.end(), [&](const Client& one) { return one.round == round; }));
    }
    for (const Client& client : clients_) {
      if (client.connection) longest_ = std::max(longest_, SteadyClock::now() - client.asked);
    }
  }
  void connect(Client& client) {
    try {
      client.connection.emplace(node_);
    } catch (const std::system_error&) {
      return;  // there is no node now
    }
    auto hello = client.connection->make(public_api::INTRODUCE_REQUEST, "hello");
    hello.mutable_introduce_request();
    ask(client, hello);
  }
  void ask(Client& client, const public_api::Message& message) {
    const std::string frame = RawClient::frame(message);
    client.asked = SteadyClock::now();
    // One that cannot be sent any more is found out when the answer is read.
    [[maybe_unused]] const ssize_t sent = ::send(client.connection->fd(), frame.data(), frame.size(), MSG_NOSIGNAL);
  }
  void hear(Client& client) {
    const auto answer = client.connection->receive();
    longest_ = std::max(longest_, SteadyClock::now() - client.asked);
    if (!answer) {
      ++cut_off_;
      client.connection.reset();
      return;
    }
    if (answer->has_introduce_response()) {
      id_of_[client.connection->fd()] = answer->introduce_response().client_id();
    } else {
      ++answered_;
      client.round = round_;
    }
    // Every other needs the spawner.
    auto request = client.connection->make(public_api::NODE_INFO_REQUEST,
                                           id_of_[client.connection->fd()] + "/" + std::to_string(++client.number));
    request.mutable_node_info_request()->set_details(client.number % 2 == 0);
    ask(client, request);
  }

  Address node_;
  std::vector<Client> clients_;
  std::map<int, std::string> id_of_;  // by descriptor
  std::atomic<bool> ended_{false};
  std::atomic<int> round_{0};
  std::atomic<std::size_t> answered_in_round_{0};
  std::atomic<std::uint64_t> answered_{0};
  std::atomic<std::uint64_t> cut_off_{0};
  SteadyClock::duration longest_{};
  std::thread thread_;
};

/// A node whose processes are killed while many clients ask it. Once each; ten times with SNOWFOX_LOAD_IN_FULL.
class NodeKillTest : public NodeTest {
 protected:
  static constexpr std::size_t kClients = 100;
  static constexpr int kServices = 10;

  static std::string name(int number) { return "steady-" + std::to_string(number); }
  static int rounds() { return std::getenv("SNOWFOX_LOAD_IN_FULL") != nullptr ? 10 : 1; }

  void start_with_services() {
    std::string text = "services:\n";
    for (int i = 0; i < kServices; ++i) text += "- {id: " + name(i) + ", command: [sleep, '1000']}\n";
    configure(text);
    start();
    for (int i = 0; i < kServices; ++i) pids_.push_back(service_in(name(i), Service::Running).pid());
  }
  pid_t child_named(const std::string& part) const {
    for (const pid_t pid : children_of(daemon_->pid())) {
      if (read_file("/proc/" + std::to_string(pid) + "/comm").starts_with(part)) return pid;
    }
    return 0;
  }
  void expect_services_untouched() {
    for (const Service& service : services()) {
      EXPECT_EQ(service.state(), Service::Running) << service.id();
      EXPECT_EQ(service.restarts(), 0) << service.id();
      EXPECT_NE(std::find(pids_.begin(), pids_.end(), service.pid()), pids_.end()) << service.id();
      EXPECT_FALSE(gone(service.pid())) << service.id();
    }
  }
  /// Kills that part again and again, and demands each time that all comes back.
  void kill_again_and_again(const std::string& part, Load& load) {
    for (int round = 0; round < rounds(); ++round) {
      ASSERT_TRUE(load.all_are_answered());
      pid_t former = 0;
      // It may be that it is being started again.
      ASSERT_TRUE(eventually([&] { return (former = child_named(part)) != 0; }));
      ::kill(former, SIGKILL);
      ASSERT_TRUE(eventually([&] {
        const pid_t now = child_named(part);
        return now != 0 && now != former && client({"--eval", "node.status()"}).exit_code == 0 &&
               status().status().colour() == Status::Green;
      })) << part;
      ASSERT_TRUE(load.all_are_answered());
      expect_services_untouched();
    }
  }
  void expect_end(Load& load) {
    load.stop();
    EXPECT_GT(load.answered(), kClients);
    EXPECT_LT(load.longest(), kPatience) << "somebody waited for an answer that did not come";
    parts_ = children_of(daemon_->pid());
    stop();
    for (const pid_t pid : pids_) EXPECT_TRUE(gone(pid));
  }
  void stop() {
    daemon_->kill(SIGTERM);
    EXPECT_EQ(daemon_->wait(), 0);
    for (const pid_t pid : parts_) EXPECT_TRUE(eventually([&] { return gone(pid); })) << pid;
  }

  std::vector<pid_t> pids_;
};

// Goal: who is connected to a manager that dies is cut off at once, connects again and is served; what runs runs on.
TEST_F(NodeKillTest, GetsOverTheDeathOfItsManagerUnderLoad) {
  start_with_services();
  Load load(socket(), kClients);
  kill_again_and_again("snow-fox-manage", load);
  EXPECT_GE(load.cut_off(), kClients / 2) << "who waits for an answer nearly always";
  expect_end(load);
}

// Goal: a spawner that dies costs details that are asked for just then, and no connection.
TEST_F(NodeKillTest, GetsOverTheDeathOfItsSpawnerUnderLoad) {
  start_with_services();
  Load load(socket(), kClients);
  kill_again_and_again("snow-fox-spawne", load);
  EXPECT_EQ(load.cut_off(), 0);
  expect_end(load);
}

// Goal: a daemon that dies takes its parts with it, but nothing that runs; the next one takes all up.
TEST_F(NodeKillTest, GetsOverTheDeathOfItsDaemonUnderLoad) {
  start_with_services();
  Load load(socket(), kClients);
  for (int round = 0; round < rounds(); ++round) {
    ASSERT_TRUE(load.all_are_answered());
    const auto former = parts_;
    daemon_->kill(SIGKILL);
    daemon_->wait();
    start();
    for (const pid_t pid : former) EXPECT_TRUE(eventually([&] { return gone(pid); }));
    ASSERT_TRUE(load.all_are_answered());
    for (int i = 0; i < kServices; ++i) service_in(name(i), Service::Running);
    expect_services_untouched();
  }
  EXPECT_GE(load.cut_off(), kClients / 2);
  expect_end(load);
}

}  // namespace
}  // namespace snowfox::node
