#include "examples/node_fixture.h"

#include <cstdlib>
#include <map>

namespace snowfox::node {
namespace {

using public_api::Service;

class NodeCrashTest : public NodeTest {
 protected:
  static constexpr int kServices = 200;

  static std::string name(int number) { return "crash-" + std::to_string(number); }
  std::size_t starts(const std::string& id) const { return lines(read_file(path(id))); }
  pid_t child_named(const std::string& part) const {
    for (const pid_t pid : children_of(daemon_->pid())) {
      if (read_file("/proc/" + std::to_string(pid) + "/comm").starts_with(part)) return pid;
    }
    return 0;
  }
  std::map<std::string, Service> by_id() {
    std::map<std::string, Service> all;
    for (Service& one : services()) all.emplace(one.id(), one);
    return all;
  }
  /// Whatever is said to run does, unless it has just ended; then something else is said of it soon.
  void expect_true_status() {
    for (const auto& [id, said] : by_id()) {
      if (said.state() != Service::Running || !gone(said.pid())) continue;
      EXPECT_TRUE(eventually([&, &before = said] {
        const auto now = service(before.id());
        return now.state() != Service::Running || now.pid() != before.pid();
      })) << id;
    }
  }
};

// Goal: of services that end all the time, while the node's own processes die, none is lost, doubled or left as a
// zombie, and what is said of them is true. For some seconds; for two minutes with SNOWFOX_LOAD_IN_FULL.
TEST_F(NodeCrashTest, LosesNoneOfManyThatCrashAllTheTime) {
  std::string text = "services:\n";
  for (int i = 0; i < kServices; ++i) {
    text += "- {id: " + name(i) + ", command: 'echo start >> " + path(name(i)) +
            "; sleep $(( $$ % 3 )).$(( $$ % 10 )); kill -KILL $$', restart: always, backoff: 100ms, backoff_limit: "
            "200ms}\n";
  }
  configure(text);
  start();
  std::size_t killed_spawners = 0;
  const bool in_full = std::getenv("SNOWFOX_LOAD_IN_FULL") != nullptr;
  const auto end = std::chrono::steady_clock::now() + (in_full ? 120s : 4s);
  for (int round = 0; std::chrono::steady_clock::now() < end; ++round) {
    std::this_thread::sleep_for(in_full ? 2s : 700ms);
    const pid_t part = child_named(round % 2 == 0 ? "snow-fox-spawne" : "snow-fox-manage");
    // It may be that it is being started again.
    if (part != 0) ::kill(part, SIGKILL);
    if (round % 2 == 0) ++killed_spawners;
    ASSERT_TRUE(eventually([&] { return client({"--eval", "node.status()"}).exit_code == 0; }));
    expect_true_status();
  }
  ASSERT_TRUE(eventually([&] { return children_of(daemon_->pid()).size() == 2; })) << "and no orphan besides";

  std::map<std::string, std::size_t> before;
  for (int i = 0; i < kServices; ++i) before[name(i)] = starts(name(i));
  EXPECT_TRUE(eventually([&] {
    return std::all_of(before.begin(), before.end(),
                       [&](const auto& entry) { return starts(entry.first) > entry.second; });
  })) << "each goes on";

  std::string stop_all;
  for (int i = 0; i < kServices; ++i) stop_all += "service.stop('" + name(i) + "')\n";
  write_file(path("stop-all"), stop_all);
  const Finished stopped = client({"--file", path("stop-all")});
  EXPECT_EQ(stopped.exit_code, 0) << stopped.error;
  for (const auto& [id, said] : by_id()) {
    EXPECT_EQ(said.state(), Service::Stopped) << id;
    EXPECT_EQ(said.pid(), 0) << id;
    EXPECT_LE(starts(id), said.restarts() + 1) << id;
    // The last one may have been stopped before it came to write, and with each spawner one may have died that was
    // written down and had not executed anything yet.
    EXPECT_GE(starts(id) + killed_spawners, said.restarts()) << id;
  }
  const auto zombie_of_the_node = [&](const std::string& pid) {
    const auto fields = process_fields(pid);
    return fields.size() > 1 && fields[0] == "Z" &&
           (fields[1] == std::to_string(daemon_->pid()) || fields[1] == std::to_string(child_named("snow-fox-spawne")));
  };
  EXPECT_TRUE(eventually([&] {
    std::filesystem::directory_iterator processes("/proc");
    return std::none_of(std::filesystem::begin(processes), std::filesystem::end(processes),
                        [&](const auto& entry) { return zombie_of_the_node(entry.path().filename()); });
  }));
  for (const pid_t pid : children_of(daemon_->pid())) parts_.push_back(pid);
  stop();
}

}  // namespace
}  // namespace snowfox::node
