// echo_instructions SCENARIO ROUNDS: serves so many rounds of a scenario, with its clients in the same thread. Run
// under callgrind, which counts instructions only inside of serve(): twice as many rounds less these, and what it takes
// to start is gone. test/bench/instructions does so.
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <snowfox/core/loop_manager.h>
#include <snowfox/promises/promise_keeper.h>
#include <snowfox/promises/request.h>
#include <snowfox/sources/proto_buf_source.h>

#include "echo_requests.h"

namespace {

using namespace snowfox;
using echo::Envelope;
using View = EnvelopeView<EnvelopeFields{.correlation_id = 1, .code = 2}>;
using peers::Request;

struct Scenario {
  std::string_view name;
  std::size_t connections;
  std::size_t depth;
  std::size_t body_bytes;
  std::size_t idle;
  bool churn;
  bool two_hop;
  bool in_place = false;
};

constexpr Scenario kScenarios[] = {
    {"one", 1, 1, 64, 0, false, false},      {"deep", 64, 16, 64, 0, false, false},
    {"wide", 1000, 1, 64, 0, false, false},  {"large", 16, 4, 16384, 0, false, false},
    {"churn", 64, 1, 64, 0, true, false},    {"beside-idle", 64, 16, 64, 2000, false, false},
    {"two-hop", 64, 16, 64, 0, false, true}, {"in-place", 64, 16, 64, 0, false, false, true},
};

std::pair<int, int> socket_pair() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
    throw std::runtime_error("sockets");
  const int room = 1 << 20;
  for (const int end : ends) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  return {ends[0], ends[1]};
}

/// What is measured; its clients are given the other ends of its connections.
class Server {
 public:
  explicit Server(const Scenario& scenario) : in_place_(scenario.in_place) {
    if (!scenario.two_hop) {
      requests_.on_message = [](MessageEvent<Envelope>& request) {
        request.message().set_code(request.message().code() + 1);
        request.answer(request.message());
      };
      return;
    }
    const auto [ours, theirs] = socket_pair();
    back_fd_ = theirs;
    answers_.on_message = [this](MessageEvent<Envelope>& answer) {
      keeper_.fulfill<Answer>(answer.correlation_id(), answer.take_message());
    };
    back_ = connect_proto_buf(loop_, Channel::make(loop_, Descriptor(loop_.io(), ours)), answers_).drain;
    requests_.on_message = [this](MessageEvent<Envelope>& request) {
      auto answered = [this, client = request.drain_id(), lease = request.answer_later()](const Answer& answer) {
        if (auto* drain = loop_.fetch<ProtoBufDrain>(client)) drain->enqueue(*answer);
      };
      snowfox::request<Answer>(keeper_, *loop_.fetch<ProtoBufDrain>(back_), request.message(),
                               {.id = request.correlation_id()})
          .then(std::move(answered))
          .detach();
    };
  }
  ~Server() {
    if (back_fd_ >= 0) close(back_fd_);
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  int connect() {
    const auto [ours, theirs] = socket_pair();
    const ChannelRef channel = Channel::make(loop_, Descriptor(loop_.io(), ours));
    if (in_place_) {
      serve_proto_buf(loop_, channel, viewed_);
    } else {
      serve_proto_buf(loop_, channel, requests_);
    }
    return theirs;
  }
  int back_fd() const noexcept { return back_fd_; }
  void run_until_idle() { loop_.run_for(Duration::zero()); }

 private:
  using Answer = ProtoBufProtocol<Envelope>::MessageRef;

  LoopManager loop_;
  ProtoBufProtocol<Envelope> requests_{nullptr};
  ProtoBufProtocol<Envelope> answers_{nullptr};
  ProtoBufProtocol<View> viewed_{
      [](MessageEvent<View>& request) { request.answer(request.message().with_code(request.message().code() + 1)); }};
  const bool in_place_;
  PromiseKeeper keeper_{loop_};
  DrainId back_ = kNoDrain;
  int back_fd_ = -1;
};

class Clients {
 public:
  Clients(const Scenario& scenario, Server& server)
      : scenario_(scenario), server_(server), asked_(scenario.body_bytes) {
    for (std::size_t i = 0; i < scenario.connections && !scenario.churn; ++i)
      clients_.push_back({server.connect(), {}});
    for (std::size_t i = 0; i < scenario.idle; ++i) idle_.push_back({server.connect(), {}});
    for (Client& one : idle_) ask(one, 1);
    serve_all(idle_, idle_.size());
  }
  ~Clients() {
    for (auto* all : {&clients_, &idle_}) {
      for (const Client& one : *all) close(one.fd);
    }
  }
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  void round();
  std::size_t messages_a_round() const noexcept { return scenario_.connections * scenario_.depth; }

