// However a stream of frames is cut into reads, the events are the same, and so is the end. The input: options, the
// longest frame, after which frame the handler closes, the cuts, the stream.
#include <snowfox/sources/proto_buf_source.h>

#include <algorithm>
#include <string>
#include <vector>

#include "fuzz.h"
#include "scripted_world.h"

using namespace snowfox;

namespace {

struct Scene {
  std::string stream;
  ProtoBufOptions limits;
  std::size_t close_after;  // so many frames; 0: never
  unsigned events_per_turn;
  bool pauses;  // the handler pauses the source after each frame
  bool broken;  // the connection ends with an error instead of in order
};

struct Heard {
  std::vector<std::string> frames;
  std::vector<std::error_code> ends;

  bool operator==(const Heard&) const = default;
};

constexpr std::size_t kLongest = 150'000;
constexpr std::size_t kNotFilled = 24;
constexpr Errc kClosedHere = Errc::ShuttingDown;
/// A frame that begins with it makes no sense.
constexpr char kNonsense = '!';
/// A frame that begins with it is nothing that an event is made of.
constexpr char kSilent = '?';

class FrameSource final : public FramedSource {
 public:
  FrameSource(LoopManager& loop, ChannelRef channel, const Scene& scene, Heard& heard)
      : FramedSource(loop, std::move(channel), scene.limits), scene_(scene), heard_(heard) {}

 private:
  EventRef parse_frame(ReceiveBuffer& received) override {
    for (;;) {
      const auto frame = whole_frame(received, scene_.limits.max_frame_bytes);
      if (frame.data() == nullptr) return nullptr;
      EventRef event = parse_message(frame);
      end_frame(received, frame);
      if (event != nullptr) return event;
    }
  }
  EventRef parse_message(std::span<const std::byte> message) {
    demand(heard_.ends.empty(), "a frame is parsed after the end");
    std::string frame(reinterpret_cast<const char*>(message.data()), message.size());
    if (frame.starts_with(kNonsense)) throw ProtocolError(Errc::BadFrame, "nonsense");
    if (frame.starts_with(kSilent)) return nullptr;
    return make_event([this, frame = std::move(frame)] {
      demand(heard_.ends.empty(), "a frame is handled after the end");
      heard_.frames.push_back(frame);
      if (scene_.pauses) pause();
      if (heard_.frames.size() == scene_.close_after) close(kClosedHere);
    });
  }
  EventRef closed(std::error_code reason) override {
    heard_.ends.push_back(reason);
    return nullptr;
  }

  const Scene& scene_;
  Heard& heard_;
};

std::size_t announced(std::string_view stream) {
  std::size_t size = 0;
  for (const char c : stream.substr(0, 4)) size = size << 8 | static_cast<unsigned char>(c);
  return size;
}

/// What is to be heard, found out in another way.
Heard expected(const Scene& scene) {
  Heard heard;
  std::string_view left = scene.stream;
  const auto end = [&heard](std::error_code reason) {
    heard.ends.push_back(reason);
    return heard;
  };
  while (left.size() >= 4) {
    const std::size_t size = announced(left);
    if (size > scene.limits.max_frame_bytes) return end(Errc::FrameTooLarge);
    if (left.size() - 4 < size) break;
    const std::string_view frame = left.substr(4, size);
    left.remove_prefix(4 + size);
    if (frame.starts_with(kNonsense)) return end(Errc::BadFrame);
    if (frame.starts_with(kSilent)) continue;
    heard.frames.emplace_back(frame);
    if (heard.frames.size() == scene.close_after) return end(kClosedHere);
  }
  if (scene.broken) return end({ECONNRESET, std::system_category()});
  return end(left.empty() ? Errc::EndOfStream : Errc::TruncatedFrame);
}

/// Goes on until nothing more happens, also after the handler has paused the source.
void run(ScriptedWorld& world, SourceId id) {
  for (;;) {
    world.loop().turn();
    EventSource* source = world.loop()->source(id);
    if (source == nullptr || !source->paused()) return;
    source->resume();
  }
}

Heard heard_from_channel(const Scene& scene, const Cuts& cuts) {
  Heard heard;
  ScriptedWorld world(scene.events_per_turn);
  ScriptedPeer& peer = world.next_peer();
  peer.sends = scene.stream;
  peer.cuts = cuts;
  peer.then = scene.broken ? -ECONNRESET : ScriptedPeer::kCloses;
  auto& source = world.loop()->add(std::make_unique<FrameSource>(*world.loop(), world.connect(), scene, heard));
  const SourceId id = source.id();
  run(world, id);
  demand(world.loop()->source(id) == nullptr, "the connection is over and its source is still there");
  demand(!peer.connected, "the connection is over and its descriptor is still open");
  demand(world.loop()->buffers().lent_bytes() == 0, "the connection is over and holds a buffer");
  return heard;
}

Heard heard_from_feed(const Scene& scene, Cuts cuts) {
  Heard heard;
  ScriptedWorld world(scene.events_per_turn);
  const SourceId id = world.loop()->add(std::make_unique<FrameSource>(*world.loop(), nullptr, scene, heard)).id();
  std::string_view left = scene.stream;
  while (FrameSource* source = world.loop()->fetch<FrameSource>(id)) {
    if (left.empty()) {
      const bool whole = expected(scene).ends.front() != Errc::TruncatedFrame;
      source->close(scene.broken ? std::error_code(ECONNRESET, std::system_category())
                                 : make_error_code(whole ? Errc::EndOfStream : Errc::TruncatedFrame));
    } else {
      const std::string_view part = left.substr(0, cuts.next(left.size()));
      source->feed(std::as_bytes(std::span(part.data(), part.size())));
      left.remove_prefix(part.size());
    }
    run(world, id);
  }
  demand(world.loop()->buffers().lent_bytes() == 0, "what was fed is over and holds a buffer");
  return heard;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  const std::uint8_t options = input.byte();
  Scene scene{};
  scene.events_per_turn = options % 4 + 1U;
  scene.pauses = (options & 0x10) != 0;
  scene.broken = (options & 0x20) != 0;
  scene.limits.max_frame_bytes = (options & 0x40) != 0 ? kLongest : input.byte();
  scene.close_after = input.byte() % 16;
  // A first frame that does not fit into one read is filled up, but for its end, and comes in larger pieces: it saves
  // time.
  const bool large = (options & 0x80) != 0;
  const Cuts cuts = Cuts::from(input, large ? 1021 : 1);
  scene.stream = input.bytes(4);
  if (large) scene.stream.append(std::max(std::min(announced(scene.stream), kLongest), kNotFilled) - kNotFilled, 'f');
  scene.stream += input.rest();

  const Heard expectation = expected(scene);
  demand(heard_from_channel(scene, {}) == expectation, "a stream that comes at once gives other events than expected");
  demand(heard_from_channel(scene, cuts) == expectation, "a stream that is cut gives other events than expected");
  demand(heard_from_feed(scene, cuts) == expectation, "a stream that is fed gives other events than expected");
  return 0;
}
