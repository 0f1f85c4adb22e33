// A node of which one part has been taken over: what it says harms itself alone. The fuzz target node_links looks for
// what to say; this says what comes to mind at random.
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include "simulation/hostile_node.h"

namespace snowfox::node {
namespace {

/// A spawner whose processes end at once. It tells each end, and again when the next process is to be started, as one
/// does that has had no acknowledgement yet.
struct RepeatingSpawner {
  using Message = manager_spawner::Message;

  explicit RepeatingSpawner(Process& process)
      : links(process, /*begins_soundly=*/true), soundly(std::exchange(links.manager.soundly, nullptr)) {
    links.manager.soundly = [this](MessageEvent<Message>& event) {
      if (!event.message().has_start_process()) return soundly(event) || !event.message().has_process_exited();
      if (last.pid() != 0) tell_end();
      ++starts;
      last.set_service(event.message().start_process().service());
      last.set_pid(1000 + starts);
      last.set_start_ticks(static_cast<std::uint64_t>(starts));
      auto answer = make_message<Message>(Message::kStartProcessResponse, event.correlation_id());
      *answer.mutable_start_process_response()->mutable_process() = last;
      event.answer(answer);
      tell_end();
      return true;
    };
  }
  void tell_end() {
    auto message = make_message<Message>(Message::kProcessExited, links.loop.ids().next());
    auto& process = *message.mutable_process_exited()->mutable_process();
    process = last;
    process.mutable_exit()->set_code(last.pid() - 1000);
    links.manager.send(message);
  }

  HostileSpawnerLinks links;
  std::function<bool(MessageEvent<Message>&)> soundly;
  manager_spawner::Process last;
  int starts = 0;
};

// Goal: an end that is told again while the next process is being started is not taken for the end of that.
TEST(HostileNodeTest, CountsNoEndTwice) {
  NodeWorld node(1);
  node.machine.write_file(kConfiguration,
                          "services:\n- {id: crashing, command: [x], output: discard, backoff: 100ms, "
                          "backoff_limit: 100ms}\n");
  Process* spawner = nullptr;
  node.machine.install("/usr/bin/snow-fox-spawner", [&spawner](Process& process) {
    spawner = &process;
    return std::make_shared<RepeatingSpawner>(process);
  });
  Process& observer =
      node.machine.start("observer", [](Process& process) { return std::make_shared<Observer>(process); });
  node.start();
  const auto starts = [&] { return spawner->program<RepeatingSpawner>().starts; };
  ASSERT_TRUE(node.world.run_until([&] { return starts() >= 20; }, 1min)) << node.world.description();
  node.world.run_for(20ms);
  EXPECT_EQ(observer.program<Observer>().restarts + 1, static_cast<std::uint64_t>(starts()));
  EXPECT_EQ(observer.program<Observer>().last_exit, "exit code " + std::to_string(starts())) << "that of the last one";
}

std::uint64_t live(std::uint64_t seed) {
  // What it says of texts that are no UTF-8 would fill the terminal.
  [[maybe_unused]] static const google::protobuf::LogSilencer quiet;
  simulation::Random random(seed);
  constexpr std::uint64_t kMostBytes = 2000;
  std::vector<std::uint8_t> bytes(random.below(kMostBytes));
  // Small numbers choose what has a meaning more often.
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random.below(random.below(4) == 0 ? 256 : 16));
  return live_with_hostile_part(seed, FuzzInput(bytes.data(), bytes.size()));
}

TEST(HostileNodeTest, IsHarmedByNothingThatOneOfItsPartsSays) {
  const auto result = simulation::run_seeds(40, 10, live);
  EXPECT_TRUE(result) << result.message;
}

}  // namespace
}  // namespace snowfox::node
