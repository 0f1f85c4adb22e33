// snowfox_in_place_echo (--tcp PORT | --unix PATH) [--spin]: the echo server on SnowFox that reads its messages where
// they were received, and writes answers with what it did not have to look at as it came.
#include "snowfox_server.h"

namespace snowfox::peers {
namespace {

using Envelope = EnvelopeView<EnvelopeFields{.correlation_id = 1, .code = 2}>;

void answer(MessageEvent<Envelope>& request) {
  request.answer(request.message().with_code(request.message().code() + 1));
}

}  // namespace
}  // namespace snowfox::peers

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "snowfox_in_place_echo", [](const ServerOptions& options) {
    snowfox::ProtoBufProtocol<Envelope> protocol(answer);
    serve(options, "snowfox_in_place_echo", protocol);
  });
}
