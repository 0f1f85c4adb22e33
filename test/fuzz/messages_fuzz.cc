// However requests are cut into reads, and the answers into writes, the same is handled, refused and answered. The
// input: options, the longest message, the cuts of reads and of writes, the stream.
#include <snowfox/sources/proto_buf_source.h>

#include <string>
#include <vector>

#include "fuzz.h"
#include "scripted_world.h"
#include "support/framed.h"
#include "test_messages.pb.h"

using namespace snowfox;
using test::Envelope;

namespace {

struct Scene {
  std::string stream;
  std::size_t longest;
  unsigned events_per_turn;
  bool refusals;  // a wrong correlation id is answered instead of closing the connection
  bool throws;    // the handler throws at each message whose code is odd
  bool congests;  // the first answer is above the high watermark already
};

struct Heard {
  std::vector<std::string> events;
  std::vector<std::error_code> ends;
  std::string answers;  // as the peer got them

  bool operator==(const Heard&) const = default;
};

std::string told(const Envelope& message) {
  return message.correlation_id() + "/" + std::to_string(message.code()) + "/" + message.body();
}
/// No longer than the message, so that the limit allows it.
Envelope answer_to(const Envelope& message) {
  Envelope answer;
  answer.set_correlation_id(message.correlation_id());
  answer.set_code(message.code());
  return answer;
}
Envelope refusal_of(const Envelope& message) {
  Envelope refusal;
  refusal.set_body(std::to_string(message.correlation_id().size()) + " bytes");
  return refusal;
}

/// What is to be heard, found out in another way.
Heard expected(const Scene& scene) {
  Heard heard;
  std::string_view left = scene.stream;
  const auto end = [&heard](Errc reason) {
    heard.ends.emplace_back(reason);
    return heard;
  };
  while (left.size() >= 4) {
    std::size_t size = 0;
    for (const char c : left.substr(0, 4)) size = size << 8 | static_cast<unsigned char>(c);
    if (size > scene.longest) return end(Errc::FrameTooLarge);
    if (left.size() - 4 < size) break;
    Envelope message;
    if (!message.ParseFromArray(left.data() + 4, static_cast<int>(size))) return end(Errc::BadFrame);
    left.remove_prefix(4 + size);
    if (message.correlation_id().empty() || message.correlation_id().size() > CorrelationId::kMaxBytes) {
      if (!scene.refusals) return end(Errc::BadFrame);
      heard.events.push_back("refused " + told(message));
      heard.answers += framed(refusal_of(message));
    } else {
      const bool thrown = scene.throws && message.code() % 2 != 0;
      heard.events.push_back((thrown ? "thrown at " : "handled ") + told(message));
      heard.answers += framed(answer_to(message));
    }
  }
  return end(left.empty() ? Errc::EndOfStream : Errc::TruncatedFrame);
}

Heard heard(const Scene& scene, const Cuts& reads, const Cuts& writes) {
  Heard heard;
  ProtoBufProtocol<Envelope> protocol([&](MessageEvent<Envelope>& event) {
    demand(heard.ends.empty(), "a message is handled after the end");
    const Envelope& message = event.message();
    demand(event.correlation_id().text() == message.correlation_id(), "an event has not its message's correlation id");
    demand((event.deadline() == kNever) == (message.timeout_ms() == 0), "an event has not its message's deadline");
    demand(event.deadline() > event.loop().now(), "a deadline has passed before any time has");
    if (scene.throws && message.code() % 2 != 0) throw std::runtime_error("an odd code");
    heard.events.push_back("handled " + told(message));
    event.answer(answer_to(message));
  });
  protocol.options.max_frame_bytes = scene.longest;
  protocol.on_closed = [&](SourceId, std::error_code reason) { heard.ends.push_back(reason); };
  protocol.on_error = [&](MessageEvent<Envelope>& event, const std::exception_ptr&) {
    heard.events.push_back("thrown at " + told(event.message()));
    event.answer(answer_to(event.message()));
  };
  if (scene.refusals) {
    protocol.on_refused = [&](const Envelope& message, std::string_view reason, ProtoBufDrain* drain) {
      demand(heard.ends.empty(), "a message is refused after the end");
      demand(!reason.empty() && drain != nullptr, "a refusal has no reason, or nowhere to go");
      heard.events.push_back("refused " + told(message));
      drain->EventDrain::enqueue(std::string_view(framed(refusal_of(message))));
      return true;
    };
  }
  const Watermarks watermarks{.high = scene.congests ? 1U : 1U << 20, .low = 0};

  ScriptedWorld world(scene.events_per_turn);
  ScriptedPeer& peer = world.next_peer();
  peer.sends = scene.stream;
  peer.cuts = reads;
  peer.takes = writes;
  peer.then = ScriptedPeer::kCloses;
  const auto connection = serve_proto_buf(*world.loop(), world.connect(), protocol, &watermarks);
  world.loop().turn();
  demand(world.loop()->source(connection.source) == nullptr, "the connection is over and its source is still there");
  demand(world.loop()->drain(connection.drain) == nullptr, "the connection is over and its drain is still there");
  demand(!peer.connected, "the connection is over and its descriptor is still open");
  demand(world.loop()->buffers().lent_bytes() == 0, "the connection is over and holds a buffer");
  heard.answers = peer.took;
  return heard;
}

void compare(Heard given, const Heard& expectation, std::string_view otherwise) {
  // Who sends nonsense gets what was on its way, or not.
  const std::error_code end = expectation.ends.front();
  if (end != Errc::EndOfStream && end != Errc::TruncatedFrame) {
    demand(expectation.answers.starts_with(given.answers), otherwise);
    given.answers = expectation.answers;
  }
  demand(given == expectation, otherwise);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // What it says of texts that are no UTF-8 would fill the terminal.
  [[maybe_unused]] static const google::protobuf::LogSilencer quiet;
  FuzzInput input(data, size);
  const std::uint8_t options = input.byte();
  Scene scene{};
  scene.events_per_turn = options % 4 + 1U;
  scene.refusals = (options & 0x10) != 0;
  scene.throws = (options & 0x20) != 0;
  scene.congests = (options & 0x40) != 0;
  scene.longest = input.byte();
  const Cuts reads = Cuts::from(input);
  const Cuts writes = Cuts::from(input);
  scene.stream = input.rest();

  const Heard expectation = expected(scene);
  compare(heard(scene, {}, {}), expectation, "messages that come at once give other events than expected");
  compare(heard(scene, reads, writes), expectation, "messages that are cut give other events than expected");
  return 0;
}
