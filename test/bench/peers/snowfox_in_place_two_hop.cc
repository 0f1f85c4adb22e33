// snowfox_in_place_two_hop (--tcp PORT | --unix PATH) (--back-tcp PORT | --back-unix PATH): passes requests on and
// answers back as they came, looked at where they were received.
#include "snowfox_front.h"

int main(int argc, char** argv) {
  using namespace snowfox::peers;
  using Envelope = snowfox::EnvelopeView<snowfox::EnvelopeFields{.correlation_id = 1, .code = 2}>;
  return run_server(argc, argv, "snowfox_in_place_two_hop",
                    [](const ServerOptions& options) { serve_front<Envelope>(options, "snowfox_in_place_two_hop"); });
}
