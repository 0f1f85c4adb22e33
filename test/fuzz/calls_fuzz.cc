// Scripts of the node's client.
#include <algorithm>
#include <string>

#include "client/call.h"
#include "fuzz.h"
#include "support/json.h"

using namespace snowfox;
using node::Call;

namespace {

std::string written(const std::vector<Call>& calls) {
  std::string script;
  for (const Call& call : calls) script += call.str() + "\n";
  return script;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view script(reinterpret_cast<const char*>(data), size);
  constexpr std::size_t kFirstLine = 7;
  try {
    const std::string calls = written(node::parse_calls(script));
    demand(written(node::parse_calls(calls)) == calls, "calls are others when written and read again");
  } catch (const node::ScriptError& error) {
    const auto lines = static_cast<std::size_t>(std::count(script.begin(), script.end(), '\n')) + 1;
    demand(error.line() >= 1 && error.line() <= lines, "a mistake is in no line of the script");
    demand(error.what() == "line " + std::to_string(error.line()) + ": " + error.message(), "a mistake names no line");
    demand(harmless(error.what()), "a mistake is not one line of text");
    demand(is_utf8(error.what()) || !is_utf8(script), "a mistake is told in half characters");
    if (script.starts_with("#!")) return 0;
    try {
      node::parse_calls(script, kFirstLine);
      found("a script is understood or not by where it begins");
    } catch (const node::ScriptError& later) {
      demand(later.line() == error.line() + kFirstLine - 1, "a mistake is in another line");
      demand(later.message() == error.message(), "a mistake is another by where its script begins");
    }
  }
  return 0;
}
