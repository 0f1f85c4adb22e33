// What is typed at the prompt of the node's client: whether it is complete, and what it could become.
#include <string>

#include <snowfox/core/loop_manager.h>

#include "client/interpreter.h"
#include "client/prompt.h"
#include "fuzz.h"
#include "support/manual_loop.h"

using namespace snowfox;

namespace {

node::Interpreter::Host nobody() {
  return {.ask = [](const node::Call&) { return Promise<node::public_api::Message>(); },
          .print = [](const std::string&) { found("a line that is not run prints something"); },
          .complain = [](const std::string&) { found("a line that is not run fails"); },
          .clear = [] {},
          .interrupted = [] { return false; },
          .computing = [](bool) { found("a line that is not run computes"); },
          .leave = [](bool) {}};
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string line(reinterpret_cast<const char*>(data), size);
  ManualLoop loop;
  node::Interpreter interpreter(*loop, nobody(), {});
  interpreter.incomplete(line);
  demand(interpreter.incomplete("("), "one line changes what the next one is");
  for (const std::string& name : interpreter.names_like(line)) {
    demand(name.starts_with(line), "a name is completed to another one");
  }
  const node::BegunId begun = node::begun_service_id(line);
  demand(begun.begun ? line.ends_with(begun.id) : begun.id.empty(), "what is begun is not at the end");
  return 0;
}
