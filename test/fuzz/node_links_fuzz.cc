// Whatever a part of a node says to the others, which trust it, it harms itself alone: a simulated node, of which the
// manager or the spawner does what the input says. The input: which of them, and whether it begins soundly; then for
// each step which link, what is said, in which way, and what that is made of (test/simulation/hostile_node.h).
#include <exception>

#include <google/protobuf/stubs/logging.h>

#include "fuzz.h"
#include "simulation/hostile_node.h"

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // What it says of texts that are no UTF-8 would fill the terminal.
  [[maybe_unused]] static const google::protobuf::LogSilencer quiet;
  try {
    snowfox::node::live_with_hostile_part(1, snowfox::FuzzInput(data, size));
  } catch (const std::exception& error) {
    snowfox::found(error.what());
  }
  return 0;
}
