// snowfox_soak [--minutes N]: puts a mixed load on a node and an echo server for a long time, and tells what was lost,
// what came twice, and what has grown. Ends with 1 if anything has.
#include <fmt/format.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <CLI/CLI.hpp>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/signal_source.h>

#include "soak/soak.h"

int main(int argc, char** argv) try {
  using namespace snowfox;
  CLI::App app(
      "Puts a mixed load on a node and an echo server, which it starts: clients that stay, come and go, read slowly, "
      "leave\n"
      "in the middle of a message; reloads, good and bad; timers, promises, children, work on other threads. Tells "
      "every\n"
      "few seconds how it goes, and ends with 1 if an answer was lost, doubled or wrong, or if memory, descriptors or\n"
      "latency have grown. Ctrl-C ends it early.",
      "snowfox_soak");
  double minutes = 10;
  std::string programs = SNOWFOX_PROGRAM_DIRECTORY;
  app.add_option("--minutes,minutes", minutes, "How long")->check(CLI::Range(0.1, 100'000.0))->capture_default_str();
  app.add_option("--programs", programs, "Where the servers' programs are")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  DescriptorLogSink sink(2, LogFormat::Text);
  Log log(sink, LogLevel::Error);
  LoopManager loop(std::make_unique<UvPoller>(), Io::system(), log);
  soak::Soak soak(loop, programs, std::chrono::seconds(static_cast<long>(minutes * 60)));
  SignalSource quit(loop, {SIGINT, SIGTERM}, [&](int) { soak.finish(); });
  loop.run();
  return soak.report() ? EXIT_SUCCESS : EXIT_FAILURE;
} catch (const std::exception& error) {
  fmt::print(stderr, "snowfox_soak: {}\n", error.what());
  return EXIT_FAILURE;
}
