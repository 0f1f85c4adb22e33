// However the output of a child process is cut into reads, its lines are the same. The input: options, how long a line
// may be, the cuts, the output.
#include <snowfox/sources/line_source.h>

#include <string>
#include <vector>

#include <snowfox/core/error.h>

#include "fuzz.h"
#include "scripted_world.h"

using namespace snowfox;

namespace {

struct Heard {
  std::vector<std::string> lines;  // with a sign before those that were cut
  std::vector<std::error_code> ends;

  void add(std::string_view text, bool cut) { lines.push_back((cut ? "-" : "+") + std::string(text)); }
  bool operator==(const Heard&) const = default;
};

/// What is to be heard, found out in another way.
Heard expected(std::string_view text, std::size_t longest, std::error_code end) {
  Heard heard;
  while (!text.empty()) {
    const std::size_t newline = std::min(text.find('\n'), text.size());
    heard.add(text.substr(0, std::min(newline, longest)), newline > longest);
    text.remove_prefix(std::min(newline + 1, text.size()));
  }
  heard.ends.push_back(end);
  return heard;
}

Heard heard_from_source(std::string_view text, std::size_t longest, const Cuts& cuts, std::uint8_t options) {
  Heard heard;
  LineSource* source = nullptr;
  ScriptedWorld world(options % 4 + 1U);
  ScriptedPeer& peer = world.next_peer();
  peer.sends = text;
  peer.cuts = cuts;
  peer.then = (options & 0x80) != 0 ? -EIO : ScriptedPeer::kCloses;
  const auto on_line = [&](const TextLine& line) {
    heard.add(line.text, line.cut);
    if ((options & 0x40) != 0) source->pause();
  };
  source = &world.loop()->add(std::make_unique<LineSource>(
      *world.loop(), world.open(), on_line, [&](std::error_code end) { heard.ends.push_back(end); }, longest));
  const SourceId id = source->id();
  for (;;) {
    world.loop().turn();
    auto* paused = world.loop()->fetch<LineSource>(id);
    if (paused == nullptr || !paused->paused()) break;
    paused->resume();
  }
  demand(world.loop()->source(id) == nullptr, "the lines are at an end and their source is still there");
  demand(!peer.connected, "the lines are at an end and their descriptor is still open");
  return heard;
}

Heard heard_from_splitter(std::string_view text, std::size_t longest, Cuts cuts) {
  Heard heard;
  LineSplitter splitter(longest);
  while (!text.empty()) {
    const auto part = text.substr(0, cuts.next(text.size()));
    splitter.append(std::as_bytes(std::span(part.data(), part.size())));
    text.remove_prefix(part.size());
    while (const auto line = splitter.next()) heard.add(line->text, line->cut);
  }
  if (const auto line = splitter.rest()) heard.add(line->text, line->cut);
  demand(!splitter.rest(), "there is a rest after the rest");
  return heard;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzInput input(data, size);
  const std::uint8_t options = input.byte();
  const std::size_t longest = input.byte();
  const Cuts cuts = Cuts::from(input);
  const std::string_view text = input.rest();

  Heard expectation = expected(
      text, longest,
      (options & 0x80) != 0 ? std::error_code(EIO, std::system_category()) : make_error_code(Errc::EndOfStream));
  demand(heard_from_source(text, longest, cuts, options) == expectation, "lines are cut otherwise than expected");
  demand(heard_from_source(text, longest, {}, options) == expectation, "lines that come at once are cut otherwise");
  expectation.ends.clear();
  demand(heard_from_splitter(text, longest, cuts) == expectation, "the splitter cuts otherwise than expected");
  return 0;
}
