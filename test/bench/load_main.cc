// load_generator (--tcp PORT | --unix PATH) --pid PID ...: keeps an echo server busy, checks each answer, and prints
// what was measured as one line of JSON. Exit code 0 if every answer was right, 1 if not, 2 for a mistake on the
// command line.
#include <fmt/format.h>

#include <sys/types.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <string>
#include <thread>
#include <CLI/CLI.hpp>

#include "load_generator.h"
#include "server_usage.h"

using namespace snowfox::peers;

namespace {

struct Plan {
  LoadOptions load;
  pid_t pid = 0;
  std::size_t idle = 0;
  double warm_up_seconds = 0.2;
  double seconds = 1;
  std::uint64_t answers = 0;
  bool check = false;
  bool memory = false;
};

void measure_load(const Plan& plan) {
  const ServerUsage server(plan.pid);
  LoadGenerator load(plan.load);
  load.connect_idle(plan.idle);
  load.connect();
  if (plan.answers == 0) load.run(plan.warm_up_seconds);
  load.reset();
  const std::uint64_t cpu_before = server.cpu_nanoseconds();
  const std::uint64_t began = now_nanoseconds();
  load.run(plan.seconds, plan.answers);
  const std::uint64_t ended = now_nanoseconds();
  const auto cpu = static_cast<double>(server.cpu_nanoseconds() - cpu_before);
  const auto answers = static_cast<double>(load.answers());
  const LatencyHistogram latencies = load.latencies();
  load.finish();
  const auto took = static_cast<double>(ended - began);
  fmt::print(
      R"({{"answers": {}, "seconds": {:.6f}, "cpu_ns": {:.1f}, "busy": {:.4f}, "p50_ns": {}, "p99_ns": {}, "p999_ns": {}, "max_ns": {}}})"
      "\n",
      answers, took / 1e9, cpu / answers, cpu / took, latencies.quantile(0.5), latencies.quantile(0.99),
      latencies.quantile(0.999), latencies.max());
}

// What the server holds for a connection on which nothing happens any more, though something has.
void measure_memory(const Plan& plan) {
  const ServerUsage server(plan.pid);
  LoadGenerator load(plan.load);
  load.connect();
  load.run(plan.warm_up_seconds);
  load.finish();
  const auto before = static_cast<double>(server.own_memory_bytes());
  load.connect_idle(plan.idle);
  const auto after = static_cast<double>(server.own_memory_bytes());
  fmt::print(R"({{"connections": {}, "idle_bytes": {:.1f}}})"
             "\n",
             plan.idle, (after - before) / static_cast<double>(plan.idle));
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Keeps an echo server busy, checks each answer, and prints what was measured.", "load_generator");
  Plan plan;
  auto* where = app.add_option_group("address")->require_option(1);
  where->add_option("--tcp", plan.load.server.port, "The server's port on 127.0.0.1");
  where->add_option("--unix", plan.load.server.path, "The server's Unix socket");
  auto* pid = app.add_option("--pid", plan.pid, "The server's process, whose processor time is read");
  app.add_option("--connections", plan.load.connections, "So many at a time")->capture_default_str();
  app.add_option("--depth", plan.load.depth, "Requests under way on each")->capture_default_str();
  app.add_option("--body", plan.load.body_bytes, "Bytes in each")->check(CLI::Range(1, 8 << 20))->capture_default_str();
  app.add_flag("--churn", plan.load.churn, "A connection for each request");
  app.add_flag("--spin", plan.load.spin, "Wait for answers without sleeping");
  app.add_option("--idle", plan.idle, "Further connections, on which nothing happens after one request");
  app.add_option("--warm-up", plan.warm_up_seconds, "Seconds before anything is measured")->capture_default_str();
  app.add_option("--seconds", plan.seconds, "Seconds to measure")->capture_default_str();
  app.add_option("--answers", plan.answers, "Stop after so many answers instead, without a warm-up");
  app.add_option("--patience", plan.load.patience_seconds, "Seconds without an answer until that is an error")
      ->capture_default_str();
  app.add_flag("--check", plan.check, "Only look whether the server keeps the protocol");
  app.add_flag("--memory", plan.memory, "Measure the memory for each connection of --idle")->needs(pid);
  try {
    app.parse(argc, argv);
    if (!plan.check && plan.pid == 0) throw CLI::RequiredError("--pid");
    if (plan.load.connections == 0 || plan.load.depth == 0 || (plan.memory && plan.idle == 0)) {
      throw CLI::ValidationError("counts must not be zero");
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (plan.check) {
    check_server(plan.load.server);
  } else if (plan.memory) {
    measure_memory(plan);
  } else {
    measure_load(plan);
  }
  return EXIT_SUCCESS;
} catch (const std::exception& error) {
  fmt::print(stderr, "load_generator: {}\n", error.what());
  return EXIT_FAILURE;
}
