#include "query_source.h"

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <string_view>

#include <snowfox/core/error.h>
#include <snowfox/core/event_drain.h>
#include <snowfox/core/loop_manager.h>

namespace tally {
namespace {

const snowfox::StreamOptions kClients{.idle_timeout = std::chrono::minutes(10)};

}  // namespace

QuerySource::QuerySource(snowfox::LoopManager& loop, snowfox::ChannelRef channel, const Totals& totals,
                         snowfox::DrainId answers)
    : StreamSource(loop, std::move(channel), &kClients), totals_(totals), answers_(answers) {}

snowfox::EventRef QuerySource::parse_frame(snowfox::ReceiveBuffer& received) {
  const auto* text = reinterpret_cast<const char*>(received.data().data());
  const std::string_view bytes(text, received.data().size());
  const std::size_t end = bytes.substr(0, kMaxLineBytes + 1).find('\n');
  if (end == std::string_view::npos) {
    if (bytes.size() <= kMaxLineBytes) return nullptr;
    throw snowfox::ProtocolError(snowfox::Errc::FrameTooLarge, fmt::format("line longer than {} bytes", kMaxLineBytes));
  }
  std::string line(bytes.substr(0, end));
  received.consume(end + 1);
  if (line.ends_with('\r')) line.pop_back();
  return std::make_unique<QueryReceived>(totals_, std::move(line), loop().ids().next(), answers_);
}

void QueryReceived::handle() {
  if (line_ == "list") {
    for (const auto& [name, total] : totals_.all()) drain().enqueue(fmt::format("{} {}\n", name, total));
    drain().enqueue("end\n");
  } else if (!line_.starts_with("get ")) {
    drain().enqueue("error: expected `get NAME` or `list`\n");
  } else if (const auto total = totals_.of(line_.substr(4))) {
    drain().enqueue(fmt::format("{}\n", *total));
  } else {
    drain().enqueue("error: nothing was counted under that name\n");
  }
}

}  // namespace tally
