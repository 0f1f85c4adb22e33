// Whatever a node answers, each call of a script ends once, with text that is harmless; and the same does if the
// answers are cut otherwise. The input: options, the cuts, then steps: what they do, how many bytes follow, those.
#include <array>
#include <deque>
#include <string>
#include <vector>

#include "client/interpreter.h"
#include "client/node_client.h"
#include "fuzz.h"
#include "scripted_world.h"
#include "support/framed.h"
#include "support/json.h"

using namespace snowfox;
using node::public_api::Message;

namespace {

constexpr Duration kTimeout = std::chrono::seconds(10);

/// A client and the node that it talks with, which does what the input says.
class Conversation {
 public:
  Conversation(bool json, const Cuts& cuts)
      : cuts_(cuts),
        json_(json),
        client_(*world_.loop(), Address::unix_socket("/node"), kTimeout,
                [this](std::error_code reason) {
                  note("lost", reason.message());
                  interpreter_.lost(reason.message(), true);
                }),
        interpreter_(*world_.loop(),
                     {.ask = [this](const node::Call& call) { return client_.ask(call); },
                      .print = [this](const std::string& text) { printed(text); },
                      .complain = [this](const std::string& text) { failed(text); },
                      .clear = [] {},
                      .interrupted = [] { return false; },
                      .computing = [](bool) {},
                      .leave = [](bool) {}},
                     {.json = json, .timeout = kTimeout}) {
    run("ended = 0\n"
        "function done(value, failure)\n"
        "  ended = ended + 1\n"
        "  if failure then pprint(failure.code .. ': ' .. failure) else pprint(value) end\n"
        "end");
    connect();
  }

  void step(FuzzInput& input) {
    const std::uint8_t step = input.byte();
    const std::string_view bytes = input.bytes(input.byte());
    switch (step % 8) {
      case 0: send(framed(answer(bytes))); break;
      case 1: send(framed(refusal(bytes))); break;
      case 2: send(framed(misfit(bytes))); break;
      case 3: send(framed(bytes)); break;
      case 4: send(std::string(bytes)); break;
      case 5: call(bytes); break;
      case 6: world_.loop().pass(std::chrono::seconds(bytes.size() % 16)); break;
      default: bytes.empty() ? connect() : end(bytes); break;
    }
    world_.loop().turn();
    hear_requests();
  }
  /// All that happened; everything has ended then.
  std::vector<std::string> finish() {
    world_.loop().pass(2 * kTimeout);
    demand(interpreter_.pending() == 0, "a call has not ended");
    run("assert(ended == " + std::to_string(calls_) + ", 'a call has not ended once')");
    demand(interpreter_.exit_code() != 2, "a script has failed");
    demand(!connecting_, "the connection neither came nor failed");
    demand(world_.loop()->counters().failed == 0, "something that a node sent was not handled");
    demand(world_.loop()->counters().unhandled_rejections == 0, "nobody was told of a failure");
    return std::move(notes_);
  }

 private:
  struct Request {
    std::string id;
    node::public_api::Code code;
  };

  void connect() {
    if (connecting_ || client_.connected()) return;
    connecting_ = true;
    requests_.clear();
    peer_ = &world_.next_peer();
    peer_->cuts = cuts_;
    client_.connect()
        .then([this] {
          connecting_ = false;
          note("connected", client_.client_id());
        })
        .otherwise([this](const std::exception_ptr& error) {
          connecting_ = false;
          const std::string text = describe(error);
          note("not connected", text);
          demand(harmless(text), "why there is no connection is not told in one line of text");
          demand(text.find("unix:/node") != std::string::npos, "why there is no connection does not say with whom");
        })
        .detach();
    world_.loop().turn();
    hear_requests();
  }
  void end(std::string_view bytes) { peer_->then = bytes.front() % 2 == 0 ? ScriptedPeer::kCloses : -ECONNRESET; }
  void send(const std::string& bytes) { peer_->sends += bytes; }

