// stream_relay --listen ADDRESS [--to ADDRESS]: hands on all bytes of each connection to a connection of its own to
// another address, and back; without --to it sends them back to whoever wrote them. At the end it tells how much it
// ever held.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <CLI/CLI.hpp>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/drains/stream_drain.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/signal_source.h>
#include <snowfox/sources/stream_source.h>

namespace {

using namespace snowfox;

/// Enqueues what it receives on a drain, and ends with the connection of that drain.
class RelaySource final : public StreamSource {
 public:
  RelaySource(LoopManager& loop, const ChannelRef& channel, std::size_t& most_bytes)
      : StreamSource(loop, channel), most_bytes_(most_bytes) {}

  /// `drain`, and `source` on the same channel as that, must be set before anything is received.
  void set_other_side(DrainId drain, SourceId source) noexcept {
    drain_ = drain;
    source_ = source;
  }

 private:
  EventRef parse_frame(ReceiveBuffer& received) override {
    if (EventDrain* drain = loop().drain(drain_)) drain->enqueue(received.data());
    received.consume(received.data().size());
    most_bytes_ = std::max(most_bytes_, loop().buffers().lent_bytes());
    return nullptr;
  }
  EventRef closed(std::error_code reason) override {
    if (source_ == id()) return nullptr;
    return make_event([&loop = loop(), source = source_, reason] {
      if (auto* other = loop.fetch<RelaySource>(source)) other->close(reason);
    });
  }

  std::size_t& most_bytes_;
  DrainId drain_ = kNoDrain;
  SourceId source_ = kNoSource;
};

/// The two ends of a connection, which know nothing of each other yet.
struct Side {
  StreamDrain& drain;
  RelaySource& source;

  Side(LoopManager& loop, const ChannelRef& channel, const Watermarks& watermarks, std::size_t& most_bytes)
      : drain(loop.add(std::make_unique<StreamDrain>(loop, channel, &watermarks))),
        source(loop.add(std::make_unique<RelaySource>(loop, channel, most_bytes))) {}

  /// What is received here is written there, and no more is received than can be written.
  void feed(const Side& other) const {
    source.set_other_side(other.drain.id(), other.source.id());
    other.drain.bind(source.id());
  }
};

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Hands on the bytes of each connection to another address, or back to whoever wrote them.");
  std::string listen, to;
  Watermarks watermarks;
  std::size_t stall_milliseconds = 60'000;
  app.add_option("--listen", listen, "Where to listen")->required()->type_name("ADDRESS");
  app.add_option("--to", to, "Where to connect to; without it all is sent back")->type_name("ADDRESS");
  app.add_option("--high", watermarks.high, "Above so many bytes the other side is not read")->capture_default_str();
  app.add_option("--low", watermarks.low, "At so many it is read again")->capture_default_str();
  app.add_option("--stall-timeout", stall_milliseconds, "Milliseconds after which a peer that takes nothing is closed")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  watermarks.stall_timeout = std::chrono::milliseconds(stall_milliseconds);
  std::optional<Address> forward;
  if (!to.empty()) forward = Address::parse(to);

  LoopManager loop;
  SignalSource quit(loop, {SIGINT, SIGTERM}, [](int) { throw CleanExit(); });
  std::size_t most_bytes = 0;
  ListenerSource listener(loop, Address::parse(listen), {}, [&](const ListenerSource::Connection& client) {
    if (!forward) {
      const Side side(loop, client.channel, watermarks, most_bytes);
      side.feed(side);
      return;
    }
    const auto connected = [&, from = client.channel](std::error_code error, const ChannelRef& channel) {
      if (error) return;
      const Side near(loop, from, watermarks, most_bytes);
      const Side far(loop, channel, watermarks, most_bytes);
      near.feed(far);
      far.feed(near);
    };
    loop.add(std::make_unique<ConnectorSource>(loop, *forward, std::chrono::seconds(10), connected));
  });

  fmt::print("stream_relay: listening on {}\n", listener.local_address().str());
  std::fflush(stdout);
  const int exit_code = loop.run();
  fmt::print("stream_relay: held at most {} bytes\n", most_bytes);
  return exit_code;
} catch (const std::exception& error) {
  fmt::print(stderr, "stream_relay: {}\n", error.what());
  return EXIT_FAILURE;
}