 private:
  struct Client {
    int fd;
    std::vector<Request> asked;
  };

  void ask(Client& client, std::size_t count) {
    client.asked.resize(count);
    for (Request& request : client.asked) asked_.make(request, bytes_);
    if (send(client.fd, bytes_.data(), bytes_.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes_.size())) {
      throw std::runtime_error("the requests do not fit");
    }
    bytes_.clear();
  }
  void serve_all(std::vector<Client>& clients, std::size_t messages);
  void answer_as_back();
  bool take_answers(Client& client);

  const Scenario& scenario_;
  Server& server_;
  peers::EchoRequests asked_;
  peers::EchoWork back_work_;
  peers::Bytes back_kept_;
  peers::Bytes bytes_;
  std::vector<char> received_ = std::vector<char>(1 << 20);
  std::vector<Client> clients_;
  std::vector<Client> idle_;
};

}  // namespace

// What callgrind is told to look into. Everything else is the clients' work.
extern "C" {
[[gnu::noinline]] void echo_instructions_serve(void* server) { static_cast<Server*>(server)->run_until_idle(); }
[[gnu::noinline]] int echo_instructions_accept(void* server) { return static_cast<Server*>(server)->connect(); }
}

namespace {

void Clients::answer_as_back() {
  for (;;) {
    const ssize_t count = recv(server_.back_fd(), received_.data(), received_.size(), 0);
    if (count <= 0) break;
    back_kept_.append({received_.data(), static_cast<std::size_t>(count)});
  }
  const std::size_t used = back_work_.answer(back_kept_.span(), bytes_);
  if (used == peers::kMalformed) throw std::runtime_error("nonsense was passed on");
  back_kept_.consume(used);
  while (!bytes_.empty()) {
    const ssize_t count = send(server_.back_fd(), bytes_.data(), bytes_.size(), MSG_NOSIGNAL);
    if (count > 0) {
      bytes_.consume(static_cast<std::size_t>(count));
    } else {
      echo_instructions_serve(&server_);
    }
  }
}

bool Clients::take_answers(Client& client) {
  const std::size_t bytes = client.asked.size() * asked_.frame_bytes();
  // All or nothing: answers are small enough to lie in the kernel until they are all there.
  const ssize_t count = recv(client.fd, received_.data(), bytes, MSG_PEEK);
  if (count != static_cast<ssize_t>(bytes)) return false;
  std::size_t i = 0;
  recv(client.fd, received_.data(), bytes, 0);
  peers::for_each_frame({received_.data(), bytes}, [&](std::span<const char> message) {
    if (!asked_.answers(client.asked[i++], message)) throw std::runtime_error("a wrong answer");
    return true;
  });
  client.asked.clear();
  return true;
}

void Clients::serve_all(std::vector<Client>& clients, std::size_t messages) {
  for (std::size_t turn = 0; messages != 0; ++turn) {
    if (turn == 1000) throw std::runtime_error("no answers come any more");
    echo_instructions_serve(&server_);
    if (scenario_.two_hop) answer_as_back();
    for (Client& client : clients) {
      const std::size_t count = client.asked.size();
      if (count != 0 && take_answers(client)) messages -= count;
    }
  }
}

void Clients::round() {
  if (scenario_.churn) {
    for (std::size_t i = 0; i < scenario_.connections; ++i)
      clients_.push_back({echo_instructions_accept(&server_), {}});
  }
  for (Client& client : clients_) ask(client, scenario_.depth);
  serve_all(clients_, messages_a_round());
  if (scenario_.churn) {
    for (const Client& client : clients_) close(client.fd);
    clients_.clear();
    echo_instructions_serve(&server_);
  }
}

const Scenario& scenario_named(std::string_view name) {
  for (const Scenario& scenario : kScenarios) {
    if (scenario.name == name) return scenario;
  }
  throw std::runtime_error("there is no scenario called " + std::string(name));
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 3) {
    for (const Scenario& scenario : kScenarios) std::printf("%s\n", scenario.name.data());
    return EXIT_SUCCESS;
  }
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  const Scenario& scenario = scenario_named(argv[1]);
  Server server(scenario);
  Clients clients(scenario, server);
  const unsigned long rounds = std::stoul(argv[2]);
  for (unsigned long i = 0; i < rounds; ++i) clients.round();
  std::printf("%zu\n", rounds * clients.messages_a_round());
  return EXIT_SUCCESS;
} catch (const std::exception& error) {
  std::fprintf(stderr, "echo_instructions: %s\n", error.what());
  return EXIT_FAILURE;
}
