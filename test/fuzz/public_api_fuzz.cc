// Whatever clients ask, each request is answered once, as belongs to it, and no client disturbs another; and the same
// is answered if the requests are cut otherwise. The input: options, the cuts, then steps: which client, what it does,
// how many bytes follow, those.
#include <array>
#include <string>
#include <vector>

#include <snowfox/promises/sleep.h>

#include "fuzz.h"
#include "manager/public_api.h"
#include "scripted_world.h"
#include "support/framed.h"

using namespace snowfox;
using node::public_api::Message;
using node::public_api::NodeInfoResponse;

namespace {

constexpr std::size_t kClients = 3;

/// A node that has what the input says.
class FakeNode final : public node::NodeRequests {
 public:
  explicit FakeNode(LoopManager& loop) : loop_(loop) {}

  std::string node_name() const override { return "node"; }
  NodeInfoResponse node_info() override {
    if (mood % 4 == 3) throw std::runtime_error("there is no info");
    NodeInfoResponse info;
    info.set_node_name("node");
    return info;
  }
  Promise<NodeInfoResponse> detailed_node_info(const CorrelationId&, Duration timeout) override {
    demand(timeout <= std::chrono::seconds(3), "details are waited for too long");
    switch (mood % 4) {
      case 0: return resolved(loop_, node_info());
      case 1: return sleep(loop_, timeout).then([] { return NodeInfoResponse(); });
      case 2: return rejected<NodeInfoResponse>(loop_, std::runtime_error("no details"));
      default: throw std::system_error(make_error_code(Errc::LimitReached), "no details");
    }
  }
  std::vector<node::public_api::Service> services(const std::string& id) const override {
    if (!id.empty() && id != "web") throw node::RemoteError(node::make_error(node::NO_SUCH_SERVICE, "none"));
    node::public_api::Service service;
    service.set_id("web");
    return {service};
  }
  Promise<void> start_service(const std::string& id, const std::string&, const CorrelationId&) override {
    services(id);
    return mood % 4 == 1 ? sleep(loop_, std::chrono::seconds(1)) : resolved(loop_);
  }
  Promise<void> stop_service(const std::string& id, const CorrelationId& origin) override {
    return start_service(id, {}, origin);
  }
  Promise<void> restart_service(const std::string& id, const CorrelationId& origin) override {
    return start_service(id, {}, origin);
  }
  Promise<node::public_api::Trace> trace(const CorrelationId&, const CorrelationId&, Duration timeout) override {
    demand(timeout <= std::chrono::seconds(3), "others are waited for too long");
    if (mood % 4 == 2) return rejected<node::public_api::Trace>(loop_, std::runtime_error("no trace"));
    return sleep(loop_, timeout / 2).then([] { return node::public_api::Trace(); });
  }
  node::public_api::ExplainResponse explain(const CorrelationId& id) override {
    if (mood % 4 == 3) throw std::runtime_error("nobody knows");
    node::public_api::ExplainResponse told;
    told.add_waits()->set_id(id.str());
    return told;
  }
  std::optional<node::Error> reload(const CorrelationId&) override {
    if (mood % 4 == 0) return std::nullopt;
    return node::make_error(node::CONFIGURATION_REJECTED, "no");
  }

  Promise<void> shut_down(const CorrelationId&) override { return start_service("web", {}, {}); }

  std::uint8_t mood = 0;

 private:
  LoopManager& loop_;
};

class Reception {
 public:
  Reception(std::uint8_t options, const Cuts& cuts) : cuts_(cuts), node_(*world_.loop()), api_(*world_.loop(), node_) {
    node_.mood = options;
    configuration_.max_clients = options / 4 % 4;
    if ((options & 0x40) != 0) configuration_.idle_timeout = std::chrono::seconds(5);
    api_.set(configuration_);
  }

