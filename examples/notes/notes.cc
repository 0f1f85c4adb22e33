// notes ADDRESS MONITORING_ADDRESS: keeps notes over HTTP, until SIGINT or SIGTERM; then it answers what it was asked
// and ends.
#include <csignal>
#include <cstdio>
#include <exception>
#include <map>
#include <string>

#include <snowfox/core/loop_manager.h>
#include <snowfox/http/http_json.h>
#include <snowfox/http/http_source.h>
#include <snowfox/http/monitoring.h>
#include <snowfox/sources/listener_source.h>
#include <snowfox/sources/signal_source.h>

using namespace snowfox;

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::fprintf(stderr, "usage: notes ADDRESS MONITORING_ADDRESS\n");
    return 2;
  }
  std::map<std::string, std::string, std::less<>> notes;
  LoopManager loop;
  HttpProtocol protocol({.max_body_bytes = 64U << 10});

  protocol.router.add("GET", "/notes", [&](HttpEvent& event) {
    nlohmann::json names = nlohmann::json::array();
    for (const auto& [name, note] : notes) names.push_back(name);
    answer_json(event, 200, names);
  });
  protocol.router.add("PUT", "/notes/{name}", [&](HttpEvent& event) {
    const bool added =
        notes.insert_or_assign(std::string(*event.request().parameter("name")), event.request().body()).second;
    event.answer({.status = added ? 201 : 204});
  });
  protocol.router.add("GET", "/notes/{name}", [&](HttpEvent& event) {
    const auto note = notes.find(*event.request().parameter("name"));
    if (note == notes.end()) {
      event.answer_error(404, "there is no such note");
    } else {
      event.answer({.content_type = "text/plain; charset=utf-8", .body = note->second});
    }
  });

  ListenerSource listener(loop, Address::parse(argv[1]), {}, [&](const ListenerSource::Connection& client) {
    serve_http(loop, client.channel, protocol);
  });
  Monitoring monitoring(loop, Address::parse(argv[2]));
  monitoring.watch(protocol, "notes");
  monitoring.metrics.gauge_from("notes_kept", "Notes that are kept.",
                                [&] { return static_cast<double>(notes.size()); });

  SignalSource quit(loop, {SIGINT, SIGTERM}, [&](int) { protocol.finish([&] { loop.stop(); }); });
  std::printf("notes: listening on %s, monitored on %s\n", listener.local_address().str().c_str(),
              monitoring.local_address().str().c_str());
  std::fflush(stdout);
  return loop.run();
} catch (const std::exception& error) {
  std::fprintf(stderr, "notes: %s\n", error.what());
  return 1;
}
