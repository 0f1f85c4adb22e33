// snowfox_echo (--tcp PORT | --unix PATH) [--spin]: the echo server on SnowFox, as examples/echo has it.
#include "echo.pb.h"
#include "snowfox_server.h"

namespace snowfox::peers {
namespace {

void answer(MessageEvent<echo::Envelope>& request) {
  request.message().set_code(request.message().code() + 1);
  request.answer(request.message());
}

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "snowfox_echo", [](const ServerOptions& options) {
    snowfox::ProtoBufProtocol<snowfox::echo::Envelope> protocol(answer);
    serve(options, "snowfox_echo", protocol);
  });
}
