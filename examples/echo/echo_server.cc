// echo_server (--tcp [HOST:]PORT | --unix PATH): sends each message back to whoever sent it, until SIGINT or SIGTERM.
// Exit code 0 then, 1 if it cannot listen there, 2 for a mistake on the command line.
#include <fmt/format.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <CLI/CLI.hpp>

#include <snowfox/core/loop_manager.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/proto_buf_source.h>
#include <snowfox/sources/signal_source.h>

// Of an envelope (echo.proto) it needs no more than this, so it has none parsed: each is looked at where it was
// received, and goes back as it came but for its code. README.md has the same with messages that are parsed.
using Envelope = snowfox::EnvelopeView<snowfox::EnvelopeFields{.correlation_id = 1, .code = 2}>;

int main(int argc, char** argv) try {
  CLI::App app("Sends each message back to whoever sent it, with its code plus one, until SIGINT or SIGTERM.",
               "echo_server");
  std::string tcp, path;
  snowfox::ListenerOptions limits{{.unix_mode = 0660}, /*max_connections=*/10'000};
  auto* where = app.add_option_group("address")->require_option(1);
  where->add_option("--tcp", tcp, "Listen on this port; without a host on 127.0.0.1; port 0 takes any that is free")
      ->type_name("[HOST:]PORT");
  where->add_option("--unix", path, "Listen on this Unix socket")->type_name("PATH");
  app.add_option("--max-connections", limits.max_connections, "Further ones wait; 0: no limit")->capture_default_str();
  snowfox::Address address;
  try {
    app.parse(argc, argv);
    address = path.empty() ? snowfox::Address::parse(tcp) : snowfox::Address::unix_socket(path);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  } catch (const std::invalid_argument& error) {
    fmt::print(stderr, "echo_server: {}\n", error.what());
    return 2;
  }

  snowfox::LoopManager loop;
  snowfox::SignalSource quit(loop, {SIGINT, SIGTERM}, [](int) { throw snowfox::CleanExit(); });

  snowfox::ProtoBufProtocol<Envelope> protocol([](snowfox::MessageEvent<Envelope>& request) {
    request.answer(request.message().with_code(request.message().code() + 1));
  });
  snowfox::ListenerSource listener(loop, address, limits, [&](const snowfox::ListenerSource::Connection& client) {
    snowfox::serve_proto_buf(loop, client.channel, protocol);
  });

  fmt::print("echo_server: listening on {}\n", listener.local_address().str());
  std::fflush(stdout);
  return loop.run();
} catch (const std::exception& error) {
  fmt::print(stderr, "echo_server: {}\n", error.what());
  return EXIT_FAILURE;
}
