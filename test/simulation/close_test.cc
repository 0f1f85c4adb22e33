// The end of a connection: whatever the peer goes on sending, what was written to it arrives.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>

#include <snowfox/core/error.h>
#include <snowfox/drains/stream_drain.h>
#include <snowfox/simulation/seeds.h>
#include <snowfox/simulation/simulation.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/scheduler_source.h>
#include <snowfox/sources/signal_source.h>

#include "support/line_stream.h"

namespace snowfox::simulation {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kAnswerLines = 1000;
constexpr std::string_view kAnswerLine = "a line of an answer that is longer than what fits between the two\n";

/// Answers the first line of each connection, at length, and ends the connection in order.
class Curt {
 public:
  Curt(LoopManager& loop, const Address& address)
      : quit_(loop, {SIGTERM}, [&loop](int) { loop.stop(); }),
        listener_(loop, address, {}, [&loop](const ListenerSource::Connection& client) {
          auto& drain = loop.add(std::make_unique<StreamDrain>(loop, client.channel));
          auto& source = loop.add(std::make_unique<LineStream>(loop, client.channel));
          source.on_line = [&source, &drain](const std::string&) {
            for (std::size_t i = 0; i < kAnswerLines; ++i) drain.enqueue(kAnswerLine);
            source.close(Errc::EndOfStream);
          };
        }) {}

 private:
  SignalSource quit_;
  ListenerSource listener_;
};

/// Asks again and again, and does not mind that only its first question is answered.
class Talker {
 public:
  Talker(LoopManager& loop, const Address& address)
      : loop_(loop),
        quit_(loop, {SIGTERM}, [&loop](int) { loop.stop(); }),
        scheduler_(loop),
        connector_(loop, address, 30s, [this](std::error_code error, const ChannelRef& channel) {
          if (error) throw AbortError(error.message());
          drain_ = loop_.add(std::make_unique<StreamDrain>(loop_, channel)).id();
          auto& source = loop_.add(std::make_unique<LineStream>(loop_, channel));
          source.on_line = [this](const std::string&) { ++lines_; };
          source.on_end = [this](std::error_code reason) { end_ = reason; };
          talk();
        }) {}

  std::size_t lines() const noexcept { return lines_; }
  std::error_code end() const noexcept { return end_; }

 private:
  void talk() {
    auto* drain = loop_.drain(drain_);
    if (drain == nullptr || end_) return;
    for (int i = 0; i < 20; ++i) drain->enqueue("and another thing\n");
    scheduler_.after(1ms, [this] { talk(); });
  }

  LoopManager& loop_;
  SignalSource quit_;
  SchedulerSource scheduler_;
  ConnectorSource connector_;
  DrainId drain_ = kNoDrain;
  std::size_t lines_ = 0;
  std::error_code end_;
};

std::uint64_t part(std::uint64_t seed) {
  Simulation world({.seed = seed, .faults = Faults::choppy()});
  Host& here = world.add_host("here");
  Host& there = world.add_host("there");
  const Address address = seed % 3 == 0 ? Address::unix_socket("/run/curt.sock")
                                        : Address::tcp(seed % 3 == 1 ? "10.0.0.1" : "127.0.0.1", 7);
  Process& curt = here.start("curt", [&](Process& process) { return std::make_shared<Curt>(process.loop(), address); });
  Process& talker = (seed % 3 == 1 ? there : here).start("talker", [&](Process& process) {
    return std::make_shared<Talker>(process.loop(), address);
  });
  auto& asking = talker.program<Talker>();
  require(world.run_until([&] { return static_cast<bool>(asking.end()); }, 10min), "no end\n" + world.description());
  require(asking.end() == Errc::EndOfStream && asking.lines() == kAnswerLines,
          std::to_string(asking.lines()) + " lines, then: " + asking.end().message() + "\n" + world.description());
  world.run_for(1min);
  require(curt.open_descriptors() == 2, "the connection is still open\n" + world.description());
  for (Process* process : {&curt, &talker}) {
    process->signal(SIGTERM);
    require(world.run_until([&] { return !process->running(); }, 1min), "no end\n" + world.description());
  }
  return world.trace_hash();
}

TEST(CloseTest, LosesNoAnswerToWhoGoesOnTalking) {
  const SeedsResult result = run_seeds(60, 15, part);
  EXPECT_TRUE(result) << result.message;
}

}  // namespace
}  // namespace snowfox::simulation
