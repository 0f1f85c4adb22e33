// status_page_server SERVICE...: the scheduler and its admin listener, with services that do as they are told, until
// SIGTERM. It tells its address, and is told by requests to it:
// POST /test/submit?service=ID&events=N, /test/answer?service=ID&status=N&error=TEXT, /test/trouble?text=TEXT.
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include <snowfox/sources/signal_source.h>

#include "admin_world.h"

using namespace snowfox;
using namespace snowfox::appservice;

int main(int argc, char** argv) try {
  LoopManager loop;
  AdminWorld world(loop, std::vector<std::string>(argv + 1, argv + argc));
  const auto add = [&](const std::string& path, const std::function<void(const HttpRequest&)>& command) {
    world.protocol().router.add("POST", "/test/" + path, [command](HttpEvent& event) {
      command(event.request());
      event.answer({.status = 204});
    });
  };
  const auto value = [](const HttpRequest& request, std::string_view name) {
    return request.query_value(name).value_or("");
  };
  add("submit", [&](const HttpRequest& request) {
    world.submit(value(request, "service"), std::stoi(value(request, "events")));
  });
  add("answer", [&](const HttpRequest& request) {
    world.behaviours[value(request, "service")] = {std::stoi(value(request, "status")), value(request, "error")};
  });
  add("trouble", [&](const HttpRequest& request) { world.store().told = value(request, "text"); });

  SignalSource quit(loop, {SIGINT, SIGTERM}, [&](int) { loop.stop(); });
  std::printf("http://%s\n", world.address().str().substr(4).c_str());
  std::fflush(stdout);
  return loop.run();
} catch (const std::exception& error) {
  std::fprintf(stderr, "status_page_server: %s\n", error.what());
  return 1;
}
