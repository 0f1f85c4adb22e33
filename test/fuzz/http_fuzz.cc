// However requests are cut into reads, and the answers into writes, the same is handled and answered. The input:
// options, the cuts of reads and of writes, the stream.
#include <snowfox/http/http_drain.h>
#include <snowfox/http/http_source.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fuzz.h"
#include "scripted_world.h"

using namespace snowfox;

namespace {

struct Scene {
  std::string stream;
  unsigned events_per_turn;
  bool later;     // answers are given when all has come, the last first
  bool throws;    // the handler throws where the path has a `!`
  bool congests;  // the first answer is above the high watermark already
  bool tight;     // limits are low
};

struct Heard {
  std::vector<std::string> requests;
  std::string answers;  // as the peer got them, but for what depends on the time

  bool operator==(const Heard&) const = default;
};

std::string told(const HttpRequest& request) {
  std::string text = std::string(request.method()) + ' ' + std::string(request.target()) + '|' +
                     std::string(request.path()) + '|' + std::string(request.host()) + '\n';
  for (std::size_t i = 0; i < request.field_count(); ++i) {
    demand(request.field(request.field(i).name).has_value(), "a field is not found by its own name");
    text += std::string(request.field(i).name) + '=' + std::string(request.field(i).value) + '\n';
  }
  if (const auto name = request.parameter("name")) text += '{' + std::string(*name) + '}';
  return text + std::string(request.body());
}

void without(std::string& text, std::string_view begin, std::string_view end) {
  for (std::size_t at = 0; (at = text.find(begin, at)) != std::string::npos;) {
    const std::size_t stop = text.find(end, at);
    text.erase(at, stop == std::string::npos ? stop : stop + end.size() - at);
  }
}

class Receiver final : public HttpBodyReceiver {
 public:
  Receiver(Heard& heard, std::string head, HttpResponder responder)
      : heard_(heard), head_(std::move(head)), responder_(std::move(responder)) {}
  void on_piece(std::string_view piece) override {
    demand(!piece.empty(), "a piece of a body is empty");
    body_ += piece;
  }
  void on_end() override {
    heard_.requests.push_back(head_ + body_);
    responder_.answer({.body = std::to_string(body_.size())});
  }
  void on_failed(std::error_code error) override {
    demand(static_cast<bool>(error), "a body fails without a reason");
    heard_.requests.push_back("failed " + head_);
  }

 private:
  Heard& heard_;
  std::string head_;
  std::string body_;
  HttpResponder responder_;
};

Heard heard(const Scene& scene, const Cuts& reads, const Cuts& writes) {
  Heard heard;
  std::vector<HttpResponder> later;
  const Watermarks watermarks{.high = scene.congests ? 1U : 1U << 20, .low = 0};
  ScriptedWorld world(scene.events_per_turn);
  HttpProtocol protocol;
  protocol.options.answer_correlation_id = false;
  protocol.options.max_pipelined = 3;
  if (scene.tight) {
    protocol.options.max_request_line_bytes = 40;
    protocol.options.max_field_bytes = 50;
    protocol.options.max_head_bytes = 200;
    protocol.options.max_fields = 4;
    protocol.options.max_body_bytes = 30;
    protocol.options.max_decoded_bytes = 60;
  }
  const auto handle = [&](HttpEvent& event) {
    const std::string all = told(event.request());
    heard.requests.push_back(all);
    if (scene.throws && all.find('!') != std::string::npos) throw std::runtime_error("an exclamation mark");
    if (scene.later) {
      later.push_back(event.take_responder());
    } else {
      event.answer({.content_type = "text/plain", .body = std::to_string(all.size())});
    }
  };
  protocol.router.add("GET", "/", handle);
  protocol.router.add("POST", "/a/{name}", handle);
  protocol.router.add(
      "PUT", "/{name*}",
      [&](HttpEvent& event) {
        event.receive_body(std::make_unique<Receiver>(heard, told(event.request()), event.take_responder()));
      },
      {.stream = true});

  ScriptedPeer& peer = world.next_peer();
  peer.sends = scene.stream;
  peer.cuts = reads;
  peer.takes = writes;
  peer.then = ScriptedPeer::kCloses;
  const HttpConnection connection = serve_http(*world.loop(), world.connect(), protocol, &watermarks);
  world.loop().turn();
  while (!later.empty()) {
    later.back().answer({.body = "later"});
    later.pop_back();
    world.loop().turn();
  }
  demand(world.loop()->source(connection.source) == nullptr, "the connection is over and its source is still there");
  demand(world.loop()->drain(connection.drain) == nullptr, "the connection is over and its drain is still there");
  demand(!peer.connected, "the connection is over and its descriptor is still open");
  demand(world.loop()->buffers().lent_bytes() == 0, "the connection is over and holds a buffer");
  demand(world.loop()->audit().findings().empty(), "the loop's books do not add up");
  demand(protocol.counters().connections == 0, "a connection is counted that is over");
  heard.answers = peer.took;
  without(heard.answers, "Date: ", "\r\n");
  // Who is told to go on has not sent its body yet.
  without(heard.answers, "HTTP/1.1 100 Continue", "\r\n\r\n");
  // Whether the last answer says that it is the last depends on whether the peer's end was seen before it, which is not
  // looked for while there are too many requests under way.
  if (const std::size_t last = heard.answers.rfind("HTTP/1.1 "); last != std::string::npos) {
    std::string answer = heard.answers.substr(last);
    without(answer, "Connection: close", "\r\n");
    heard.answers.replace(last, std::string::npos, answer);
  }
  return heard;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  const std::uint8_t options = input.byte();
  Scene scene{};
  scene.events_per_turn = options % 4 + 1U;
  scene.later = (options & 0x10) != 0;
  scene.throws = (options & 0x20) != 0;
  scene.congests = (options & 0x40) != 0;
  scene.tight = (options & 0x80) != 0;
  const Cuts reads = Cuts::from(input);
  const Cuts writes = Cuts::from(input);
  scene.stream = input.rest();

  const Heard whole = heard(scene, {}, {});
  demand(heard(scene, reads, writes) == whole, "requests that are cut give something else than in one piece");
  demand(heard(scene, Cuts({1}), {}) == whole, "requests that come byte by byte give something else");
  return 0;
}
