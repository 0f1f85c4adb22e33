// tally --udp [HOST:]PORT (--tcp [HOST:]PORT | --unix PATH) --journal FILE: counts what it is told in UDP datagrams,
// writes it down and tells the totals to whoever asks, until SIGINT or SIGTERM. Exit code 0 then, 1 if it cannot start
// or write its journal, 2 for a mistake on the command line.
#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <CLI/CLI.hpp>

#include <snowfox/core/error.h>
#include <snowfox/core/loop_manager.h>
#include <snowfox/drains/stream_drain.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/signal_source.h>

#include "count_received.h"
#include "datagram_source.h"
#include "journal_drain.h"
#include "query_source.h"
#include "totals.h"

namespace {

struct Options {
  snowfox::Address udp;
  snowfox::Address queries;
  std::string journal;
};

/// Answers the client at the other end of `channel` until it leaves.
void serve_queries(snowfox::LoopManager& loop, const snowfox::ChannelRef& channel, const tally::Totals& totals) {
  auto& answers = loop.add(std::make_unique<snowfox::StreamDrain>(loop, channel));
  auto& queries = loop.add(std::make_unique<tally::QuerySource>(loop, channel, totals, answers.id()));
  answers.bind(queries.id());
}

int run(const Options& options) {
  tally::Totals totals;
  snowfox::LoopManager loop;
  snowfox::SignalSource quit(loop, {SIGINT, SIGTERM}, [](int) { throw snowfox::CleanExit(); });

  tally::JournalDrain journal(loop, options.journal);
  const auto make_event = [&](std::string_view datagram) {
    return std::make_unique<tally::CountReceived>(totals, datagram, loop.ids().next(), journal.id());
  };
  tally::DatagramSource datagrams(loop, tally::bind_datagram_socket(loop.io(), options.udp), make_event);
  journal.bind(datagrams.id());

  const snowfox::ListenerOptions limits{{.unix_mode = 0660}, /*max_connections=*/1000};
  const auto on_connection = [&](const snowfox::ListenerSource::Connection& client) {
    serve_queries(loop, client.channel, totals);
  };
  snowfox::ListenerSource listener(loop, options.queries, limits, on_connection);

  fmt::print("tally: counting on UDP port {}, answering on {}\n", loop.io().local_address(datagrams.fd()).port(),
             listener.local_address().str());
  std::fflush(stdout);
  const int exit_code = loop.run();
  // The last lines are written while run() ends, when its exit code is settled.
  return journal.empty() ? exit_code : EXIT_FAILURE;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Counts what it is told in UDP datagrams (NAME:VALUE), until SIGINT or SIGTERM.", "tally");
  std::string udp, tcp, path;
  Options options;
  app.add_option("--udp", udp, "Count what comes to this port; without a host on 127.0.0.1; 0: any that is free")
      ->type_name("[HOST:]PORT")
      ->required();
  app.add_option("--journal", options.journal, "Append each count to this file")->type_name("FILE")->required();
  auto* where = app.add_option_group("address")->require_option(1);
  where->add_option("--tcp", tcp, "Answer `get NAME` and `list` on this port")->type_name("[HOST:]PORT");
  where->add_option("--unix", path, "Answer on this Unix socket")->type_name("PATH");
  try {
    app.parse(argc, argv);
    options.udp = snowfox::Address::parse(udp);
    if (options.udp.is_unix()) throw std::invalid_argument("--udp takes [HOST:]PORT");
    options.queries = path.empty() ? snowfox::Address::parse(tcp) : snowfox::Address::unix_socket(path);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::invalid_argument& error) {
    fmt::print(stderr, "tally: {}\n", error.what());
    return 2;
  }
  return run(options);
} catch (const std::exception& error) {
  fmt::print(stderr, "tally: {}\n", error.what());
  return EXIT_FAILURE;
}
