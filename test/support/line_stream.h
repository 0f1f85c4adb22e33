#pragma once

#include <algorithm>
#include <functional>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <snowfox/core/error.h>
#include <snowfox/sources/stream_source.h>

namespace snowfox {

/// A protocol of lines, each an event that is noted in `lines`. A line "!" makes no sense.
class LineStream final : public StreamSource {
 public:
  LineStream(LoopManager& loop, ChannelRef channel, const StreamOptions* options = nullptr)
      : StreamSource(loop, std::move(channel), options) {}
  ~LineStream() override {
    if (on_destroyed) on_destroyed();
  }

  std::vector<std::string> lines;
  std::vector<std::error_code> ends;  // at most one
  std::function<void(const std::string&)> on_line;
  std::function<void(std::error_code)> on_end;
  std::function<void()> on_closed;  // when the last event is made
  std::function<void()> on_destroyed;

 private:
  EventRef parse_frame(ReceiveBuffer& received) override {
    const auto bytes = received.data();
    if (bytes.empty()) throw std::logic_error("asked to parse nothing");
    const auto end = std::find(bytes.begin(), bytes.end(), std::byte{'\n'});
    if (end == bytes.end()) return nullptr;
    const auto size = static_cast<std::size_t>(end - bytes.begin());
    std::string line(reinterpret_cast<const char*>(bytes.data()), size);
    received.consume(size + 1);
    if (line == "!") throw ProtocolError(Errc::BadFrame, "a line of nonsense");
    return make_event([this, line] {
      lines.push_back(line);
      if (on_line) on_line(line);
    });
  }
  EventRef closed(std::error_code reason) override {
    if (on_closed) on_closed();
    ends.push_back(reason);
    if (!on_end) return nullptr;
    return make_event([on_end = on_end, reason] { on_end(reason); });
  }
};

}  // namespace snowfox