  void step(FuzzInput& input) {
    const std::uint8_t step = input.byte();
    const std::string_view bytes = input.bytes(input.byte());
    Client& client = clients_[step / 8 % kClients];
    if (step % 8 == 6) {
      world_.loop().pass(std::chrono::seconds(bytes.size() % 8));
    } else if (client.peer == nullptr || !client.peer->connected) {
      connect(client);
    } else {
      ask(client, step, bytes);
    }
    world_.loop().turn();
    hear_answers();
  }
  /// All that was answered, of all clients in turn.
  std::vector<std::string> finish() {
    for (Client& client : clients_) {
      if (client.peer != nullptr) client.peer->then = ScriptedPeer::kCloses;
    }
    world_.loop().pass(std::chrono::seconds(20));
    hear_answers();
    node::public_api::Api api;
    api_.describe(api);
    demand(api.clients() == 0, "all clients have left and some are still counted");
    demand(api.accepted() + api.refused() == connections_, "a client is neither accepted nor refused");
    for (const Client& client : clients_) {
      demand(client.peer == nullptr || !client.peer->connected, "a client has left and its connection is still open");
    }
    demand(world_.loop()->counters().failed == 0, "something that a client sent was not handled");
    demand(world_.loop()->counters().unhandled_rejections == 0, "nobody was told of a failure");
    demand(world_.loop()->buffers().lent_bytes() == 0, "all clients have left and hold buffers");
    return std::move(notes_);
  }

 private:
  struct Client {
    ScriptedPeer* peer = nullptr;
    std::string id;
  };

  void connect(Client& client) {
    ++connections_;
    client.peer = &world_.next_peer();
    client.peer->cuts = cuts_;
    client.id.clear();
    api_.accept({world_.connect(), {}});
  }

  void ask(Client& client, std::uint8_t step, std::string_view bytes) {
    Message message;
    message.set_correlation_id(client.id + "/" + std::to_string(++asked_));
    const bool late = (step & 0x80) != 0;
    if (late) message.set_timeout_ms(static_cast<std::uint32_t>(bytes.size()) * 100);
    switch (step % 8) {
      case 0:
        message.set_code(node::public_api::INTRODUCE_REQUEST);
        message.mutable_introduce_request();
        break;
      case 1:
        message.set_code(node::public_api::NODE_INFO_REQUEST);
        message.mutable_node_info_request()->set_details(bytes.size() % 2 != 0);
        break;
      case 2:
        message.set_code(node::public_api::RELOAD);
        message.mutable_reload();
        break;
      case 3:
        // Anything, under an id of its own.
        message.ParsePartialFromString(std::string(bytes));
        break;
      case 4: client.peer->sends += framed(bytes); return;
      case 5: client.peer->sends += bytes; return;
      default: client.peer->then = bytes.size() % 2 == 0 ? ScriptedPeer::kCloses : -ECONNRESET; return;
    }
    client.peer->sends += framed(message);
  }

  void hear_answers() {
    for (Client& client : clients_) {
      if (client.peer == nullptr) continue;
      for (const std::string& frame : unframed(std::exchange(client.peer->took, {}))) {
        Message answer;
        demand(answer.ParseFromString(frame), "a client is answered by what is no message");
        demand(answer.code() != 0 && static_cast<int>(answer.code()) == static_cast<int>(answer.payload_case()),
               "a client is answered by a payload of another code");
        demand(answer.has_error() || answer.has_ack() || answer.has_introduce_response() ||
                   answer.has_node_info_response() || answer.has_explain_response() ||
                   answer.has_service_list_response() || answer.has_trace_response() || answer.has_event(),
               "a client is answered by what is no answer");
        if (answer.has_error()) {
          demand(answer.error().code() != 0 && !answer.error().text().empty(), "a refusal does not say why");
        }
        if (answer.has_introduce_response()) {
          demand(client.id.empty() || client.id == answer.introduce_response().client_id(), "a client becomes another");
          client.id = answer.introduce_response().client_id();
        }
        notes_.push_back(answer.ShortDebugString());
      }
    }
  }

  Cuts cuts_;
  ScriptedWorld world_;
  FakeNode node_;
  node::ApiConfiguration configuration_;
  node::PublicApi api_;
  std::array<Client, kClients> clients_;
  std::size_t connections_ = 0;
  std::size_t asked_ = 0;
  std::vector<std::string> notes_;
};

std::vector<std::string> receive(std::uint8_t options, const Cuts& cuts, FuzzInput steps) {
  Reception reception(options, cuts);
  while (!steps.empty()) reception.step(steps);
  return reception.finish();
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // What it says of texts that are no UTF-8 would fill the terminal.
  [[maybe_unused]] static const google::protobuf::LogSilencer quiet;
  FuzzInput input(data, size);
  const std::uint8_t options = input.byte();
  const Cuts cuts = Cuts::from(input);
  demand(receive(options, {}, input) == receive(options, cuts, input), "requests that are cut are answered otherwise");
  return 0;
}