  void call(std::string_view bytes) {
    ++calls_;
    const int which = bytes.empty() ? 0 : static_cast<unsigned char>(bytes.front()) % 3;
    constexpr std::array kCalls{"node.status()", "node.status(true)", "node.reload()"};
    run(std::string(kCalls.at(static_cast<std::size_t>(which))) + ":on(done)");
  }
  void run(const std::string& code) {
    interpreter_.run({code, "=fuzz"}, [](bool success) { demand(success, "a script does not come to its end"); });
  }
  void printed(const std::string& text) {
    note("printed", text);
    demand(text.ends_with('\n'), "an answer does not end its line");
    std::string shown = text;
    std::erase(shown, '\n');
    demand(harmless(shown), "an answer does something to the terminal");
    if (json_) demand(is_json(text) && shown.size() + 1 == text.size(), "an answer is not a line of JSON");
  }
  void failed(const std::string& text) {
    note("failure", text);
    demand(harmless(text), "a failure is not one line of text");
  }
  void note(std::string_view what, std::string_view text) {
    notes_.push_back(std::string(what).append(": ").append(text));
  }

  void hear_requests() {
    for (const std::string& frame : unframed(std::exchange(peer_->took, {}))) {
      Message message;
      demand(message.ParseFromString(frame), "the client sends what is no message");
      note("request", std::to_string(message.code()));
      const bool asks = message.has_introduce_request() || message.has_node_info_request() || message.has_reload();
      demand(asks || message.has_error(), "the client sends what it should not");
      if (asks) requests_.push_back({message.correlation_id(), message.code()});
    }
  }
  Request take_request() {
    if (requests_.empty()) return {"1", node::public_api::RELOAD};
    Request request = requests_.front();
    requests_.pop_front();
    return request;
  }
  /// What belongs to the oldest request.
  Message answer(std::string_view bytes) {
    const Request request = take_request();
    Message message;
    message.set_correlation_id(request.id);
    const std::string text(bytes);
    if (request.code == node::public_api::INTRODUCE_REQUEST) {
      message.set_code(node::public_api::INTRODUCE_RESPONSE);
      message.mutable_introduce_response()->ParseFromString(text);
    } else if (request.code == node::public_api::NODE_INFO_REQUEST) {
      message.set_code(node::public_api::NODE_INFO_RESPONSE);
      message.mutable_node_info_response()->ParseFromString(text);
    } else {
      message.set_code(node::public_api::ACK);
      message.mutable_ack();
    }
    return message;
  }
  Message refusal(std::string_view bytes) {
    Message message;
    message.set_correlation_id(take_request().id);
    message.set_code(node::public_api::ERROR);
    message.mutable_error()->set_code(node::NOT_ALLOWED);
    if (is_utf8(bytes)) message.mutable_error()->set_text(std::string(bytes));
    return message;
  }
  /// Anything, for the oldest request.
  Message misfit(std::string_view bytes) {
    Message message;
    message.ParsePartialFromString(std::string(bytes));
    message.set_correlation_id(take_request().id);
    return message;
  }

  Cuts cuts_;
  bool json_;
  ScriptedWorld world_;
  ScriptedPeer* peer_ = nullptr;
  std::deque<Request> requests_;  // not answered yet
  std::vector<std::string> notes_;
  std::size_t calls_ = 0;
  bool connecting_ = false;
  node::NodeClient client_;
  node::Interpreter interpreter_;
};

std::vector<std::string> converse(bool json, const Cuts& cuts, FuzzInput steps) {
  Conversation conversation(json, cuts);
  while (!steps.empty()) conversation.step(steps);
  return conversation.finish();
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // What it says of texts that are no UTF-8 would fill the terminal.
  [[maybe_unused]] static const google::protobuf::LogSilencer quiet;
  FuzzInput input(data, size);
  const bool json = input.byte() % 2 != 0;
  const Cuts cuts = Cuts::from(input);
  demand(converse(json, {}, input) == converse(json, cuts, input), "answers that are cut are other answers");
  return 0;
}
