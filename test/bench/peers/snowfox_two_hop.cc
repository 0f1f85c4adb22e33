// snowfox_two_hop (--tcp PORT | --unix PATH) (--back-tcp PORT | --back-unix PATH): passes requests on and answers back,
// each parsed.
#include "echo.pb.h"
#include "snowfox_front.h"

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  return run_server(argc, argv, "snowfox_two_hop", [](const ServerOptions& options) {
    serve_front<snowfox::echo::Envelope>(options, "snowfox_two_hop");
  });
}
