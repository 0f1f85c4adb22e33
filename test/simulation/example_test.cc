// How a daemon of yours is tested in a simulated world: docs/simulation.md goes through this file.
#include <gtest/gtest.h>

#include <chrono>
#include <iostream>
#include <memory>
#include <string>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/drains/stream_drain.h>
#include <snowfox/simulation/seeds.h>
#include <snowfox/simulation/simulation.h>
#include <snowfox/sources/connector_source.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/signal_source.h>
#include <snowfox/sources/stream_source.h>

namespace {

using namespace std::chrono_literals;
using snowfox::simulation::Faults;
using snowfox::simulation::require;

// --- the daemon: it takes numbers, each a byte for its count of digits and then these, and answers with the sum ---

class NumberSource final : public snowfox::StreamSource {
 public:
  /// With `careless` it believes what holds on the machine it was written on: that a number comes in one piece.
  NumberSource(snowfox::LoopManager& loop, const snowfox::ChannelRef& channel, snowfox::DrainId drain, long& sum,
               bool careless)
      : StreamSource(loop, channel), drain_(drain), sum_(sum), careless_(careless) {}

 private:
  snowfox::EventRef parse_frame(snowfox::ReceiveBuffer& received) override {
    const auto data = received.data();
    const std::size_t digits = static_cast<std::size_t>(data[0]);
    if (!careless_ && data.size() < 1 + digits) return nullptr;
    const std::size_t size = std::min(data.size(), 1 + digits);
    const std::string text(reinterpret_cast<const char*>(data.data()) + 1, size - 1);
    received.consume(size);
    return snowfox::make_event([this, text] {
      sum_ += text.empty() ? 0 : std::stol(text);
      if (auto* drain = loop().drain(drain_)) drain->enqueue(std::to_string(sum_) + "\n");
    });
  }

  snowfox::DrainId drain_;
  long& sum_;
  bool careless_;
};

class Adder {
 public:
  Adder(snowfox::LoopManager& loop, const snowfox::Address& address, bool careless)
      : quit_(loop, {SIGTERM}, [&loop](int) { loop.stop(); }),
        listener_(loop, address, {}, [this, &loop, careless](const snowfox::ListenerSource::Connection& client) {
          auto& drain = loop.add(std::make_unique<snowfox::StreamDrain>(loop, client.channel));
          auto& source = loop.add(std::make_unique<NumberSource>(loop, client.channel, drain.id(), sum_, careless));
          drain.bind(source.id());
        }) {}

  long sum() const noexcept { return sum_; }

 private:
  long sum_ = 0;
  snowfox::SignalSource quit_;
  snowfox::ListenerSource listener_;
};

// --- who uses it ---

class Asker {
 public:
  Asker(snowfox::LoopManager& loop, const snowfox::Address& address)
      : quit_(loop, {SIGTERM}, [&loop](int) { loop.stop(); }),
        connector_(loop, address, 30s, [&loop](std::error_code error, const snowfox::ChannelRef& channel) {
          if (error) throw snowfox::AbortError(error.message());
          auto& drain = loop.add(std::make_unique<snowfox::StreamDrain>(loop, channel));
          for (int i = 0; i < 100; ++i)
            drain.enqueue(
                "\x05"
                "12345");
        }) {}

 private:
  snowfox::SignalSource quit_;
  snowfox::ConnectorSource connector_;
};

// --- the world ---

std::uint64_t add_up(std::uint64_t seed, bool careless) {
  snowfox::simulation::Simulation world({.seed = seed, .faults = Faults::choppy()});
  auto& here = world.add_host("here");
  auto& there = world.add_host("there");
  const auto address = snowfox::Address::tcp("10.0.0.1", 7000);
  auto& adder = here.start("adder", [&](snowfox::simulation::Process& process) {
    return std::make_shared<Adder>(process.loop(), address, careless);
  });
  for (int i = 0; i < 20; ++i) {
    there.start("asker", [&](snowfox::simulation::Process& process) {
      return std::make_shared<Asker>(process.loop(), address);
    });
  }
  world.run_for(1min);
  require(adder.running() && adder.program<Adder>().sum() == 20 * 1234500,
          "the sum is " + (adder.running() ? std::to_string(adder.program<Adder>().sum()) : "lost") + "\n" +
              world.description());
  adder.signal(SIGTERM);
  require(world.run_until([&] { return !adder.running(); }, 1min), "it does not end");
  return world.trace_hash();
}

TEST(ExampleTest, AddsUpWhateverTheNetworkDoes) {
  const auto result = snowfox::simulation::run_seeds(20, 5, [](std::uint64_t seed) { return add_up(seed, false); });
  EXPECT_TRUE(result) << result.message;
}

TEST(ExampleTest, FindsTheBugOfTheCarelessOne) {
  const auto result = snowfox::simulation::run_seeds(20, 5, [](std::uint64_t seed) { return add_up(seed, true); });
  EXPECT_FALSE(result);
  EXPECT_EQ(result.runs, 0U) << "docs/simulation.md says that the first seed finds it";
  std::cout << result.message << "\n";
  EXPECT_NE(result.message.find("SNOWFOX_SEED=" + std::to_string(result.failed_seed.value_or(0))), std::string::npos);
}

}  // namespace
