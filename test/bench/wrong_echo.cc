// wrong_echo WHAT --tcp PORT: an echo server that is wrong in one way: another `id`, another `code`, another `body`,
// the answer `twice`, after some time `none`, or the connection closed at the `end` of some time; `right` is right. It
// serves one connection. By it the load generator is tested.
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <string_view>

#include "peers/echo_work.h"
#include "peers/listen.h"

namespace snowfox::peers {
namespace {

// Of so many answers one is wrong.
constexpr unsigned kWrongEvery = 100;

void answer(std::string_view what, Envelope& message, Bytes& answers) {
  static unsigned count = 0;
  const bool wrong = ++count % kWrongEvery == 0;
  message.set_code(message.code() + 1);
  if (wrong && what == "id") message.mutable_correlation_id()->back() ^= 1;
  if (wrong && what == "code") message.set_code(message.code() + 1);
  if (wrong && what == "body") message.mutable_body()->back() ^= 1;
  if (!wrong || what != "none") append_frame(message, answers);
  if (wrong && what == "twice") append_frame(message, answers);
  if (wrong && what == "end") std::exit(EXIT_SUCCESS);
}

void serve(std::string_view what, const ServerOptions& options) {
  const int listener = listen_at(options, "wrong_echo");
  fd_set readable;
  FD_ZERO(&readable);
  FD_SET(listener, &readable);
  if (select(listener + 1, &readable, nullptr, nullptr, nullptr) < 0) fail("select");
  const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (fd < 0) fail("accept");
  Bytes received;
  Bytes answers;
  Envelope message;
  for (;;) {
    const ssize_t count = recv(fd, received.reserve(kReceiveBytes), kReceiveBytes, 0);
    if (count <= 0) return;
    received.extend(static_cast<std::size_t>(count));
    const std::size_t used = for_each_frame(received.span(), [&](std::span<const char> bytes) {
      if (!parse(bytes, message)) return false;
      answer(what, message, answers);
      return true;
    });
    if (used == kMalformed) return;
    received.consume(used);
    while (!answers.empty()) {
      const ssize_t sent = send(fd, answers.data(), answers.size(), MSG_NOSIGNAL);
      if (sent < 0) fail("send");
      answers.consume(static_cast<std::size_t>(sent));
    }
  }
}

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  const std::string what = argc > 1 ? argv[1] : "";
  return run_server(argc - 1, argv + 1, "wrong_echo", [&](const ServerOptions& options) { serve(what, options); });
}
